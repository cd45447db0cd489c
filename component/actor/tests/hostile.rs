//! Small files that are made to take memory or time without bound, or to cause a panic in this crate. Each is refused, or
//! loads, with little of both. A test of time asserts nothing else: without its bound it would take minutes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../tests/fuzz/memory.rs"]
mod memory;

use std::io::{Cursor, Read, Write};

use memory::peak_of;
use prost::Message;
use sac_actor::{
    Activation, Body, Bounds, Checkpoint, File, Instant, OnRefusal, OperatorFacts, Outcome, Request, RequestContext,
    RouterConfig, Service,
};
use serde_json::{Value, json};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, ModelProto, NodeProto, TensorProto};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// More than any of these files needs by far.
const LITTLE: usize = 128 << 20;

/// Loads a file, or returns the reason for its refusal. Panics if that takes much memory.
#[track_caller]
fn load(bytes: impl Into<Vec<u8>>) -> Result<Service, String> {
    let (on_refusal, max_batch, max_body_bytes) = (OnRefusal::Keep, 16, 1 << 16);
    // Facts that most of the good files lack.
    let operator_facts = OperatorFacts {
        activation: Some(Activation::Relu),
        action_bounds: Some(Bounds { low: vec![-1.0], high: vec![1.0] }),
    };
    let mut service =
        Service::new(RouterConfig { optimised: true, operator_facts, on_refusal, max_batch, max_body_bytes });
    let epoch = Instant { seconds: 0, nanoseconds: 0 };
    let checkpoint =
        Checkpoint { path: "/c".into(), modified: epoch, loaded: epoch, sha256: String::new(), generation: 1 };
    let bytes = bytes.into();
    let length = bytes.len();
    let file = File { bytes, sidecars: vec![] };
    let (loaded, peak) = peak_of(|| service.load(checkpoint, file, None).map(drop));
    assert!(peak < LITTLE, "{peak} bytes for a file of {length}");
    loaded.map(|()| service).map_err(|error| format!("{error:#}"))
}

#[track_caller]
fn refused(bytes: impl Into<Vec<u8>>) -> String {
    load(bytes).err().expect("the file is refused")
}

/// A dict of `count` items with different keys and the same value.
fn dict(count: u32, value: &[u8]) -> Vec<u8> {
    let mut items = b"}(".to_vec();
    for key in 0..count {
        items.extend([b"J".as_slice(), &key.to_le_bytes(), value].concat());
    }
    items.push(b'u');
    items
}

/// Memoizes an object, which `h\0` then gets.
fn kept(object: &[u8]) -> Vec<u8> {
    [object, b"q\0", b"0"].concat()
}

fn text(length: usize) -> Vec<u8> {
    [b"X", &(length as u32).to_le_bytes()[..], &vec![b'x'; length]].concat()
}

/// A file as `torch.save` wrote it before PyTorch 1.6, with this pickle and no storage.
fn legacy(pickle: &[u8]) -> Vec<u8> {
    legacy_with(pickle, b"].")
}

/// The same with storages: the pickle of their keys, and their content.
fn legacy_with(pickle: &[u8], storages: &[u8]) -> Vec<u8> {
    let head = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.\x80\x02";
    [head, pickle, b".\x80\x02", storages].concat()
}

/// A good file with more items in its dict.
fn with_items(items: &[u8]) -> Vec<u8> {
    let whole = sac_test_support::file("torch/legacy.pt");
    let end = whole.windows(4).rposition(|at| at == b".\x80\x02]").unwrap();
    [&whole[..end], items, &whole[end..]].concat()
}

#[test]
fn a_long_class_name_is_not_copied_for_each_object_of_the_class() {
    let class = [b"c".as_slice(), &vec![b'x'; 1 << 20], b"\nC\n"].concat();
    refused(legacy(&[kept(&class), dict(1000, b"h\0")].concat()));
}

#[test]
fn a_long_text_is_not_copied_for_each_reference_to_it() {
    refused(legacy(&[kept(&text(4096)), dict(65_000, b"h\0")].concat()));
}

