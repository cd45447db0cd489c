//! A graph's input and outputs are found by their names, by the card, or not at all.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod external;
mod flow;

use tract_onnx::pb::ModelProto;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::type_proto::Value;

use super::fixtures::{FREE, constant, model, node, value};
use super::{Interface, NamedBy, Names, Network, select};
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
