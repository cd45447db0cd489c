//! Writes a policy as an ONNX file that needs nothing beside it.

use prost::Message;
use tract_onnx::pb::{GraphProto, ModelProto};

use super::build::{node, property, tensor, value};
use super::rename::rename;
use crate::model::{Bounds, LogStd, Normalisation, Squash, Squashing};

/// Names that no trainer gives to a value.
const NORMALISED: &str = "sac-serving/state";
const LOG_STD: &str = "sac-serving/log_std";
const OTHER_ACTION: &str = "sac-serving/other_action";

/// Writes a model whose graph does all that the policy does. It normalises `state` and computes `mean`, `log_std` after
/// its rule, and `action`, the deterministic action within its bounds. The bounds are in the metadata as well. A graph
/// whose only output is `action` keeps it unchanged.
pub fn export(
    mut model: ModelProto,
    normalisation: Option<&Normalisation>,
    squashing: &Squashing,
    action_dim: usize,
) -> Vec<u8> {
    let mut properties = std::mem::take(&mut model.metadata_props);
    properties.retain(|property| !APPLIED.contains(&property.key.as_str()));
    let graph = model.graph.get_or_insert_default();
    for output in &mut graph.output {
        *output = value(&output.name, action_dim);
    }
    if let Some(normalisation) = normalisation {
        normalise(graph, normalisation);
    }
    if let Some(rule) = squashing.log_std {
        squash_log_std(graph, rule);
    }
    // A network that was built from layers calls its only output the mean.
    let has_action = graph.output.iter().any(|output| output.name == "action");
    if squashing != &Squashing::AS_IT_IS || !has_action {
        add_action(graph, squashing, action_dim);
        properties.push(property("squash", squashing.squash.name().to_owned()));
        if squashing.squash != Squash::None {
            let unit = || Bounds { low: vec![-1.0; action_dim], high: vec![1.0; action_dim] };
            let bounds = squashing.bounds.as_ref().map_or_else(unit, |bounds| bounds.bounds().clone());
            properties.push(property("action_low", format!("{:?}", bounds.low)));
            properties.push(property("action_high", format!("{:?}", bounds.high)));
        }
    }
    // Protobuf merges messages that follow one another. The operator sets come last, so a file that is cut short lacks
    // them, and is refused.
    let operators = ModelProto { opset_import: std::mem::take(&mut model.opset_import), ..ModelProto::default() };
    let mut bytes = ModelProto { metadata_props: properties, ..ModelProto::default() }.encode_to_vec();
    bytes.extend(model.encode_to_vec());
    bytes.extend(operators.encode_to_vec());
    bytes
}

/// The settings that the written graph applies itself; a reader must not apply them again.
const APPLIED: &[&str] = &[
    "obs_mean",
    "obs_var",
    "obs_std",
    "clip_obs",
    "obs_clip",
    "obs_epsilon",
    "epsilon",
    "log_std_min",
    "log_std_max",
    "action_low",
    "action_high",
    "action_scale",
    "action_bias",
    "act_limit",
    "action_limit",
    "max_action",
    "squash",
];

fn normalise(graph: &mut GraphProto, normalisation: &Normalisation) {
    rename(graph, "state", NORMALISED);
    let Normalisation { mean, std, clip } = normalisation;
    let mut nodes = Chain::new("state", "sac-serving/normalise");
    nodes.step_with("Sub", &[mean.len()], mean);
    nodes.step_with("Div", &[std.len()], std);
    if let Some(clip) = clip {
        nodes.step_with("Max", &[], &[-clip]);
        nodes.step_with("Min", &[], &[*clip]);
    }
    nodes.prepend_to(graph, NORMALISED);
}

fn squash_log_std(graph: &mut GraphProto, rule: LogStd) {
    rename(graph, "log_std", LOG_STD);
    let mut nodes = Chain::new(LOG_STD, "sac-serving/log_std");
    match rule {
        LogStd::Clamped { low, high } => {
            nodes.step_with("Max", &[], &[low]);
            nodes.step_with("Min", &[], &[high]);
        }
        LogStd::Squashed { low, high } => {
            nodes.step("Tanh");
            nodes.step_with("Add", &[], &[1.0]);
            nodes.step_with("Mul", &[], &[0.5 * (high - low)]);
            nodes.step_with("Add", &[], &[low]);
        }
    }
    nodes.append_to(graph, "log_std");
}

fn add_action(graph: &mut GraphProto, squashing: &Squashing, action_dim: usize) {
    let has_mean = graph.output.iter().any(|output| output.name == "mean");
    graph.output.retain(|output| output.name != "action");
    rename(graph, "action", OTHER_ACTION);
    // A graph of one output gives what is squashed under the action's name.
    let mut nodes = Chain::new(if has_mean { "mean" } else { OTHER_ACTION }, "sac-serving/action");
    match squashing.squash {
        Squash::Tanh => nodes.step("Tanh"),
        Squash::Clamp => {
            nodes.step_with("Max", &[], &[-1.0]);
            nodes.step_with("Min", &[], &[1.0]);
        }
        Squash::None => nodes.step("Identity"),
    }
    if let Some(bounds) = &squashing.bounds {
        nodes.step_with("Mul", &[action_dim], bounds.scale());
        nodes.step_with("Add", &[action_dim], bounds.bias());
    }
    nodes.append_to(graph, "action");
    graph.output.push(value("action", action_dim));
}

/// A sequence of nodes, each of which takes the output of the one before.
struct Chain {
    name: &'static str,
    last: String,
    part: GraphProto,
}

impl Chain {
    fn new(input: &str, name: &'static str) -> Self {
        Chain { name, last: input.to_owned(), part: GraphProto::default() }
    }

    fn step(&mut self, op: &str) {
        let output = format!("{}/{}", self.name, self.part.node.len());
        self.part.node.push(node(op, &[&self.last], &output));
        self.last = output;
    }

    /// Adds a step whose second operand is a constant.
    fn step_with(&mut self, op: &str, shape: &[usize], constant: &[f32]) {
        self.step(op);
        let name = format!("{}/constant", self.last);
        self.part.initializer.push(tensor(&name, shape, constant));
        self.part.node.last_mut().into_iter().for_each(|node| node.input.push(name.clone()));
    }

    /// Names the last output.
    fn ending_in(mut self, output: &str) -> GraphProto {
        self.part.node.last_mut().into_iter().for_each(|node| node.output = vec![output.to_owned()]);
        self.part
    }

    fn append_to(self, graph: &mut GraphProto, output: &str) {
        let part = self.ending_in(output);
        graph.node.extend(part.node);
        graph.initializer.extend(part.initializer);
    }

    fn prepend_to(self, graph: &mut GraphProto, output: &str) {
        let mut part = self.ending_in(output);
        part.node.append(&mut graph.node);
        graph.node = part.node;
        graph.initializer.extend(part.initializer);
    }
}
