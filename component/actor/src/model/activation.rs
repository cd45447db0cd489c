//! The activation functions and the names that trainers give them.

use anyhow::{Context, Result};

use crate::wit::Activation;

/// Every activation with its names in lowercase; the first is the one that this crate writes.
const NAMES: &[(Activation, &[&str])] = &[
    (Activation::Relu, &["relu"]),
    (Activation::LeakyRelu, &["leaky_relu", "leakyrelu"]),
    (Activation::Elu, &["elu"]),
    (Activation::Silu, &["silu", "swish"]),
    (Activation::Gelu, &["gelu"]),
    (Activation::Tanh, &["tanh"]),
    (Activation::Sigmoid, &["sigmoid"]),
];

impl Activation {
    /// The slope of a LeakyReLU for negative inputs, which is PyTorch's default.
    pub(crate) const LEAKY_SLOPE: f32 = 0.01;

    /// Parses a name such as `relu`, `nn.ReLU`, `torch.nn.modules.activation.ReLU` or `<class '…ReLU'>`.
    pub(crate) fn parse(name: &str) -> Result<Self> {
        let last = name.trim_end_matches(['\'', '>', '(', ')']).rsplit('.').next().unwrap_or(name).to_lowercase();
        let known = NAMES.iter().find(|(_, names)| names.contains(&last.as_str()));
        known.map(|(activation, _)| *activation).with_context(|| {
            let names = NAMES.iter().map(|(_, names)| names[0]).collect::<Vec<_>>().join(", ");
            format!("the activation `{name}` is none of {names}")
        })
    }

    /// Returns the name that this crate writes.
    pub(crate) fn name(self) -> &'static str {
        NAMES.iter().find(|(activation, _)| *activation == self).map_or("", |(_, names)| names[0])
    }
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
            assert_eq!(Activation::parse(name).unwrap(), activation, "{name}");
        }
        let refused = Activation::parse("Snake").unwrap_err().to_string();
        assert!(refused.contains("`Snake` is none of relu, leaky_relu, elu, silu, gelu, tanh, sigmoid"), "{refused}");
    }
}
