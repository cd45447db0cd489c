//! A graph's input and outputs are found by their names, by the card, or not at all; external data comes from the files
//! that were given and from nowhere else.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use prost::Message;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::type_proto::Value;
use tract_onnx::pb::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, StringStringEntryProto, TensorProto,
    attribute_proto,
};

use super::fixtures::{FREE, constant, model, node, value, with};
use super::{Interface, NamedBy, Names, Network, read, select};
use crate::model::Outputs;

fn chosen(proto: ModelProto, names: &Names) -> Result<Interface, String> {
    let served = select(proto, names).and_then(|(proto, interface)| Network::new(&proto, interface));
    served.map(|network| network.interface).map_err(|error| format!("{error:#}"))
}

fn by_file(proto: ModelProto) -> Result<Interface, String> {
    chosen(proto, &Names::default())
}

fn by_card(proto: ModelProto, outputs: &[&str]) -> Result<Interface, String> {
    let outputs = outputs.iter().map(|name| (*name).to_owned()).collect();
    chosen(proto, &Names { outputs: Some(outputs), ..Names::default() })
}

/// The model with more outputs, each `sum` under another name.
fn with_outputs(names: &[&str]) -> ModelProto {
    let copies = names.iter().map(|name| node("Mul", &["sum", "b"], name)).collect();
    model(&FREE, copies, names)
}

#[test]
fn outputs_are_known_by_the_names_that_trainers_give_them() {
    let both = Outputs::MeanAndLogStd;
    for (names, expected, kind) in [
        (&["mean", "log_std"][..], &["mean", "log_std"][..], both),
        (&["logstd", "mu"], &["mu", "logstd"], both),
        (&["loc", "log_scale"], &["loc", "log_scale"], both),
        (&["mean_actions", "log_std"], &["mean_actions", "log_std"], both),
        (&["Mean", "Log_Std", "entropy"], &["Mean", "Log_Std"], both),
        (&["action"], &["action"], Outputs::Action),
        (&["actions", "log_prob"], &["actions"], Outputs::Action),
        (
            &["continuous_actions", "deterministic_continuous_actions"],
            &["deterministic_continuous_actions"],
            Outputs::Action,
        ),
        (&["version_number", "memory_size", "continuous_actions"], &["continuous_actions"], Outputs::Action),
    ] {
        let found = by_file(with_outputs(names)).unwrap();
        assert_eq!((&found.outputs[..], found.kind), (&expected.map_owned()[..], kind), "{names:?}");
        assert_eq!((found.outputs_by, found.input_by), (NamedBy::UsualName, NamedBy::OnlyOne));
        assert_eq!((found.input.as_str(), found.state_dim), ("obs", 2));
    }
}

trait MapOwned {
    fn map_owned(&self) -> Vec<String>;
}

impl MapOwned for &[&str] {
    fn map_owned(&self) -> Vec<String> {
        self.iter().map(|name| (*name).to_owned()).collect()
    }
}

#[test]
fn the_only_output_is_the_action_if_the_graph_bounds_it() {
    let found = by_file(model(&FREE, vec![node("Mul", &["b", "squashed"], "31")], &["31"])).unwrap();
    assert_eq!(found.outputs_by, NamedBy::OnlyOne);
    let reason = by_file(with_outputs(&["31"])).unwrap_err();
    assert!(reason.ends_with("If it is the action, the card's line is \"outputs\": [\"31\"]"), "{reason}");
    let proven = Names { has_examples: true, ..Names::default() };
    assert_eq!(chosen(with_outputs(&["31"]), &proven).unwrap().outputs_by, NamedBy::OnlyOne);
    assert_eq!(by_card(with_outputs(&["31"]), &["31"]).unwrap().outputs_by, NamedBy::Card);
}

#[test]
fn outputs_that_could_be_two_things_are_refused_with_the_line_that_decides() {
    for (names, expected) in [
        (&["x", "y"][..], "found [\"x\", \"y\"]: name the right ones in the card, \"outputs\": [\"ACTION\"]"),
        (&["action", "actions"], "outputs `action` and `actions` go by names of the same thing"),
        (&["mu", "log_std", "value"], "as those of PPO do"),
        (&["q_values"], "found [\"q_values\"]"),
        (&["mean", "std"], "found [\"mean\", \"std\"]"),
    ] {
        let reason = by_file(with_outputs(names)).unwrap_err();
        assert!(reason.contains(expected), "{reason}");
        assert!(by_card(with_outputs(names), &names[..1]).is_ok());
    }
    let squashed = model(
        &FREE,
        vec![node("Identity", &["squashed"], "mean"), node("Neg", &["sum"], "log_std")],
        &["mean", "log_std"],
    );
    let reason = by_file(squashed.clone()).unwrap_err();
    assert!(reason.contains("`mean` is the result of a tanh"), "{reason}");
    assert_eq!(by_card(squashed.clone(), &["mean"]).unwrap().kind, Outputs::Action);
    assert_eq!(by_card(squashed, &["mean", "log_std"]).unwrap().kind, Outputs::MeanAndLogStd);
}

