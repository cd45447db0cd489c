//! ONNX graphs.

use prost::Message;
use sac_actor::{Outcome, RequestContext, Service};
use serde_json::{Value, json};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value::DimValue;
use tract_onnx::pb::type_proto::Value as Kind;
use tract_onnx::pb::{AttributeProto, ModelProto, NodeProto, TensorProto, attribute_proto};

use crate::harness::{MAY_BLOCK, request};
use crate::{load, load_for, refused};

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
    let request = request(method, path, body.to_string());
    let Outcome::Respond(response) = service.answer(&request, &MAY_BLOCK) else { panic!("no answer") };
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

/// A graph that sums a state of `state_dim` numbers, and repeats the sum `action_dim` times.
pub fn wide(state_dim: i64, action_dim: i64) -> Vec<u8> {
    let mut model = ModelProto::decode(&sac_test_support::file("pendulum_00500.onnx")[..]).unwrap();
    let graph = model.graph.as_mut().unwrap();
    graph.initializer = vec![integers("axes", &[1]), integers("shape", &[1, action_dim])];
    graph.node = vec![
        node("ReduceSum", &["state", "axes"], "sum"),
        node("Expand", &["sum", "shape"], "mean"),
        node("Neg", &["mean"], "log_std"),
    ];
    let Some(Kind::TensorType(tensor)) = &mut graph.input[0].r#type.as_mut().unwrap().value else { panic!("a tensor") };
    tensor.shape.as_mut().unwrap().dim[1].value = Some(DimValue(state_dim));
    model.encode_to_vec()
}

fn integers(name: &str, numbers: &[i64]) -> TensorProto {
    let (name, dims, int64_data) = (name.to_owned(), vec![numbers.len() as i64], numbers.to_vec());
    TensorProto { name, dims, data_type: DataType::Int64.into(), int64_data, ..TensorProto::default() }
}

#[test]
fn a_small_file_of_vast_dimensions_is_refused() {
    assert!(load(wide(1 << 20, 1)).is_ok());
    assert!(load(wide(1, 1 << 14)).is_ok());
    for (state_dim, action_dim, expected) in [
        ((1 << 20) + 1, 1, "a state of 1048577 numbers: at most 1048576 are served"),
        (i64::MAX, 1, "a state of 9223372036854775807 numbers: at most 1048576 are served"),
        (1, (1 << 14) + 1, "an action of 16385 numbers: at most 16384 are served"),
        (3, 8_000_000, "an action of 8000000 numbers: at most 16384 are served"),
    ] {
        assert_eq!(refused(wide(state_dim, action_dim)), expected);
    }
}

#[test]
fn a_small_file_that_is_fixed_to_a_vast_batch_is_refused() {
    assert!(load(fixed(4096, 1024, 1)).is_ok());
    for (state_dim, action_dim, expected) in [
        (1025, 1, "4096 states of 1025 numbers"),
        (1 << 20, 1, "4096 states of 1048576 numbers"),
        (1, 1025, "4096 actions of 1025 numbers"),
    ] {
        let reason = refused(fixed(4096, state_dim, action_dim));
        assert_eq!(reason, format!("the graph is fixed to {expected}: at most 4194304 numbers are served at once"));
    }
}

/// The graph of [`wide`], fixed to a number of states.
fn fixed(rows: i64, state_dim: i64, action_dim: i64) -> Vec<u8> {
    let mut model = ModelProto::decode(&wide(state_dim, action_dim)[..]).unwrap();
    let Some(Kind::TensorType(tensor)) = &mut model.graph.as_mut().unwrap().input[0].r#type.as_mut().unwrap().value
    else {
        panic!("a tensor")
    };
    tensor.shape.as_mut().unwrap().dim[0].value = Some(DimValue(rows));
    model.encode_to_vec()
}

