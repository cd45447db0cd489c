//! Exports of real trainers give their library's actions, alone and in a batch, and so do graphs of every shape.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use serde_json::Value;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, ModelProto, NodeProto, TensorProto, attribute_proto};

use super::{Tract, run_once};
use crate::model::{Activation, Forward, Outputs, Squashing};
use crate::onnx::fixtures::{FREE, constant, model, node, with};
use crate::onnx::{self, Names, Network, Recognised};
use crate::run::network;

fn network(proto: ModelProto, names: &Names) -> anyhow::Result<Network> {
    let (proto, interface) = onnx::select(proto, names)?;
    Network::new(&proto, interface)
}

fn tract(proto: ModelProto) -> anyhow::Result<Tract> {
    Tract::new(&network(proto, &Names::default())?, true)
}

fn refusal(proto: ModelProto) -> String {
    format!("{:#}", tract(proto).err().expect("the graph is refused"))
}

#[track_caller]
fn assert_near(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let near = found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 1e-5 * b.abs().max(1.0));
    assert!(near, "{what}: {found:?}, expected {expected:?}");
}

/// Returns the ONNX model of a folder of the corpus, with its case.
fn corpus(folder: &Path) -> Option<(ModelProto, Value)> {
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    let case = serde_json::from_slice::<Value>(&read("case.json")).unwrap();
    let file = case["file"].as_str().filter(|file| file.ends_with(".onnx"))?;
    let data = format!("{file}.data");
    let external = fs::read(folder.join(&data)).ok();
    let external = external.iter().map(|bytes| (data.as_str(), &bytes[..])).collect::<Vec<_>>();
    Some((onnx::read(&read(file), &external).unwrap(), case))
}

#[test]
fn real_exports_give_the_actions_of_their_library() {
    let mut seen = 0;
    for folder in fs::read_dir(sac_test_support::path("corpus")).unwrap() {
        let folder = folder.unwrap().path();
        let Some((proto, case)) = corpus(&folder) else { continue };
        let what = folder.display().to_string();
        let rows =
            |key: &str| serde_json::from_value::<Vec<Vec<f32>>>(case[key].clone()).ok().map(|rows| rows.concat());
        let states = rows("states").unwrap();
        let (proto, interface) = onnx::select(proto, &Names::default()).unwrap();
        let recognised = onnx::recognise(&proto);
        let network = Network::new(&proto, interface).unwrap();
        let written = onnx::export(proto, None, &Squashing::AS_IT_IS, network.action_dim);
        let (kind, state_dim) = (network.interface.kind, network.state_dim);
        let first = run_once(&network, &states[..state_dim]).unwrap();
        let mut tract = Tract::new(&network, true).unwrap();
        let batch = tract.run(&states).unwrap();
        for (row, state) in states.chunks(state_dim).enumerate() {
            let alone = tract.run(state).unwrap();
            assert_near(&alone.mean, &batch.mean[row * alone.mean.len()..][..alone.mean.len()], &what);
        }
        assert_near(&first.mean, &batch.mean[..first.mean.len()], &what);
        if kind == Outputs::Action {
            assert_near(&batch.mean, &rows("unscaled").or_else(|| rows("expected")).unwrap(), &what);
        } else {
            assert_near(&batch.mean, &rows("mean").unwrap(), &what);
            assert_near(&batch.log_std, &rows("log_std").unwrap(), &what);
        }
        let (written, interface) = onnx::select(onnx::read(&written, &[]).unwrap(), &Names::default()).unwrap();
        let mut written = Tract::new(&Network::new(&written, interface).unwrap(), true).unwrap();
        assert_near(&written.run(&states).unwrap().mean, &batch.mean, &what);
        // gSDE clips the mean and then squashes it, which is two steps.
        assert_eq!(recognised.is_none(), what.ends_with("onnx_sb3_sde_legacy"), "{what}");
        if let Some(recognised) = recognised {
            assert_near(&on_kernel(&recognised, &states), &batch.mean, &what);
        }
        seen += 1;
    }
    assert!(seen >= 16, "{seen} exports were found");
}