#[test]
fn a_long_array_is_not_copied_for_each_reference_to_it() {
    let bytes = [b"B", &(1u32 << 20).to_le_bytes()[..], &vec![0; 1 << 20]].concat();
    let dtype = b"cnumpy\ndtype\nX\x02\0\0\0f8\x85R";
    for shape in [&b"J\0\0\x02\0\x85"[..], b"K\x01\x85"] {
        let array =
            [b"cnumpy.core.numeric\n_frombuffer\n(".as_slice(), &bytes, dtype, shape, b"X\x01\0\0\0CtR"].concat();
        refused(legacy(&[kept(&array), dict(1000, b"h\0")].concat()));
    }
}

#[test]
fn a_long_key_is_not_copied_for_each_item_below_it() {
    let items = [b"}(".as_slice(), &b"h\0N".repeat(200_000), b"u"].concat();
    refused(legacy(&[kept(&text(4 << 20)), items].concat()));
}

#[test]
fn a_long_storage_key_is_refused() {
    let key = text(4 << 20);
    let storage = [b"(X\x07\0\0\0storagectorch\nFloatStorage\n", &key[..], b"X\x03\0\0\0cpuK\x01tQ"].concat();
    let tensor = [&b"ctorch._utils\n_rebuild_tensor_v2\n("[..], &storage, b"K\0))tR"].concat();
    let storages = [b"]", &key[..], b"a.", &1u64.to_le_bytes(), &[0; 4]].concat();
    refused(legacy_with(&[kept(&tensor), dict(60_000, b"h\0")].concat(), &storages));
}

#[test]
fn an_object_with_many_items_and_attributes_takes_little_time() {
    let attributes = (0..150_000).map(|i| [b"X\x06\0\0\0", format!("{i:06}").as_bytes(), b"N"].concat());
    let attributes = [b"}(".as_slice(), &attributes.collect::<Vec<_>>().concat(), b"u"].concat();
    let items = [b"(".as_slice(), &b"K\x01N".repeat(150_000), b"u"].concat();
    refused(legacy(&[&b"cmodule\nC\n)\x81"[..], &items, &attributes, b"b"].concat()));
}

#[test]
fn many_classes_beside_an_actor_take_little_time() {
    let classes = (0..60_000).map(|i| [b"X\x06\0\0\0", format!("{i:06}").as_bytes(), b"h\0"].concat());
    let class = kept(b"ctorch.nn.modules.activation\nTanh\n");
    let items = [&class, &b"("[..], &classes.collect::<Vec<_>>().concat(), b"u"].concat();
    assert!(load(with_items(&items)).is_ok());
}

#[test]
fn values_of_a_stable_baselines_file_that_are_not_used_take_no_memory() {
    let mut archive = ZipArchive::new(Cursor::new(sac_test_support::file("torch/sb3_dict_arch.zip"))).unwrap();
    let mut writer = ZipWriter::new(Cursor::new(vec![]));
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).unwrap();
        let mut content = vec![];
        member.read_to_end(&mut content).unwrap();
        if member.name() == "data" {
            let end = content.iter().rposition(|byte| *byte == b'}').unwrap();
            let many = format!(", \"x\": [{}0]}}", "{\"\":0},".repeat(2_000_000));
            content.splice(end.., many.into_bytes());
        }
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        writer.start_file(member.name(), stored).unwrap();
        writer.write_all(&content).unwrap();
    }
    assert!(load(writer.finish().unwrap().into_inner()).is_ok());
}

/// A call of `os.system`, which nothing makes.
const CALL: &[u8] = b"cos\nsystem\nX\x02\0\0\0id\x85R";