#[test]
fn an_only_output_of_whole_numbers_is_a_discrete_action() {
    let mut proto = model(&FREE, vec![node("ArgMax", &["squashed"], "out")], &["out"]);
    let kind = proto.graph.as_mut().unwrap().output[0].r#type.as_mut().unwrap();
    let Some(Value::TensorType(tensor)) = &mut kind.value else { panic!("a tensor") };
    tensor.elem_type = DataType::Int64.into();
    let reason = by_file(proto).unwrap_err();
    assert!(reason.ends_with("found [\"out\"], which give whole numbers: discrete actions are not served"), "{reason}");
}

#[test]
fn a_card_names_what_the_graph_has() {
    let proto = with_outputs(&["x", "y"]);
    for (outputs, expected) in [
        (&["c"][..], "the card names the output `c`: the graph has [\"x\", \"y\"]"),
        (&["x", "x"], "one for the action is expected, or two"),
        (&["x", "y", "x"], "one for the action is expected, or two"),
        (&[], "one for the action is expected, or two"),
    ] {
        let reason = by_card(proto.clone(), outputs).unwrap_err();
        assert!(reason.contains(expected), "{reason}");
    }
    let names =
        |input: &str| Names { input: Some(input.to_owned()), outputs: Some(vec!["y".to_owned()]), ..Names::default() };
    assert_eq!(chosen(proto.clone(), &names("obs")).unwrap().input_by, NamedBy::Card);
    let reason = chosen(proto, &names("state")).unwrap_err();
    assert_eq!(reason, "the card names the input `state`: the outputs depend on [\"obs\"]");
}

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
fn one_input_is_the_state() {
    let with_input = |name: &str, op: &str| {
        let mut proto = model(
            &FREE,
            vec![node(op, &["squashed", name], "action"), node("Neg", &[name], "other")],
            &["action", "other"],
        );
        proto.graph.as_mut().unwrap().input.push(value(name, &FREE));
        proto
    };
    for (name, expected) in [
        (
            "action_masks",
            "depend on [\"obs\", \"action_masks\"]: `action_masks`: action masks belong to discrete actions",
        ),
        ("h_in", "`h_in`: the policy is recurrent"),
        ("obs_1", "export a module that takes one flat state"),
    ] {
        let reason = by_file(with_input(name, "Add")).unwrap_err();
        assert!(reason.contains(expected), "{reason}");
    }
    // An input that only other outputs use is no input of the policy, and one with an initialiser has a default.
    let mut unused = with_input("h_in", "Add");
    unused.graph.as_mut().unwrap().node.retain(|node| node.output != ["action"]);
    unused.graph.as_mut().unwrap().node.push(node("Mul", &["squashed", "b"], "action"));
    assert_eq!(by_file(unused).unwrap().input, "obs");
    let mut default = with_input("scale", "Mul");
    default.graph.as_mut().unwrap().initializer.push(constant("scale", &[2], &[1.0, 1.0]));
    assert_eq!(by_file(default).unwrap().input, "obs");
}

#[test]
fn names_that_this_crate_uses_may_stand_for_other_values() {
    // `state` is computed and `obs` is the input; mean and log_std have each other's names.
    let nodes = vec![
        node("Neg", &["squashed"], "state"),
        node("Mul", &["state", "b"], "log_std"),
        node("Abs", &["sum"], "mean"),
    ];
    let proto = model(&FREE, nodes, &["log_std", "mean"]);
    let (proto, interface) =
        select(proto, &Names { outputs: Some(vec!["log_std".into(), "mean".into()]), ..Names::default() }).unwrap();
    assert_eq!(interface.outputs, ["log_std", "mean"]);
    let graph = proto.graph.as_ref().unwrap();
    let op = |output: &str| graph.node.iter().find(|node| node.output == [output]).unwrap().op_type.clone();
    assert_eq!((op("mean"), op("log_std"), op("sac-serving/other/state")), ("Mul".into(), "Abs".into(), "Neg".into()));
    assert_eq!((graph.input[0].name.as_str(), graph.node[0].input[0].as_str()), ("state", "state"));
    assert!(Network::new(&proto, interface).is_ok());
}

/// The model with `w` in an external file.
fn external(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut proto = model(&FREE, vec![], &["squashed"]);
    make_external(&mut proto.graph.as_mut().unwrap().initializer[0], entries);
    proto.encode_to_vec()
}

fn make_external(tensor: &mut TensorProto, entries: &[(&str, &str)]) {
    tensor.float_data.clear();
    tensor.data_location = Some(DataLocation::External.into());
    let entry =
        |(key, value): &(&str, &str)| StringStringEntryProto { key: (*key).to_owned(), value: (*value).to_owned() };
    tensor.external_data = entries.iter().map(entry).collect();
}

fn weights() -> Vec<u8> {
    [2.0f32, 0.0, 0.0, 2.0].map(f32::to_le_bytes).concat()
}