fn on_kernel(recognised: &Recognised, states: &[f32]) -> Vec<f32> {
    let states = recognised.normalisation.as_ref().map_or(states.to_vec(), |normalisation| normalisation.apply(states));
    let mut mean = vec![];
    let network = network::plain(&recognised.mlp).unwrap();
    sac_kernel::Kernel::pack(&network).unwrap().run(&states, &mut mean, None);
    mean
}

#[test]
fn activations_are_recognised_in_the_forms_that_exporters_write() {
    let float = |node: NodeProto, name: &str, f: f32| {
        let r#type = attribute_proto::AttributeType::Float.into();
        let attribute = AttributeProto { name: name.to_owned(), r#type, f, ..AttributeProto::default() };
        NodeProto { attribute: [node.attribute.clone(), vec![attribute]].concat(), ..node }
    };
    let one = |op: &str| vec![node(op, &["sum"], "act")];
    let product = |gate: Vec<NodeProto>| [gate, vec![node("Mul", &["sum", "gate"], "act")]].concat();
    let old_clip = float(float(node("Clip", &["sum"], "act"), "min", 0.0), "max", 6.0);
    let forms = [
        (one("Relu"), Activation::Relu),
        (one("Elu"), Activation::Elu),
        (one("Celu"), Activation::Celu),
        (one("Selu"), Activation::Selu),
        (one("Softplus"), Activation::Softplus),
        (one("HardSwish"), Activation::Hardswish),
        (vec![float(node("LeakyRelu", &["sum"], "act"), "alpha", 0.01)], Activation::LeakyRelu),
        (product(vec![node("Sigmoid", &["sum"], "gate")]), Activation::Silu),
        (product(vec![float(node("HardSigmoid", &["sum"], "gate"), "alpha", 1.0 / 6.0)]), Activation::Hardswish),
        (product(vec![node("Softplus", &["sum"], "plus"), node("Tanh", &["plus"], "gate")]), Activation::Mish),
        (vec![node("Clip", &["sum", "zero", "six"], "act")], Activation::Relu6),
        (vec![node("Relu", &["sum"], "relu"), node("Clip", &["relu", "zero", "six"], "act")], Activation::Relu6),
        (vec![old_clip], Activation::Relu6),
    ];
    for (nodes, activation) in forms {
        let nodes =
            [nodes, vec![node("Identity", &["act"], "same"), node("MatMul", &["same", "w"], "action")]].concat();
        let is_old = nodes.iter().any(|node| node.op_type == "Clip" && node.input.len() == 1);
        let mut proto = model(&FREE, nodes, &["action"]);
        let graph = proto.graph.as_mut().unwrap();
        graph.initializer.extend([constant("zero", &[], &[0.0]), constant("six", &[], &[6.0])]);
        if is_old {
            proto.opset_import[0].version = 9;
        }
        let (proto, interface) = onnx::select(proto, &Names::default()).unwrap();
        let recognised = onnx::recognise(&proto).unwrap();
        assert_eq!(recognised.mlp.trunk[0].activation, Some(activation));
        let mut tract = Tract::new(&Network::new(&proto, interface).unwrap(), true).unwrap();
        let states = STATES.map(|x| 4.0 * x);
        assert_near(&on_kernel(&recognised, &states), &tract.run(&states).unwrap().mean, &format!("{activation:?}"));
    }
    // Another slope than PyTorch's default.
    for leaky in [0.2, 0.0] {
        let nodes =
            vec![float(node("LeakyRelu", &["sum"], "act"), "alpha", leaky), node("MatMul", &["act", "w"], "action")];
        assert!(
            onnx::recognise(&onnx::select(model(&FREE, nodes, &["action"]), &Names::default()).unwrap().0).is_none()
        );
    }
}

const STATES: [f32; 6] = [0.1, -0.2, 0.3, 0.4, -0.5, -0.6];

fn expected() -> Vec<f32> {
    STATES.iter().map(|x| (2.0 * x + 1.0).tanh()).collect()
}

#[test]
fn a_graph_takes_batches_of_any_size_whatever_its_input_declares() {
    for input in [
        &[None, Some(2)][..],
        &[Some(1), Some(2)],
        // Exporters write these for a free dimension.
        &[Some(-1), Some(2)],
        &[Some(0), Some(2)],
        &[Some(2), Some(2)],
        &[Some(32), Some(2)],
        &[Some(2)],
    ] {
        let proto = model(input, vec![], &["squashed"]);
        let network = network(proto.clone(), &Names::default()).unwrap();
        assert_near(&run_once(&network, &STATES[..2]).unwrap().mean, &expected()[..2], "once");
        let mut tract = tract(proto).unwrap();
        for rows in [1, 2, 3] {
            let found = tract.run(&STATES[..2 * rows]).unwrap();
            assert_near(&found.mean, &expected()[..2 * rows], &format!("{input:?}"));
        }
        assert_eq!(tract.pass.rows, 1, "{input:?}");
    }
}

/// A graph whose reshape is fixed to four states too, as that of a trace without dynamic axes.
fn fixed_within() -> ModelProto {
    let four = TensorProto { data_type: DataType::Int64.into(), int64_data: vec![4, 2], ..constant("four", &[2], &[]) };
    let mut proto = model(&[Some(4), Some(2)], vec![node("Reshape", &["squashed", "four"], "action")], &["action"]);
    proto.graph.as_mut().unwrap().initializer.push(four);
    proto
}

#[test]
fn a_graph_that_is_fixed_to_several_states_throughout_runs_on_copies_of_each() {
    let mut tract = tract(fixed_within()).unwrap();
    assert_eq!(tract.pass.rows, 4);
    let states = STATES.repeat(3);
    let batch = tract.run(&states).unwrap().mean;
    assert_near(&batch, &expected().repeat(3), "nine states");
    let alone = states.chunks(2).flat_map(|state| tract.run(state).unwrap().mean).collect::<Vec<_>>();
    assert_eq!(batch, alone);
}

#[test]
fn a_squeezed_output_is_one_action() {
    let axes = TensorProto { data_type: DataType::Int64.into(), int64_data: vec![0], ..constant("axes", &[1], &[]) };
    let mut proto = model(&FREE, vec![node("Squeeze", &["squashed", "axes"], "action")], &["action"]);
    proto.graph.as_mut().unwrap().initializer.push(axes);
    let mut tract = tract(proto).unwrap();
    assert_near(&tract.run(&STATES[..2]).unwrap().mean, &expected()[..2], "alone");
    assert_near(&tract.run(&STATES).unwrap().mean, &expected(), "in a batch");
}

/// A graph of two layers, from two numbers to 67 and to two.
fn layers(input: &[Option<i64>]) -> ModelProto {
    let spread = |count: usize| (0..count).map(|i| (i as f32 * 0.618_034).fract() * 2.0 - 1.0).collect::<Vec<_>>();
    let nodes = vec![
        node("MatMul", &["squashed", "w1"], "hidden"),
        node("Sin", &["hidden"], "waves"),
        node("MatMul", &["waves", "w2"], "action"),
    ];
    let mut proto = model(input, nodes, &["action"]);
    let weights = [constant("w1", &[2, 67], &spread(134)), constant("w2", &[67, 2], &spread(134))];
    proto.graph.as_mut().unwrap().initializer.extend(weights);
    proto
}

#[test]
fn a_state_has_the_same_bits_alone_and_in_a_batch() {
    let states = (0..2 * 33).map(|i| (i as f32 * 0.324_718).fract() * 4.0 - 2.0).collect::<Vec<_>>();
    for input in [&FREE[..], &[Some(2)], &[Some(1), Some(2)], &[Some(4), Some(2)]] {
        let mut tract = tract(layers(input)).unwrap();
        let alone = states.chunks(2).flat_map(|state| tract.run(state).unwrap().mean).collect::<Vec<_>>();
        for rows in [2, 3, 7, 33] {
            assert_eq!(tract.run(&states[..2 * rows]).unwrap().mean, alone[..2 * rows], "{rows} rows of {input:?}");
        }
    }
}

/// Subtracts the mean over the batch: zero for one state.
fn mixing() -> Vec<NodeProto> {
    let axes = AttributeProto {
        name: "axes".to_owned(),
        r#type: attribute_proto::AttributeType::Ints.into(),
        ints: vec![0],
        ..AttributeProto::default()
    };
    let mean = NodeProto { attribute: vec![axes], ..node("ReduceMean", &["squashed"], "centre") };
    vec![mean, node("Add", &["squashed", "centre"], "action")]
}

#[test]
fn a_state_has_the_action_that_it_has_alone_even_if_the_graph_mixes_a_batch() {
    let softmax = vec![with(node("Softmax", &["squashed"], "action"), "axis", 0)];
    for nodes in [mixing(), softmax] {
        let mut tract = tract(model(&FREE, nodes.clone(), &["action"])).unwrap();
        let alone = STATES.chunks(2).flat_map(|state| tract.run(state).unwrap().mean).collect::<Vec<_>>();
        assert_near(&tract.run(&STATES).unwrap().mean, &alone, "in a batch");
        let reason = refusal(model(&[Some(3), Some(2)], nodes, &["action"]));
        assert!(reason.contains("from all 3 states of a batch together"), "{reason}");
    }
}

#[test]
fn a_state_has_the_action_that_it_has_alone_even_if_only_rare_states_mix() {
    let limit = constant("limit", &[], &[100.0]);
    let axes = TensorProto { data_type: DataType::Int64.into(), int64_data: vec![0], ..constant("axes", &[1], &[]) };
    let nodes = vec![
        node("Sub", &["sum", "limit"], "beyond"),
        node("Relu", &["beyond"], "excess"),
        node("ReduceSum", &["excess", "axes"], "total"),
        node("Sub", &["squashed", "total"], "action"),
    ];
    for input in [&FREE[..], &[Some(3), Some(2)]] {
        let mut proto = model(input, nodes.clone(), &["action"]);
        proto.graph.as_mut().unwrap().initializer.extend([limit.clone(), axes.clone()]);
        let mut tract = tract(proto).unwrap();
        let states = [&STATES[..], &[1000.0; 2]].concat();
        let alone = states.chunks(2).flat_map(|state| tract.run(state).unwrap().mean).collect::<Vec<_>>();
        assert_eq!(tract.run(&states).unwrap().mean, alone, "{input:?}");
    }
}

#[test]
fn a_log_std_without_a_batch_axis_holds_for_every_state() {
    let mut proto = model(&FREE, vec![node("Add", &["sum", "b"], "mu")], &["mu", "log_std"]);
    proto.graph.as_mut().unwrap().initializer.push(constant("log_std", &[2], &[-1.0, -2.0]));
    let Forward { mean, log_std } = tract(proto).unwrap().run(&STATES).unwrap();
    assert_near(&mean, &STATES.map(|x| 2.0 * x + 2.0), "mean");
    assert_near(&log_std, &[-1.0, -2.0].repeat(3), "log_std");
}

#[test]
fn a_state_with_which_sums_may_overflow_has_no_action() {
    // The difference is infinite less infinite, which is NaN, and tract's Relu makes 0 of it.
    let relu = node("Relu", &["difference"], "positive");
    let nodes = vec![node("MatMul", &["obs", "apart"], "difference"), relu, node("Tanh", &["positive"], "action")];
    let mut proto = model(&FREE, nodes, &["action"]);
    proto.graph.as_mut().unwrap().initializer.push(constant("apart", &[2, 2], &[2.0, 0.0, -2.0, 0.0]));
    let mut tract = tract(proto).unwrap();
    let mut run = |state: [f32; 2]| tract.run(&[state, [0.5, 0.0]].concat()).unwrap().mean;
    let other = [1.0_f32.tanh(), 0.0];
    assert_near(&run([1e29, 0.0]), &[[1.0, 0.0], other].concat(), "large");
    let overflow = run([f32::MAX, f32::MAX]);
    assert!(overflow[..2].iter().all(|number| number.is_nan()), "{overflow:?}");
    assert_near(&overflow[2..], &other, "the other row");
}