#[test]
fn a_call_is_not_made_and_only_what_depends_on_it_is_refused() {
    let reason = refused(legacy(CALL));
    assert!(reason.contains("no tensors"), "{reason}");
    // Beside an actor it is inert, as a value, a class, an object of that class, and with a state and items of its own.
    let state = [CALL, b"}X\x01\0\0\0aK\x01sbX\x01\0\0\0bK\x02s(K\x03e"].concat();
    let called = [CALL, b")R"].concat();
    let made = [CALL, b")\x81"].concat();
    let partial = [&b"cfunctools\npartial\n"[..], CALL, b"\x85R"].concat();
    for value in [CALL.to_vec(), state, called, made, partial] {
        let items = [b"(X\x06\0\0\0config", &value[..], b"u"].concat();
        assert!(load(with_items(&items)).is_ok());
    }
    // In the place of a storage, of a shape or of a parameter's data it is refused once the tensor is needed.
    let storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x01tQ";
    let view = |storage: &[u8], shape: &[u8]| {
        [&b"ctorch._utils\n_rebuild_tensor_v2\n("[..], storage, b"K\0", shape, b"K\x01K\x01\x86tR"].concat()
    };
    let parameter = [&b"ctorch._utils\n_rebuild_parameter\n("[..], CALL, b"\x88NtR"].concat();
    let keys = b"](X\x01\0\0\x000e.\x01\0\0\0\0\0\0\0\0\0\0\0";
    for (tensor, keys, reason) in [
        (view(CALL, b"K\x01K\x01\x86"), &b"]."[..], "a storage that `os.system` makes, which is not called"),
        (view(storage, CALL), keys, "no known layout"),
        (parameter, b"].", "no known layout"),
    ] {
        let items =
            ["net.0.weight", "mean.weight", "log_std.weight"].map(|name| [&text_of(name)[..], &tensor].concat());
        let found = refused(legacy_with(&[b"}(", &items.concat()[..], b"u"].concat(), keys));
        assert!(found.contains(reason), "{found}");
    }
}

