//! The network of a Gaussian actor as trainers build it: a trunk of linear layers and two heads.

use anyhow::{Result, ensure};

use super::linear::Linear;
use crate::wit::Activation;

/// The most weights that a network may have. Views on one storage, and layers that share weights, can stand for far more
/// numbers than their file holds.
pub const MAX_WEIGHTS: usize = 16 << 20;

/// A multilayer perceptron with a head for the mean and a head for log_std.
#[derive(Debug, Clone, PartialEq)]
pub struct Mlp {
    /// The hidden layers, of which there may be none. `activation` follows each.
    pub trunk: Vec<Linear>,
    pub activation: Activation,
    pub mean: Linear,
    /// If log_std is a parameter and not a layer, its weights are zero and its bias is the parameter.
    pub log_std: Linear,
}

impl Mlp {
    /// Checks that each layer takes as many numbers as the one before gives, and that all weights are finite.
    pub fn check(&self) -> Result<()> {
        for layer in self.trunk.iter().chain([&self.mean, &self.log_std]) {
            // The output does not always show it: ReLU turns -inf into 0.
            let found = layer.weight.iter().chain(&layer.bias).find(|number| !number.is_finite());
            ensure!(found.is_none(), "`{}` holds {}: finite weights are expected", layer.name, found.unwrap_or(&0.0));
        }
        for (before, after) in self.trunk.iter().zip(self.trunk.iter().skip(1)) {
            check_connection(before, after)?;
        }
        for head in [&self.mean, &self.log_std] {
            if let Some(last) = self.trunk.last() {
                check_connection(last, head)?;
            }
        }
        let (mean, log_std) = (&self.mean, &self.log_std);
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
        ensure!(self.state_dim() > 0 && self.action_dim() > 0, "the network has no inputs or no outputs");
        Ok(())
    }

    pub fn state_dim(&self) -> usize {
        self.trunk.first().unwrap_or(&self.mean).inputs
    }

    pub fn action_dim(&self) -> usize {
        self.mean.outputs
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
