//! A description of a checkpoint file and its policy.

use sac_owner::Content;
use serde::Serialize;

use crate::sandbox::bindings::{self, Policy};

/// A description of a checkpoint file and its policy. Vectors have one number for each dimension.
#[derive(Debug, Serialize)]
pub struct Inspection {
    /// The absolute path, with symlinks resolved.
    pub path: String,
    /// The size of the file.
    pub size_bytes: usize,
    /// The sha256 of the file, in lowercase hexadecimal.
    pub sha256: String,
    /// The file format, such as `onnx` or `torch`.
    pub format: String,
    /// The naming scheme of the actor's tensors, or `graph` for an ONNX graph.
    pub layout: String,
    /// The linear layers, in the order of computation.
    pub layers: Vec<Layer>,
    /// The facts that the policy is computed from, each with its source.
    pub facts: Vec<Fact>,
    /// The number of examples in cards that the policy was compared with, all of which it reproduces.
    pub verified_examples: u32,
    /// The fact `activation`. `None` if there is none, as for a graph, which contains its own.
    pub activation: Option<String>,
    /// The length of a state.
    pub state_dim: u32,
    /// The length of an action.
    pub action_dim: u32,
    /// True if actions can be sampled.
    pub stochastic: bool,
    /// The lower bounds that actions are scaled to.
    pub action_low: Option<Vec<f64>>,
    /// The upper bounds that actions are scaled to.
    pub action_high: Option<Vec<f64>>,
    /// The lower bounds of observations in training. They are not applied. JSON has null for a missing bound.
    pub observation_low: Option<Vec<f64>>,
    /// The upper bounds of observations in training, as `observation_low`.
    pub observation_high: Option<Vec<f64>>,
    /// The mean that is subtracted from a state.
    pub observation_mean: Option<Vec<f32>>,
    /// The standard deviation that the difference is divided by.
    pub observation_std: Option<Vec<f32>>,
    /// The limit of the absolute value of a normalised state.
    pub observation_clip: Option<f32>,
    /// The deterministic action for a state of zeros: a number, or a list of numbers.
    pub action_on_zeros: serde_json::Value,
}

/// A fact that a policy is computed from.
#[derive(Debug, Serialize)]
pub struct Fact {
    /// The name, such as `activation`.
    pub name: String,
    /// The value, in one line.
    pub value: String,
    /// Where the value comes from, in one line.
    pub source: String,
}

/// A linear layer.
#[derive(Debug, Serialize)]
pub struct Layer {
    /// The name in the file.
    pub name: String,
    /// The number of inputs.
    pub inputs: u32,
    /// The number of outputs.
    pub outputs: u32,
}

impl From<bindings::Fact> for Fact {
    fn from(fact: bindings::Fact) -> Self {
        Fact { name: fact.name, value: fact.value, source: fact.source }
    }
}

impl From<bindings::Layer> for Layer {
    fn from(layer: bindings::Layer) -> Self {
        Layer { name: layer.name, inputs: layer.inputs, outputs: layer.outputs }
    }
}

impl Inspection {
    pub(super) fn new(content: &Content, policy: Policy, action_on_zeros: serde_json::Value) -> Self {
        let activation = policy.fact("activation").map(str::to_owned);
        let (action_low, action_high) = policy.action_bounds.map(|bounds| (bounds.low, bounds.high)).unzip();
        let (observation_low, observation_high) =
            policy.observation_bounds.map(|bounds| (bounds.low, bounds.high)).unzip();
        let (clip, normalisation) = match policy.normalisation {
            Some(normalisation) => (normalisation.clip, Some((normalisation.mean, normalisation.std))),
            None => (None, None),
        };
        let (observation_mean, observation_std) = normalisation.unzip();
        Inspection {
            path: content.path.display().to_string(),
            size_bytes: content.bytes.len(),
            sha256: content.sha256().to_owned(),
            format: policy.format,
            layout: policy.layout,
            layers: policy.layers.into_iter().map(Into::into).collect(),
            facts: policy.facts.into_iter().map(Into::into).collect(),
            verified_examples: policy.verified_examples,
            activation,
            state_dim: policy.state_dim,
            action_dim: policy.action_dim,
            stochastic: policy.stochastic,
            action_low,
            action_high,
            observation_low,
            observation_high,
            observation_mean,
            observation_std,
            observation_clip: clip,
            action_on_zeros,
        }
    }
}