fn text_of(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

#[test]
fn calls_within_calls_take_little_time_and_memory() {
    // getattr(getattr(…, "x"), "x"), each level of which has a name that is longer by the last.
    let attribute = [&text(4096)[..], b"q\x01"].concat();
    let level = [b"cbuiltins\ngetattr\n".as_slice(), b"h\0h\x01\x86Rq\x000"].concat();
    let deep = [kept(CALL), kept(&attribute), level.repeat(50_000), dict(60_000, b"h\0")].concat();
    refused(legacy(&deep));
    // An object whose class is the result of a call whose callee is the result of a call, and so on.
    let calls = [kept(CALL), b"h\0)Rq\x000".repeat(50_000), dict(60_000, b"h\0")].concat();
    refused(legacy(&calls));
    // Tensors that are rebuilt by a rebuilding function.
    let inner = b"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._tensor\n_rebuild_from_type_v2\nNh\0NtRq\x000";
    let nested = [kept(b")"), inner.repeat(20_000), dict(60_000, b"h\0")].concat();
    refused(legacy(&nested));
}

#[test]
fn an_object_with_many_attributes_is_visited_in_little_time() {
    let attributes = (0..100_000).map(|i| [&text_of(&format!("{i:06}"))[..], b"N"].concat()).collect::<Vec<_>>();
    let object = [b"cmodule\nC\n)\x81}(".as_slice(), &attributes.concat(), b"ub"].concat();
    let list = [b"](".as_slice(), &b"h\0".repeat(4000), b"e"].concat();
    refused(legacy(&[kept(&object), dict(200, &list)].concat()));
}

#[test]
fn a_pickle_of_python_itself_is_within_the_same_limits() {
    let pickle = |content: &[u8]| [b"\x80\x04", content, b"."].concat();
    refused(pickle(&b"(".repeat(1 << 20)));
    refused(pickle(&[b"N".as_slice(), &b"2".repeat(5 << 20)].concat()));
    refused(pickle(&[kept(&text(4 << 20)), [b"}(".as_slice(), &b"h\0N".repeat(200_000), b"u"].concat()].concat()));
    // Each tensor's storage is a file within the pickle, which refers to itself no further.
    let inner = legacy(b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x01NtQ");
    let storage = [b"ctorch.storage\n_load_from_bytes\nB", &(inner.len() as u32).to_le_bytes()[..], &inner, b"\x85R"];
    let tensor =
        [&b"ctorch._utils\n_rebuild_tensor_v2\n("[..], &kept(&storage.concat())[..0], b"h\0K\0K\x01\x85K\x01\x85tR"];
    refused(pickle(&[kept(&storage.concat()), kept(&tensor.concat()), dict(60_000, b"h\0")].concat()));
    // A config of d3rlpy that is cut short, that nests without end, that is too long, and that is long and says nothing.
    for (json, is_read) in [
        ("[{},".repeat(200_000), false),
        ("[".repeat(1 << 20), false),
        (format!("[{}0]", "[],".repeat(400_000)), false),
        (format!("[{}null]", "[],".repeat(300_000)), true),
    ] {
        let torch = sac_test_support::file("pendulum_00500.state_dict.pt");
        let torch = [text_of("torch"), [b"B", &(torch.len() as u32).to_le_bytes()[..], &torch].concat()].concat();
        let config = [text_of("config"), text_of(&json)].concat();
        assert_eq!(load(pickle(&[b"}(".as_slice(), &torch, &config, b"u"].concat())).is_ok(), is_read);
    }
}

#[test]
fn settings_of_stable_baselines_take_little_memory() {
    for kwargs in [format!("{{\"a\": [{}0]}}", "[],".repeat(4_000_000)), "[".repeat(200_000)] {
        assert!(!refused(stable_baselines(&kwargs)).is_empty());
    }
}

/// A model of Stable-Baselines3 with other `policy_kwargs`.
fn stable_baselines(kwargs: &str) -> Vec<u8> {
    let mut archive = ZipArchive::new(Cursor::new(sac_test_support::file("torch/sb3_dict_arch.zip"))).unwrap();
    let mut writer = ZipWriter::new(Cursor::new(vec![]));
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).unwrap();
        let mut content = vec![];
        member.read_to_end(&mut content).unwrap();
        if member.name() == "data" {
            let text = String::from_utf8(content).unwrap().replace("\"policy_kwargs\"", "\"others\"");
            let end = text.rfind('}').unwrap();
            content = format!("{}, \"policy_kwargs\": {kwargs}}}", &text[..end]).into_bytes();
        }
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        writer.start_file(member.name(), stored).unwrap();
        writer.write_all(&content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn graph(change: impl FnOnce(&mut Vec<NodeProto>, &mut Vec<TensorProto>)) -> Vec<u8> {
    let mut model = ModelProto::decode(&sac_test_support::file("pendulum_00500.onnx")[..]).unwrap();
    let graph = model.graph.as_mut().unwrap();
    change(&mut graph.node, &mut graph.initializer);
    model.encode_to_vec()
}

fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    let input = inputs.iter().map(|input| (*input).to_owned()).collect();
    NodeProto { op_type: op.to_owned(), input, output: vec![output.to_owned()], ..NodeProto::default() }
}

fn constant(name: &str, dims: &[i64], numbers: &[f32]) -> TensorProto {
    let (name, dims, float_data) = (name.to_owned(), dims.to_vec(), numbers.to_vec());
    TensorProto { name, dims, data_type: DataType::Float.into(), float_data, ..TensorProto::default() }
}

fn maker_of<'a>(nodes: &'a mut [NodeProto], output: &str) -> &'a mut NodeProto {
    nodes.iter_mut().find(|node| node.output == [output]).unwrap()
}

#[test]
fn a_graph_with_a_cycle_is_refused() {
    let circles: [fn(&mut Vec<NodeProto>); 4] = [
        |nodes| *maker_of(nodes, "log_std") = node("Clip", &["log_std", "low", "high"], "log_std"),
        |nodes| {
            let input = maker_of(nodes, "mean").input[0].clone();
            maker_of(nodes, &input).input[0] = "mean".to_owned();
        },
        |nodes| {
            let input = maker_of(nodes, "mean").input[0].clone();
            *maker_of(nodes, &input) = node("Mul", &[&input, "low"], &input);
        },
        |nodes| {
            let input = maker_of(nodes, "mean").input[0].clone();
            nodes.push(node("Mul", &[&input, "low"], &input));
        },
    ];
    for circle in circles {
        refused(graph(|nodes, constants| {
            constants.extend([constant("low", &[], &[-20.0]), constant("high", &[], &[2.0])]);
            circle(nodes);
        }));
    }
}

