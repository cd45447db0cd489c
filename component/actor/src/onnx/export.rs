//! A policy as an ONNX file that stands by itself.

use prost::Message;
use tract_onnx::pb::{GraphProto, ModelProto};

use super::Heads;
use super::build::{node, property, tensor, value};
use crate::layout::LogStd;
use crate::model::policy::{Normalisation, Squashing};

/// Names that no graph has of itself.
const NORMALISED: &str = "sac-serving/state";
const LOG_STD: &str = "sac-serving/log_std";

/// Writes a model whose graph does all that the policy does: it normalises `state`, gives `mean`, `log_std` as it is
/// used, and `action`, the deterministic action within its bounds, which the metadata tells too. What takes a model's
/// outputs as they are, an `action` alone, stays so.
pub fn export(
    mut model: ModelProto,
    heads: Heads,
    normalisation: Option<&Normalisation>,
    squashing: &Squashing,
    action_dim: usize,
) -> Vec<u8> {
    let mut properties = std::mem::take(&mut model.metadata_props);
    properties.retain(|property| !MADE_GOOD.contains(&property.key.as_str()));
    let graph = model.graph.get_or_insert_default();
    if let Some(normalisation) = normalisation {
        normalise(graph, normalisation);
    }
    if heads == Heads::Gaussian {
        squash_log_std(graph, squashing.log_std);
        add_action(graph, squashing, action_dim);
        if let Some(bounds) = &squashing.bounds {
            properties.push(property("action_low", format!("{:?}", bounds.low)));
            properties.push(property("action_high", format!("{:?}", bounds.high)));
        }
    }
    // Messages that follow one another are one. The properties come first, so that a file that is cut short has lost
    // its operator sets, which stand last, before anything else.
    let operators = ModelProto { opset_import: std::mem::take(&mut model.opset_import), ..ModelProto::default() };
    let mut bytes = ModelProto { metadata_props: properties, ..ModelProto::default() }.encode_to_vec();
    bytes.extend(model.encode_to_vec());
    bytes.extend(operators.encode_to_vec());
    bytes
}

/// What the graph does itself from now on.
const MADE_GOOD: &[&str] = &[
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
];

fn normalise(graph: &mut GraphProto, normalisation: &Normalisation) {
    rename(graph, "state", NORMALISED);
    let Normalisation { mean, std, clip } = normalisation;
    let mut nodes = Chain::new("state", "sac-serving/normalise");
    nodes.with("Sub", &[mean.len()], mean);
    nodes.with("Div", &[std.len()], std);
    if let Some(clip) = clip {
        nodes.with("Max", &[], &[-clip]);
        nodes.with("Min", &[], &[*clip]);
    }
    nodes.prepend_to(graph, NORMALISED);
}

fn squash_log_std(graph: &mut GraphProto, rule: LogStd) {
    rename(graph, "log_std", LOG_STD);
    let mut nodes = Chain::new(LOG_STD, "sac-serving/log_std");
    match rule {
        LogStd::Clamped { low, high } => {
            nodes.with("Max", &[], &[low]);
            nodes.with("Min", &[], &[high]);
        }
        LogStd::Squashed { low, high } => {
            nodes.step("Tanh");
            nodes.with("Add", &[], &[1.0]);
            nodes.with("Mul", &[], &[0.5 * (high - low)]);
            nodes.with("Add", &[], &[low]);
        }
    }
    nodes.append_to(graph, "log_std");
}

fn add_action(graph: &mut GraphProto, squashing: &Squashing, action_dim: usize) {
    graph.output.retain(|output| output.name != "action");
    rename(graph, "action", "sac-serving/other_action");
    let mut nodes = Chain::new("mean", "sac-serving/action");
    nodes.step("Tanh");
    if let Some(bounds) = &squashing.bounds {
        nodes.with("Mul", &[action_dim], bounds.factors());
        nodes.with("Add", &[action_dim], bounds.offsets());
    }
    nodes.append_to(graph, "action");
    graph.output.push(value("action", action_dim));
}

/// A value's new name wherever nodes make or take it, in the graphs within nodes too. Inputs and outputs keep theirs.
fn rename(graph: &mut GraphProto, from: &str, to: &str) {
    let rename_value = |name: &mut String| {
        if name == from {
            to.clone_into(name);
        }
    };
    graph.initializer.iter_mut().for_each(|tensor| rename_value(&mut tensor.name));
    for node in &mut graph.node {
        node.input.iter_mut().chain(&mut node.output).for_each(rename_value);
        for attribute in &mut node.attribute {
            attribute.g.iter_mut().chain(&mut attribute.graphs).for_each(|graph| rename(graph, from, to));
        }
    }
}

/// Nodes that each take the output of the one before.
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

    /// A step with a constant for its second operand.
    fn with(&mut self, op: &str, shape: &[usize], constant: &[f32]) {
        self.step(op);
        let name = format!("{}/constant", self.last);
        self.part.initializer.push(tensor(&name, shape, constant));
        self.part.node.last_mut().into_iter().for_each(|node| node.input.push(name.clone()));
    }

    /// The last output goes by this name.
    fn named(mut self, output: &str) -> GraphProto {
        self.part.node.last_mut().into_iter().for_each(|node| node.output = vec![output.to_owned()]);
        self.part
    }

    fn append_to(self, graph: &mut GraphProto, output: &str) {
        let part = self.named(output);
        graph.node.extend(part.node);
        graph.initializer.extend(part.initializer);
    }

    fn prepend_to(self, graph: &mut GraphProto, output: &str) {
        let mut part = self.named(output);
        part.node.append(&mut graph.node);
        graph.node = part.node;
        graph.initializer.extend(part.initializer);
    }
}