#[test]
fn a_batch_whose_answer_would_be_vast_is_refused() {
    let mut service = load(wide(1, 1 << 14)).unwrap();
    let mut batch = |rows: usize| ask(&mut service, "POST", "/sac/predict/batch", &json!({"states": vec![[1]; rows]}));
    assert_eq!(batch(16).0, 200);
    let mut service = load_for(17, wide(1, 1 << 14)).unwrap();
    let (status, answer) = ask(&mut service, "POST", "/sac/predict/batch", &json!({"states": vec![[1]; 17]}));
    let expected = "the numbers of the answer (states times action_dim) over the limit: got 278528, at most 262144";
    assert_eq!((status, answer["detail"].as_str()), (400, Some(expected)));
    let expected =
        "the numbers of the answer (states times action_dim times outputs) over the limit: got 294912, at most 262144";
    let outputs = json!([{ "name": "action" }, { "name": "mean" }]);
    let mut infer = |rows: usize| {
        let input = json!({ "name": "state", "shape": [rows, 1], "datatype": "FP32", "data": vec![1; rows] });
        ask(&mut service, "POST", "/v2/models/policy/infer", &json!({ "inputs": [input], "outputs": outputs }))
    };
    assert_eq!(infer(8).0, 200);
    let (status, answer) = infer(9);
    assert_eq!((status, answer["error"].as_str()), (400, Some(expected)));
}

#[test]
fn a_benchmark_of_a_vast_batch_is_refused() {
    let mut service = load_for(u32::MAX, wide(1 << 20, 1)).unwrap();
    for batch_size in [4, 4097, u32::MAX] {
        let got = u64::from(batch_size) * ((1 << 20) + 1);
        let body = json!({"batch_size": batch_size, "iterations": 1, "warmup": 0});
        let (status, answer) = ask(&mut service, "POST", "/sac/benchmark", &body);
        let expected = format!(
            "the numbers of the benchmark (batch_size times state_dim and action_dim) over the limit: got {got}, at most 4194304"
        );
        assert_eq!((status, answer["detail"].as_str()), (400, Some(&*expected)));
    }
    let (status, _) =
        ask(&mut service, "POST", "/sac/benchmark", &json!({"batch_size": 3, "iterations": 1, "warmup": 0}));
    assert_eq!(status, 200);
}

/// Adds the sum of `made`, which the nodes compute from `whole`, the state in whole numbers, to the sum of the state.
fn by_whole_numbers(nodes: &[NodeProto]) -> Vec<u8> {
    let ends = [
        node("ReduceSum", &["state", "axes"], "sum"),
        with(node("Cast", &["made"], "float"), "to", DataType::Float.into()),
        node("ReduceSum", &["float", "axes"], "more"),
        node("Add", &["sum", "more"], "mean"),
        node("Neg", &["mean"], "log_std"),
    ];
    let whole = with(node("Cast", &["state"], "whole"), "to", DataType::Int64.into());
    graph(|old, constants| {
        *old = [&[whole], nodes, &ends].concat();
        *constants = vec![
            integers("axes", &[1]),
            integers("last", &[2]),
            integers("one", &[1]),
            TensorProto { dims: vec![], ..integers("four", &[4]) },
            constant("table", &[4], &[0.0, 0.1, 0.2, 0.3]),
            constant("rows", &[4, 3], &[0.0; 12]),
            constant("zeros", &[1, 4], &[0.0; 4]),
            constant("ones", &[1, 3], &[1.0; 3]),
            constant("off and on", &[2], &[0.0, 1.0]),
        ];
    })
}

