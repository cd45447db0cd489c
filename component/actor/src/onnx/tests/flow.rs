//! Graphs that sample, that call functions of their own, or whose inner graphs compute nothing.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, attribute_proto};

use super::super::fixtures::{FREE, constant, model, node, value, with};
use super::{by_card, by_file};
use crate::model::Outputs;

/// The model with `sum` as `mean` and log_std, and an action that adds noise.
fn sampling(noise: NodeProto, outputs: &[&str]) -> ModelProto {
    let nodes = vec![
        noise,
        node("Add", &["sum", "noise"], "action"),
        node("Identity", &["sum"], "mean"),
        node("Neg", &["sum"], "log_std"),
    ];
    model(&FREE, nodes, outputs)
}

#[test]
fn a_graph_that_samples_is_refused_unless_it_has_other_outputs() {
    let inner = GraphProto {
        node: vec![node("RandomNormalLike", &["sum"], "inner")],
        output: vec![value("inner", &FREE)],
        ..GraphProto::default()
    };
    let branch = |name: &str| AttributeProto {
        name: name.to_owned(),
        r#type: attribute_proto::AttributeType::Graph.into(),
        g: Some(inner.clone()),
        ..AttributeProto::default()
    };
    let within = NodeProto {
        attribute: vec![branch("then_branch"), branch("else_branch")],
        ..node("If", &["condition"], "noise")
    };
    let repeated = |op: &str| NodeProto { attribute: vec![branch("body")], ..node(op, &["sum"], "noise") };
    let one = TensorProto { data_type: DataType::Bool.into(), int32_data: vec![1], ..constant("yes", &[], &[]) };
    let yes = AttributeProto { name: "value".to_owned(), t: Some(one), ..AttributeProto::default() };
    let yes = NodeProto { attribute: vec![yes], ..node("Constant", &[], "yes") };
    let normalised = node("BatchNormalization", &["sum", "b", "b", "b", "b"], "noise");
    for (noise, operator) in [
        (node("RandomNormal", &[], "noise"), "samples with `RandomNormal`"),
        (node("RandomUniform", &[], "noise"), "samples with `RandomUniform`"),
        (node("RandomNormalLike", &["sum"], "noise"), "samples with `RandomNormalLike`"),
        (node("RandomUniformLike", &["sum"], "noise"), "samples with `RandomUniformLike`"),
        (node("Bernoulli", &["squashed"], "noise"), "samples with `Bernoulli`"),
        (node("Multinomial", &["squashed"], "noise"), "samples with `Multinomial`"),
        (within, "samples with `RandomNormalLike`"),
        (repeated("Loop"), "samples with `RandomNormalLike`"),
        (repeated("Scan"), "samples with `RandomNormalLike`"),
        (node("Dropout", &["sum", "", "yes"], "noise"), "`Dropout` in training mode"),
        (with(normalised, "training_mode", 1), "`BatchNormalization` in training mode"),
    ] {
        let with_yes = |outputs: &[&str]| {
            let mut proto = sampling(noise.clone(), outputs);
            proto.graph.as_mut().unwrap().node.insert(0, yes.clone());
            proto
        };
        let reason = by_file(with_yes(&["action"])).unwrap_err();
        assert!(reason.starts_with("output `action`: the graph") && reason.contains(operator), "{reason}");
        let reason = by_card(with_yes(&["action"]), &["action"]).unwrap_err();
        assert!(reason.contains(operator), "{reason}");
        let others = by_file(with_yes(&["action", "mean", "log_std"])).unwrap();
        assert_eq!(others.kind, Outputs::MeanAndLogStd);
    }
    // An output that is bounded but goes by no name of an action is not served in its place; a bounded mean is.
    let noise = node("RandomNormalLike", &["sum"], "noise");
    assert!(by_file(sampling(noise.clone(), &["action", "squashed"])).unwrap_err().contains("samples with"));
    let mut proto = sampling(noise, &["action", "mean"]);
    let mean = proto.graph.as_mut().unwrap().node.iter_mut().find(|node| node.output == ["mean"]).unwrap();
    mean.input[0] = "squashed".to_owned();
    assert_eq!(by_file(proto).unwrap().outputs, ["mean"]);
    let evaluating = node("Dropout", &["sum"], "noise");
    assert!(by_file(sampling(evaluating, &["action"])).is_ok());
}

#[test]
fn a_graph_that_calls_a_function_of_its_own_is_refused() {
    let call = NodeProto { domain: "own".to_owned(), ..node("Tanh", &["sum"], "noise") };
    let noise = FunctionProto {
        name: Some("Tanh".to_owned()),
        domain: Some("own".to_owned()),
        input: vec!["x".to_owned()],
        output: vec!["y".to_owned()],
        node: vec![node("RandomNormalLike", &["x"], "y")],
        ..FunctionProto::default()
    };
    let inner = GraphProto { node: vec![call.clone()], output: vec![value("noise", &FREE)], ..GraphProto::default() };
    let body = AttributeProto { name: "body".to_owned(), g: Some(inner), ..AttributeProto::default() };
    for node in [call.clone(), NodeProto { attribute: vec![body], ..node("Scan", &["sum"], "noise") }] {
        let mut proto = sampling(node, &["action", "mean", "log_std"]);
        proto.functions.push(noise.clone());
        assert_eq!(by_file(proto.clone()).unwrap().kind, Outputs::MeanAndLogStd);
        let reason = by_card(proto, &["action"]).unwrap_err();
        let expected = "the graph calls the function `Tanh` of its own: export it without functions, or inline them with \
                        onnx.inliner.inline_local_functions";
        assert_eq!(reason, expected);
    }
}

#[test]
fn inner_graphs_that_go_in_circles_or_compute_nothing_are_refused() {
    for (nodes, output) in [
        (vec![node("Add", &["circle", "sum"], "circle")], "circle"),
        (vec![node("Neg", &["b1"], "b2"), node("Neg", &["b2"], "b1")], "b2"),
        (vec![], "nothing"),
    ] {
        let inner = GraphProto { node: nodes, output: vec![value(output, &FREE)], ..GraphProto::default() };
        let branch = |name: &str| AttributeProto {
            name: name.to_owned(),
            g: Some(inner.clone()),
            r#type: 5,
            ..AttributeProto::default()
        };
        let mut proto = model(
            &FREE,
            vec![NodeProto {
                attribute: vec![branch("then_branch"), branch("else_branch")],
                ..node("If", &["yes"], "action")
            }],
            &["action"],
        );
        let yes = TensorProto { data_type: DataType::Bool.into(), int32_data: vec![1], ..constant("yes", &[], &[]) };
        proto.graph.as_mut().unwrap().initializer.push(yes);
        assert!(by_file(proto).is_err());
    }
}
