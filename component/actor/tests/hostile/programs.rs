//! Programs of TorchScript and torch.export.

use std::io::{Cursor, Write};

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::refused;

/// A zip archive of stored entries.
fn zip_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(vec![]));
    for (name, content) in entries {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// An archive of `torch.jit.save` whose `forward` has this body.
fn script(module: &[u8], body: &str) -> Vec<u8> {
    let head = "class M(Module):\n  def forward(self: __torch__.M, x: Tensor) -> Tensor:\n";
    zip_of(&[("a/data.pkl", module), ("a/code/__torch__.py", format!("{head}{body}").as_bytes())])
}

const MODULE: &[u8] = b"\x80\x02c__torch__\nM\n)\x81}b.";

#[test]
fn a_program_that_computes_or_says_much_takes_little() {
    let lists = (0..20_000).map(|i| format!("    l{i} = torch.add(l, l)\n")).collect::<String>();
    let list = format!("    l = [{}]\n{lists}    return x\n", "x, ".repeat(20_000));
    let names = (0..40_000).map(|i| format!("    w{i} = torch.ones([1000, 1000])\n")).collect::<String>();
    for (body, reason) in [
        ("    return torch.ones([1000000, 1000000])\n".to_owned(), "more than 1048576 numbers at once"),
        (names + "    return x\n", "more than 16777216 numbers"),
        (list, "multiplications or additions"),
        (format!("    return {}\n", "[x, ".repeat(100_000)), "nested deeper than"),
        ("    x\n".repeat(300_000), "more than"),
    ] {
        let found = refused(script(MODULE, &body));
        assert!(found.contains(reason), "{found}");
    }
    let many = [b"\x80\x02c__torch__\nM\n)\x81}".as_slice(), &b"N0".repeat(900_000), b"b."].concat();
    refused(script(&many, "    return x\n"));
}

#[test]
fn a_graph_of_torch_export_that_says_much_takes_little() {
    let graph = |node: &str, count: usize| {
        let nodes = vec![node; count].join(",");
        let program = format!(
            r#"{{"graph_module": {{"graph": {{"nodes": [{nodes}], "tensor_values": {{"x": {{"dtype": 7, "sizes": [{{"as_int": 1}}, {{"as_int": 3}}]}}}}}},
            "signature": {{"input_specs": [{{"user_input": {{"arg": {{"as_tensor": {{"name": "x"}}}}}}}}],
            "output_specs": [{{"user_output": {{"arg": {{"as_tensor": {{"name": "x"}}}}}}}}]}}}}}}"#
        );
        zip_of(&[("a/archive_format", b"pt2"), ("a/models/model.json", program.as_bytes())])
    };
    let argument = r#"{"name": "self", "arg": {"as_tensor": {"name": "x"}}}"#;
    let doubled = r#"{"target": "torch.ops.aten.cat.default", "inputs": [
        {"name": "tensors", "arg": {"as_tensors": [{"name": "x"}, {"name": "x"}]}},
        {"name": "dim", "arg": {"as_int": 1}}
    ], "outputs": [{"as_tensor": {"name": "x"}}]}"#;
    let found = refused(graph(doubled, 1000));
    assert!(found.contains("numbers at once"), "{found}");
    let tanh = format!(
        r#"{{"target": "torch.ops.aten.tanh.default", "inputs": [{argument}], "outputs": [{{"as_tensor": {{"name": "x"}}}}]}}"#
    );
    let found = refused(graph(&tanh, 10_000));
    assert!(found.contains("more than 4096 operators"), "{found}");
    assert!(refused(graph(&tanh, 100_000)).contains("more than 4194304 bytes"));
    let empty =
        format!(r#"{{"target": "", "inputs": [{{"arg": [{}]}}], "outputs": []}}"#, vec!["[]"; 1_000_000].join(","));
    refused(graph(&empty, 1));
}
