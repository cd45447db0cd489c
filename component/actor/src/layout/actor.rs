//! The actor that a layout finds in a file: its layers, without the facts that its names do not tell.

use anyhow::{Context, Result, ensure};

use super::batch_norm::fold;
use super::roles::{Head, Roles};
use super::scope::{Scope, after, number, series};
use super::table::Layout;
use crate::model::{Hidden, LayerNorm, Linear, MAX_WEIGHTS};

/// The layers of an actor, and where the file has them.
#[derive(Clone)]
pub struct ActorLayers {
    pub layout: &'static Layout,
    /// The prefix of the actor's tensors, such as `actor.`; empty if there is none.
    pub scope: String,
    /// The hidden layers. Their activations are not known yet.
    pub trunk: Vec<Hidden>,
    pub head: ActorHead,
    /// The names of the batch normalisations, which are a part of the layers.
    pub batch_norms: Vec<String>,
    /// The name of a parameter for the standard deviation beside a head of the mean alone.
    pub std_parameter: Option<String>,
    /// True if the hidden layers are of several series, whose order only their dimensions suggest.
    pub is_chain: bool,
}

/// The head of an actor.
#[derive(Debug, Clone, PartialEq)]
pub enum ActorHead {
    /// Heads for the mean and for log_std. The last is true if log_std is a parameter, which depends on no state.
    Pair(Linear, Linear, bool),
    /// One layer for both, the mean first.
    Joint(Linear),
    /// One layer for the mean.
    Mean(Linear),
    /// One layer, for the mean or for both.
    Open(Linear),
}

impl ActorLayers {
    /// Reads the layers of a scope by their roles.
    pub fn read(layout: &'static Layout, scope: &Scope, roles: &Roles) -> Result<Self> {
        let numel = scope.numel(&roles.names());
        ensure!(numel <= MAX_WEIGHTS, "the actor holds {numel} numbers, at most {MAX_WEIGHTS} are served");
        let mut trunk = vec![];
        for name in &roles.hidden {
            let (norm, norm_after) = norms(scope, name, &roles.names())?;
            trunk.push(Hidden { linear: scope.linear(name)?, norm, activation: None, norm_after });
        }
        let mut head = match &roles.head {
            Head::Pair(mean, log_std) => {
                let mean = scope.linear(mean)?;
                let is_parameter = scope.has(log_std);
                let log_std = if is_parameter { scope.parameter(log_std, &mean)? } else { scope.linear(log_std)? };
                ActorHead::Pair(mean, log_std, is_parameter)
            }
            Head::Joint(name) => ActorHead::Joint(scope.linear(name)?),
            Head::Mean(name) => ActorHead::Mean(scope.linear(name)?),
            Head::Open(name) => ActorHead::Open(scope.linear(name)?),
        };
        let mut linears = trunk.iter_mut().map(|hidden: &mut Hidden| &mut hidden.linear).collect::<Vec<_>>();
        let batch_norms = fold(scope, &mut linears, &mut head.layers())?;
        let std_parameter = roles.std_parameter.clone();
        let is_chain =
            layout.trunk.is_empty() && roles.hidden.windows(2).any(|pair| series(&pair[0]) != series(&pair[1]));
        Ok(ActorLayers { layout, scope: scope.prefix().to_owned(), trunk, head, batch_norms, std_parameter, is_chain })
    }

    /// Returns the number of inputs.
    pub fn state_dim(&self) -> usize {
        self.trunk.first().map_or(self.head.last().inputs, |hidden| hidden.linear.inputs)
    }

    /// Returns `true` if both take the same states and give the same number of outputs.
    pub fn is_like(&self, other: &ActorLayers) -> bool {
        self.state_dim() == other.state_dim() && self.head.last().outputs == other.head.last().outputs
    }

    /// Returns `true` if both are the same network, as a file has it that refers to one object twice.
    pub fn is_same(&self, other: &ActorLayers) -> bool {
        let same = |a: &Linear, b: &Linear| a.weight == b.weight && a.bias == b.bias;
        self.trunk.len() == other.trunk.len()
            && self.trunk.iter().zip(&other.trunk).all(|(a, b)| same(&a.linear, &b.linear))
            && same(self.head.last(), other.head.last())
    }
}

impl ActorHead {
    /// Returns the layers that take the features.
    fn layers(&mut self) -> Vec<&mut Linear> {
        match self {
            ActorHead::Pair(mean, log_std, false) => vec![mean, log_std],
            ActorHead::Pair(mean, _, true) => vec![mean],
            ActorHead::Joint(layer) | ActorHead::Mean(layer) | ActorHead::Open(layer) => vec![layer],
        }
    }

    /// Returns the layer that gives the mean.
    pub fn last(&self) -> &Linear {
        match self {
            ActorHead::Pair(mean, ..) => mean,
            ActorHead::Joint(layer) | ActorHead::Mean(layer) | ActorHead::Open(layer) => layer,
        }
    }
}

/// Splits a joint head into the mean's half and log_std's.
pub fn split(joint: Linear) -> Result<(Linear, Linear)> {
    let Linear { name, inputs, outputs, mut weight, mut bias } = joint;
    ensure!(
        outputs.is_multiple_of(2),
        "the last layer `{name}` gives {outputs} numbers: an even number is expected, the mean and then the log_std"
    );
    let half = outputs / 2;
    let (log_std_weight, log_std_bias) = (weight.split_off(half * inputs), bias.split_off(half));
    let part =
        |which: &str, weight, bias| Linear { name: format!("{name} ({which})"), inputs, outputs: half, weight, bias };
    Ok((part("mean", weight, bias), part("log_std", log_std_weight, log_std_bias)))
}

/// Returns the normalisations of a hidden layer's outputs: the one just after it in its series, and the one with the
/// activation between.
fn norms(scope: &Scope, layer: &str, layers: &[&str]) -> Result<(Option<LayerNorm>, Option<LayerNorm>)> {
    let mut names = after(layer, layers).into_iter();
    let mut next = || names.next().map(|name| scope.norm(&name)).transpose().map(Option::flatten);
    let (first, second) = (next()?, next()?);
    ensure!(first.is_none() || second.is_none(), "`{layer}` is followed by two normalisations: at most one is served");
    Ok((first, second))
}

/// Returns the names of modules between a layer and the next one of its series.
pub fn modules_after(layer: &str, next: Option<&str>) -> Option<(String, std::ops::Range<u64>)> {
    let start = number(layer) + 1;
    let series = series(layer);
    series.contains("{n}").then_some(())?;
    let end = next.filter(|next| self::series(next) == series).map_or(start + 3, number);
    Some((series, start..end))
}

/// Describes the shapes of a network for an error: `3 to 16 to 2`.
pub fn describe(layers: &ActorLayers) -> String {
    let head = layers.head.last();
    let widths = layers.trunk.iter().map(|hidden| hidden.linear.inputs).chain([head.inputs, head.outputs]);
    widths.map(|width| width.to_string()).collect::<Vec<_>>().join(" to ")
}

/// Adds the context of a layout to an error.
pub fn in_layout<T>(result: Result<T>, layout: &Layout) -> Result<T> {
    result.with_context(|| format!("the layout `{}`", layout.name))
}
