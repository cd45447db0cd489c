#[test]
fn dump() {
    let path = std::env::var("DUMP").unwrap();
    let bytes = bytes::Bytes::from(std::fs::read(path).unwrap());
    let crate::file::Decoded::Tensors { contents, .. } = crate::file::decode(&bytes, None).unwrap() else { panic!() };
    println!("root {:?}", contents.root_class());
    for (name, leaf) in contents.iter() {
        match leaf {
            crate::file::Leaf::Tensor(t) => println!("{name} {:?}", t.shape),
            crate::file::Leaf::Numbers(n) => println!("{name} = {:?}", &n[..n.len().min(6)]),
            crate::file::Leaf::Text(t) => println!("{name} = {:?}", &t[..t.len().min(80)]),
            crate::file::Leaf::Class(c) => println!("{name} : {c}"),
        }
    }
}