fn with(node: NodeProto, name: &str, i: i32) -> NodeProto {
    let r#type = attribute_proto::AttributeType::Int.into();
    let attribute = AttributeProto { name: name.to_owned(), r#type, i: i.into(), ..AttributeProto::default() };
    NodeProto { attribute: vec![attribute], ..node }
}

fn predict(service: &mut Service, state: [f32; 3]) -> (u16, Value) {
    let (status, mut answer) = ask(service, "POST", "/sac/predict", &json!({"state": state}));
    (status, answer[if status == 200 { "action" } else { "detail" }].take())
}

#[test]
fn an_index_out_of_range_is_an_error_and_costs_no_instance() {
    for (op, nodes) in [
        ("Gather", vec![node("Gather", &["table", "whole"], "made")]),
        ("GatherElements", vec![node("GatherElements", &["rows", "whole"], "made")]),
        (
            "GatherND",
            vec![node("Unsqueeze", &["whole", "last"], "tuples"), node("GatherND", &["table", "tuples"], "made")],
        ),
        ("ScatterElements", vec![with(node("ScatterElements", &["zeros", "whole", "ones"], "made"), "axis", 1)]),
        (
            "OneHot",
            vec![
                node("OneHot", &["whole", "four", "off and on"], "hot"),
                with(node("Flatten", &["hot"], "made"), "axis", 1),
            ],
        ),
    ] {
        let mut service = load(by_whole_numbers(&nodes)).unwrap();
        assert_eq!(predict(&mut service, [1.0, 2.0, 3.0]).0, 200, "{op}");
        for state in [[4.0, 0.0, 0.0], [0.0, 1e9, 0.0], [0.0, 0.0, -5.0], [f32::MAX, 0.0, 0.0]] {
            let (status, detail) = predict(&mut service, state);
            let is_told = detail.as_str().unwrap().ends_with("is out of range for an axis of 4");
            assert!(status == 500 && is_told, "{op}: {detail}");
        }
    }
}

#[test]
fn a_graph_that_fails_on_ones_is_refused() {
    let divided =
        |inputs: &[&str]| by_whole_numbers(&[node("Sub", &["whole", "one"], "less"), node("Div", inputs, "made")]);
    let reason = refused(divided(&["one", "less"]));
    assert!(reason.starts_with("a forward pass on ones failed: ") && reason.contains("Division by zero"), "{reason}");
    assert!(load(divided(&["less", "one"])).is_ok());
}

#[test]
fn a_graph_whose_work_depends_on_the_state_always_takes_long() {
    let ranged = by_whole_numbers(&[
        node("ReduceSum", &["whole", "axes"], "total"),
        node("Abs", &["total"], "size"),
        node("Add", &["size", "one"], "more than none"),
        node("Squeeze", &["more than none", "both"], "count"),
        node("Range", &["zero", "count", "step"], "range"),
        node("Unsqueeze", &["range", "first"], "made"),
    ]);
    let mut model = ModelProto::decode(&ranged[..]).unwrap();
    let scalar = |name: &str, number: i64| TensorProto { dims: vec![], ..integers(name, &[number]) };
    let constants = [scalar("zero", 0), scalar("step", 1), integers("both", &[0, 1]), integers("first", &[0])];
    model.graph.as_mut().unwrap().initializer.extend(constants);
    let context = |may_block| RequestContext { may_block, ..MAY_BLOCK };
    for (file, is_long) in [(model.encode_to_vec(), true), (wide(3, 2), false)] {
        let mut service = load(file).unwrap();
        let request = request("POST", "/sac/predict", json!({"state": [1, 1, 1]}).to_string());
        assert_eq!(service.answer(&request, &context(false)) == Outcome::Long, is_long);
        assert!(
            matches!(service.answer(&request, &context(true)), Outcome::Respond(response) if response.status == 200)
        );
    }
}

#[test]
fn an_error_of_a_graph_repeats_little_of_its_names() {
    let long = "x".repeat(1 << 20);
    let picked = NodeProto { name: long, ..node("Gather", &["table", "whole"], "made") };
    let mut service = load(by_whole_numbers(&[picked])).unwrap();
    let (status, detail) = predict(&mut service, [4.0, 0.0, 0.0]);
    let detail = detail.as_str().unwrap();
    assert!(status == 500 && detail.len() < 2100 && detail.starts_with("inference failed: "), "{}", detail.len());
}
