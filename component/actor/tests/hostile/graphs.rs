//! ONNX graphs.

use prost::Message;
use sac_actor::{Body, Outcome, Request, RequestContext, Service};
use serde_json::{Value, json};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, ModelProto, NodeProto, TensorProto};

use crate::{load, refused};

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
