//! The network of an actor as trainers build it: hidden layers, and one or two linear heads.

use anyhow::{Result, ensure};
use sac_kernel::MeanStep;

use super::linear::Linear;
use crate::wit::{Activation, Layer};

/// The most weights that a network may have. Views on one storage, and layers that share weights, can stand for far more
/// numbers than their file holds.
pub const MAX_WEIGHTS: usize = 16 << 20;

/// A multilayer perceptron with a head for the mean, and one for log_std if actions can be sampled.
#[derive(Debug, Clone, PartialEq)]
pub struct Mlp {
    /// The hidden layers, of which there may be none.
    pub trunk: Vec<Hidden>,
    pub mean: Linear,
    /// A step between the mean's head and the squash. It is part of the mean.
    pub mean_step: Option<MeanStep>,
    /// None if actions cannot be sampled. If log_std is a parameter and not a layer, its weights are zero and its bias is
    /// the parameter.
    pub log_std: Option<Linear>,
}

/// A hidden layer: a linear map, then what follows it in this order.
#[derive(Debug, Clone, PartialEq)]
pub struct Hidden {
    pub linear: Linear,
    pub norm: Option<LayerNorm>,
    /// None for a layer that nothing follows.
    pub activation: Option<Activation>,
    /// A normalisation after the activation.
    pub norm_after: Option<LayerNorm>,
}

impl Hidden {
    /// Makes a layer without normalisation.
    pub fn new(linear: Linear, activation: Option<Activation>) -> Self {
        Hidden { linear, norm: None, activation, norm_after: None }
    }
}

/// The normalisation of a layer's outputs by their mean and variance (Ba et al., 2016), with one weight and one bias for
/// each output.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerNorm {
    /// The name in the file.
    pub name: String,
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
}

impl LayerNorm {
    /// The number added to the variance: PyTorch's default.
    pub const EPSILON: f32 = 1e-5;
}

impl Mlp {
    /// Checks that each layer takes as many numbers as the one before gives, and that all weights are finite.
    pub fn check(&self) -> Result<()> {
        for layer in self.linears() {
            // The output does not always show it: ReLU turns -inf into 0.
            let found = layer.weight.iter().chain(&layer.bias).find(|number| !number.is_finite());
            ensure!(found.is_none(), "`{}` holds {}: finite weights are expected", layer.name, found.unwrap_or(&0.0));
        }
        for (before, after) in self.trunk.iter().zip(self.trunk.iter().skip(1)) {
            check_connection(&before.linear, &after.linear)?;
        }
        for head in [Some(&self.mean), self.log_std.as_ref()].into_iter().flatten() {
            if let Some(last) = self.trunk.last() {
                check_connection(&last.linear, head)?;
            }
        }
        for hidden in &self.trunk {
            for norm in [&hidden.norm, &hidden.norm_after].into_iter().flatten() {
                let (found, expected) = (norm.weight.len(), hidden.linear.outputs);
                ensure!(
                    found == expected && norm.bias.len() == expected,
                    "`{}` normalises {found} numbers, and the layer before it gives {expected}",
                    norm.name
                );
                let finite = norm.weight.iter().chain(&norm.bias).all(|number| number.is_finite());
                ensure!(finite, "`{}` holds a number that is not finite", norm.name);
            }
        }
        if let Some(log_std) = &self.log_std {
            let mean = &self.mean;
            ensure!(
                mean.outputs == log_std.outputs && mean.inputs == log_std.inputs,
                "`{}` has the shape [{}, {}] and `{}` has [{}, {}]: the heads must be of one shape",
                mean.name,
                mean.outputs,
                mean.inputs,
                log_std.name,
                log_std.outputs,
                log_std.inputs
            );
        }
        ensure!(self.state_dim() > 0 && self.action_dim() > 0, "the network has no inputs or no outputs");
        Ok(())
    }

    pub fn state_dim(&self) -> usize {
        self.trunk.first().map_or(self.mean.inputs, |hidden| hidden.linear.inputs)
    }

    pub fn action_dim(&self) -> usize {
        self.mean.outputs
    }

    /// Returns the linear layers in the order of computation.
    pub fn linears(&self) -> impl Iterator<Item = &Linear> {
        self.trunk.iter().map(|hidden| &hidden.linear).chain([&self.mean]).chain(&self.log_std)
    }

    /// Returns the linear layers as they are reported.
    pub fn layers(&self) -> Vec<Layer> {
        // Checked dimensions are far below 2³².
        let size = |dim: usize| u32::try_from(dim).unwrap_or(u32::MAX);
        let layer = |it: &Linear| Layer { name: it.name.clone(), inputs: size(it.inputs), outputs: size(it.outputs) };
        self.linears().map(layer).collect()
    }

    /// Computes the mean for one state in double precision, slowly and without regard to the backends. The kernel is
    /// compared with it, and so are examples where a fact is missing.
    pub fn mean_of(&self, state: &[f64]) -> Vec<f64> {
        self.mean_after(&self.features(state))
    }

    /// Computes the mean and the output of the log_std head, which is empty without one, as [`Mlp::mean_of`] does.
    pub fn outputs_of(&self, state: &[f64]) -> [Vec<f64>; 2] {
        let features = self.features(state);
        let log_std = self.log_std.as_ref().map(|head| head.of(&features));
        [self.mean_after(&features), log_std.unwrap_or_default()]
    }

    /// Computes what the heads take.
    fn features(&self, state: &[f64]) -> Vec<f64> {
        self.trunk.iter().fold(state.to_vec(), |x, hidden| hidden.of(&x))
    }

    fn mean_after(&self, features: &[f64]) -> Vec<f64> {
        let mut mean = self.mean.of(features);
        for mean in &mut mean {
            *mean = match self.mean_step {
                None => *mean,
                Some(MeanStep::Tanh) => mean.tanh(),
                Some(MeanStep::Clamp(limit)) => mean.clamp(-f64::from(limit), f64::from(limit)),
            };
        }
        mean
    }
}

impl Hidden {
    fn of(&self, x: &[f64]) -> Vec<f64> {
        let mut y = self.linear.of(x);
        self.norm.iter().for_each(|norm| norm.apply(&mut y));
        if let Some(activation) = self.activation {
            y.iter_mut().for_each(|y| *y = activation.of(*y));
        }
        self.norm_after.iter().for_each(|norm| norm.apply(&mut y));
        y
    }
}

impl LayerNorm {
    fn apply(&self, y: &mut [f64]) {
        let count = y.len() as f64;
        let mean = y.iter().sum::<f64>() / count;
        let variance = y.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / count;
        let std = (variance + f64::from(Self::EPSILON)).sqrt();
        for ((y, weight), bias) in y.iter_mut().zip(&self.weight).zip(&self.bias) {
            *y = (*y - mean) / std * f64::from(*weight) + f64::from(*bias);
        }
    }
}

fn check_connection(before: &Linear, after: &Linear) -> Result<()> {
    ensure!(
        before.outputs == after.inputs,
        "`{}` gives {} numbers and `{}` takes {}: they must be as many",
        before.name,
        before.outputs,
        after.name,
        after.inputs
    );
    Ok(())
}