#[test]
fn each_layer_counts_even_if_it_shares_its_weights() {
    let weights = constant("w", &[256, 256], &[0.001; 65_536]);
    // The weights are an initializer, or a node makes them.
    for is_made in [false, true] {
        let shared = graph(|nodes, constants| {
            constants.extend([constant("first", &[3, 256], &[0.1; 768]), constant("last", &[256, 1], &[0.1; 256])]);
            nodes.clear();
            if is_made {
                let value = AttributeProto { name: "value".to_owned(), t: Some(weights.clone()), ..Default::default() };
                nodes.push(NodeProto { attribute: vec![value], ..node("Constant", &[], "w") });
            } else {
                constants.push(weights.clone());
            }
            nodes.push(node("MatMul", &["state", "first"], "0"));
            for layer in 0..1000 {
                nodes.push(node("Relu", &[&layer.to_string()], &format!("{layer}.relu")));
                nodes.push(node("MatMul", &[&format!("{layer}.relu"), "w"], &(layer + 1).to_string()));
            }
            nodes.push(node("Relu", &["1000"], "relu"));
            nodes.extend(["mean", "log_std"].map(|head| node("MatMul", &["relu", "last"], head)));
        });
        let reason = refused(shared);
        assert!(reason.starts_with("the layers take 65537280 numbers, 16777216 at most"), "{reason}");
    }
}

#[test]
fn a_graph_whose_weights_do_not_fit_their_shape_is_refused() {
    for dims in [[1, i64::MAX], [i64::MAX, 2], [1 << 32, 1 << 32], [1 << 16, 1 << 16], [0, i64::MAX], [-1, 1]] {
        for biased in [false, true] {
            refused(graph(|nodes, constants| {
                constants.extend([constant("w", &dims, &[]), constant("b", &[1], &[0.0])]);
                let product = if biased { "product" } else { "mean" };
                *maker_of(nodes, "mean") = node("MatMul", &["state", "w"], product);
                if biased {
                    nodes.push(node("Add", &["product", "b"], "mean"));
                }
            }));
        }
    }
}

fn ask(service: &mut Service, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = Body::Complete(body.to_string().into_bytes());
    let request = Request { method: method.into(), path: path.into(), authorization: None, body };
    let context = RequestContext { tokens: vec![], refusal: None, absence: None, reloaded: None, may_block: true };
    let Outcome::Respond(response) = service.answer(&request, &context) else { panic!("no answer") };
    (response.status, serde_json::from_slice(&response.body).unwrap())
}

/// Loads a graph whose output has one number for one state, and nine for three.
#[test]
fn a_batch_has_one_action_for_each_state_whatever_the_graph_computes() {
    let mut service = load(graph(|nodes, _| {
        *nodes = vec![node("Transpose", &["state"], "columns"), node("MatMul", &["state", "columns"], "mean")];
        nodes.push(node("Neg", &["mean"], "log_std"));
    }))
    .unwrap();
    let states = [[0.1, 0.2, 0.3], [0.3, 0.2, 0.1], [0.0, 0.0, 1.0]];
    let (status, batch) = ask(&mut service, "POST", "/sac/predict/batch", &json!({"states": states}));
    assert_eq!((status, batch["batch_size"].as_u64()), (200, Some(3)), "{batch}");
    for (row, state) in states.iter().enumerate() {
        let alone = ask(&mut service, "POST", "/sac/predict", &json!({"state": state})).1;
        assert_eq!(alone["action"], batch["actions"][row]);
    }
}

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
