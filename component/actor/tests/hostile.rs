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
