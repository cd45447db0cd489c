//! The network of an actor as trainers know it: linear layers with an activation after each, and two heads.

use anyhow::{Result, bail, ensure};

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    Relu,
    LeakyRelu,
    Elu,
    Silu,
    Gelu,
    Tanh,
    Sigmoid,
}

impl Activation {
    /// The names that trainers give it, the first being ours, in lowercase and without `_`.
    const NAMES: &[(Activation, &[&str])] = &[
        (Activation::Relu, &["relu"]),
        (Activation::LeakyRelu, &["leaky_relu", "leakyrelu"]),
        (Activation::Elu, &["elu"]),
        (Activation::Silu, &["silu", "swish"]),
        (Activation::Gelu, &["gelu"]),
        (Activation::Tanh, &["tanh"]),
        (Activation::Sigmoid, &["sigmoid"]),
    ];

    /// Of PyTorch's `LeakyReLU` where nothing else is said.
    pub const LEAKY_SLOPE: f32 = 0.01;

    /// By a name such as `relu`, `nn.ReLU`, `torch.nn.modules.activation.ReLU` or `<class '…ReLU'>`.
    pub fn named(name: &str) -> Result<Self> {
        let last = name.trim_end_matches(['\'', '>', '(', ')']).rsplit('.').next().unwrap_or(name).to_lowercase();
        let known = Self::NAMES.iter().find(|(_, names)| names.contains(&last.as_str()));
        match known {
            Some((activation, _)) => Ok(*activation),
            None => bail!("the activation `{name}` is none of {}", Self::names().join(", ")),
        }
    }

    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(activation, _)| *activation == self).map_or("", |(_, names)| names[0])
    }

    fn names() -> Vec<&'static str> {
        Self::NAMES.iter().map(|(_, names)| names[0]).collect()
    }
}

/// y = W·x + b.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    /// As the file has it.
    pub name: String,
    pub inputs: usize,
    pub outputs: usize,
    /// Row-major [outputs, inputs], as PyTorch keeps it.
    pub weight: Vec<f32>,
    /// [outputs].
    pub bias: Vec<f32>,
}

/// The network of a Gaussian actor. A `log_std` that is a parameter is a layer whose weights are zero.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    /// Of any depth, with `activation` after each layer.
    pub trunk: Vec<Linear>,
    pub activation: Activation,
    pub mean: Linear,
    pub log_std: Linear,
}

impl Dense {
    /// Checks that each layer takes what the one before gives, and that its weights are finite.
    pub fn check(&self) -> Result<()> {
        for layer in self.trunk.iter().chain([&self.mean, &self.log_std]) {
            // An activation can hide what is not finite.
            let found = layer.weight.iter().chain(&layer.bias).find(|number| !number.is_finite());
            ensure!(found.is_none(), "`{}` holds {}: finite weights are expected", layer.name, found.unwrap_or(&0.0));
        }
        for (before, after) in self.trunk.iter().zip(self.trunk.iter().skip(1)) {
            check_joint(before, after)?;
        }
        for head in [&self.mean, &self.log_std] {
            if let Some(last) = self.trunk.last() {
                check_joint(last, head)?;
            }
        }
        let (mean, log_std) = (&self.mean, &self.log_std);
        ensure!(
            mean.outputs == log_std.outputs && mean.inputs == log_std.inputs,
            "`{}` is [{}, {}] and `{}` is [{}, {}]: the heads must be of one shape",
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

fn check_joint(before: &Linear, after: &Linear) -> Result<()> {
    ensure!(
        before.outputs == after.inputs,
        "`{}` gives {} numbers and `{}` takes {}",
        before.name,
        before.outputs,
        after.name,
        after.inputs
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Activation;

    #[test]
    fn an_activation_goes_by_the_names_that_trainers_write() {
        for (name, activation) in [
            ("relu", Activation::Relu),
            ("ReLU", Activation::Relu),
            ("nn.Tanh", Activation::Tanh),
            ("nn.Tanh()", Activation::Tanh),
            ("torch.nn.modules.activation.SiLU", Activation::Silu),
            ("<class 'torch.nn.modules.activation.ELU'>", Activation::Elu),
            ("swish", Activation::Silu),
            ("leaky_relu", Activation::LeakyRelu),
        ] {
            assert_eq!(Activation::named(name).unwrap(), activation, "{name}");
        }
        let refused = Activation::named("Snake").unwrap_err().to_string();
        assert!(refused.contains("`Snake` is none of relu, leaky_relu, elu, silu, gelu, tanh, sigmoid"), "{refused}");
    }
}