#[test]
fn external_data_is_read_from_the_file_that_goes_by_its_name() {
    let (weights, other) = (weights(), [vec![7; 4], weights()].concat());
    let own = ("m.onnx.data", &weights[..]);
    for (entries, files) in [
        (&[("location", "m.onnx.data")][..], &[own][..]),
        (&[("location", "m.onnx.data"), ("offset", "0"), ("length", "16")], &[("other", &other[..]), own]),
        (&[("location", "m.onnx.data"), ("offset", "4")], &[("m.onnx.data", &other[..])]),
        // A trainer has renamed both files after the export.
        (&[("location", "tmp123.onnx.data")], &[own]),
    ] {
        let proto = read(&external(entries), files).unwrap();
        let tensor = &proto.graph.as_ref().unwrap().initializer[0];
        assert_eq!((&tensor.raw_data, tensor.data_location, tensor.external_data.len()), (&weights, None, 0));
    }
}

#[test]
fn external_data_that_is_missing_or_lies_elsewhere_is_refused() {
    let weights = weights();
    let files = &[("a", &weights[..]), ("b", &weights[..])][..];
    let missing = "the weights are in external data `m.onnx.data`, which is not beside it: copy it, or export with \
                   external_data=False";
    let shapeless = "without a folder is expected";
    for (entries, files, expected) in [
        (&[("location", "m.onnx.data")][..], &[][..], missing),
        (&[("location", "m.onnx.data")], files, missing),
        (&[("location", "../a")], files, shapeless),
        (&[("location", "/a")], files, shapeless),
        (&[("location", "./a")], files, shapeless),
        (&[("location", "C:a")], files, shapeless),
        (&[("location", "a\\b")], files, shapeless),
        (&[("location", "..")], files, shapeless),
        (&[], files, shapeless),
        (
            &[("location", "a"), ("offset", "4")],
            files,
            "16 bytes from 4 on are expected in the external data `a`, which has 16",
        ),
        (&[("location", "a"), ("offset", "18446744073709551615")], files, "which has 16 bytes"),
        (&[("location", "a"), ("offset", "18446744073709551616")], files, "a whole number is expected"),
        (&[("location", "a"), ("offset", "-1")], files, "a whole number is expected"),
        (
            &[("location", "a"), ("length", "12")],
            files,
            "12 bytes of external data stand for the shape [2, 2], 16 bytes",
        ),
        (&[("location", "a"), ("length", "18446744073709551615")], files, "16 bytes are expected"),
    ] {
        let reason = format!("{:#}", read(&external(entries), files).unwrap_err());
        assert!(reason.contains(expected), "{reason}");
    }
}

#[test]
fn two_locations_do_not_share_the_only_file() {
    let mut proto = model(&FREE, vec![], &["squashed"]);
    let initializers = &mut proto.graph.as_mut().unwrap().initializer;
    make_external(&mut initializers[0], &[("location", "one")]);
    make_external(&mut initializers[1], &[("location", "two")]);
    let reason = format!("{:#}", read(&proto.encode_to_vec(), &[("three", &weights())]).unwrap_err());
    assert!(reason.contains("`one`, which is not beside it"), "{reason}");
}

#[test]
fn tensors_that_share_external_data_count_each() {
    let bytes = vec![0; 64 << 10];
    let mut proto = model(&FREE, vec![], &["squashed"]);
    let mut shared = constant("shared", &[128, 128], &[]);
    make_external(&mut shared, &[("location", "a")]);
    proto.graph.as_mut().unwrap().initializer.extend(vec![shared; 20_000]);
    let reason = format!("{:#}", read(&proto.encode_to_vec(), &[("a", &bytes)]).unwrap_err());
    assert_eq!(reason, "the external data takes 1310720000 bytes, 67108864 at most are expected");
    let mut vast = constant("vast", &[i64::MAX, 4], &[]);
    make_external(&mut vast, &[("location", "a")]);
    proto.graph.as_mut().unwrap().initializer = vec![vast];
    assert!(
        format!("{:#}", read(&proto.encode_to_vec(), &[("a", &bytes)]).unwrap_err()).contains("which no file can hold")
    );
}

#[test]
fn external_data_in_attributes_and_inner_graphs_is_read_too() {
    let mut tensor = constant("c", &[2, 2], &[]);
    make_external(&mut tensor, &[("location", "a")]);
    let attribute = AttributeProto { name: "value".to_owned(), t: Some(tensor.clone()), ..AttributeProto::default() };
    let inner = GraphProto { initializer: vec![tensor], ..GraphProto::default() };
    let graph = AttributeProto { name: "body".to_owned(), g: Some(inner), ..AttributeProto::default() };
    let nodes = vec![NodeProto { attribute: vec![attribute, graph], ..node("Constant", &[], "c") }];
    let mut proto = read(&model(&FREE, nodes, &["squashed"]).encode_to_vec(), &[("a", &weights())]).unwrap();
    let mut found = 0;
    super::external::each_tensor(proto.graph.as_mut().unwrap(), &mut |tensor| {
        found += usize::from(tensor.raw_data == weights());
        Ok(())
    })
    .unwrap();
    assert_eq!(found, 2);
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
