//! Tests of the machine: what pickles become, and which are refused.

use super::machine::Allowed;
use super::opcode as op;
use super::{Node, read};

const ALLOWED: Allowed = &[("collections", "OrderedDict")];

fn refused(bytes: &[u8]) -> String {
    format!("{:#}", read(bytes, ALLOWED).err().expect("refused"))
}

#[test]
fn plain_data_is_read() {
    // pickle.dumps({"a": [1, -2, 2.5], "b": (None, True, 2**40)}, protocol=2)
    let bytes = b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01J\xfe\xff\xff\xffG@\x04\x00\x00\x00\x00\x00\x00eX\x01\x00\x00\x00bq\x03N\x88\x8a\x06\x00\x00\x00\x00\x00\x01\x87q\x04u.";
    let pickle = read(bytes, ALLOWED).unwrap();
    let Node::Dict(items) = pickle.node(pickle.root) else { panic!("a dict") };
    let keys = items.iter().map(|(key, _)| pickle.text(*key).unwrap()).collect::<Vec<_>>();
    assert_eq!(keys, ["a", "b"]);
    let list = pickle.sequence(items[0].1).unwrap();
    assert_eq!((pickle.int(list[0]), pickle.int(list[1])), (Some(1), Some(-2)));
    assert!(matches!(pickle.node(list[2]), Node::Float(2.5)));
    assert_eq!(pickle.int(pickle.sequence(items[1].1).unwrap()[2]), Some(1 << 40));
}

#[test]
fn an_object_of_an_unknown_class_is_data() {
    // c __main__ Config, () NEWOBJ, {"x": 1} BUILD
    let pickle = read(b"\x80\x02c__main__\nConfig\n)\x81}X\x01\x00\x00\x00xK\x01sb.", ALLOWED).unwrap();
    let instance = pickle.instance(pickle.root).unwrap();
    assert_eq!(instance.class.to_string(), "__main__.Config");
    assert!(matches!(pickle.node(instance.state.unwrap()), Node::Dict(items) if items.len() == 1));
}

#[test]
fn a_call_of_any_other_function_is_refused_by_its_name() {
    assert!(read(b"\x80\x02ccollections\nOrderedDict\n)R.", ALLOWED).is_ok());
    let word = refused(b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85R.");
    assert!(word.contains("it would call `os.system`: refused, nothing in a checkpoint is executed"), "{word}");
    let called = refused(b"\x80\x02ccollections\nOrderedDict\n)R)R.");
    assert!(called.contains("it would call an object"), "{called}");
}

#[test]
fn a_broken_pickle_is_refused() {
    for bytes in [
        &b""[..],
        b"\x80",
        b"\x80\x02",
        b"\x80\x02.",
        b"\x80\x02K",
        b"\x80\x02(.",
        b"\x80\x02t.",
        b"\x80\x02K\x01\x86.",
        b"\x80\x02(K\x01\x85e.",
        b"\x80\x02h\x00.",
        b"\x80\x02X\xff\xff\xff\xff.",
        b"\x80\x02\x8e\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"\x80\x02}K\x01K\x02K\x03u.",
        b"\x80\x02K\x01K\x02a.",
        b"\x80\x02K\x01}b.",
        b"\x80\x02cos\n",
        b"I1\n.",
        b"\x97.",
    ] {
        assert!(!refused(bytes).is_empty(), "{bytes:?}");
    }
}

#[test]
fn every_truncation_is_refused_and_deep_nesting_is_harmless() {
    let mut bytes = b"\x80\x02)".to_vec();
    bytes.resize(500_000, op::TUPLE1);
    for end in [0, 1, 2, 3, 4, 400_000] {
        refused(&bytes[..end]);
    }
    bytes.push(op::STOP);
    assert!(read(&bytes, ALLOWED).is_ok());
    bytes.pop();
    bytes.resize(2_000_000, op::TUPLE1);
    assert!(refused(&bytes).contains("more than 1048576 objects"));
}
