//! The activation functions and the names that trainers give them.

use anyhow::{Context, Result};

use crate::wit::Activation;

/// Every activation with its names in lowercase; the first is the one that this crate writes.
const NAMES: &[(Activation, &[&str])] = &[
    (Activation::Relu, &["relu"]),
    (Activation::LeakyRelu, &["leaky_relu", "leakyrelu", "leaky"]),
    (Activation::Elu, &["elu"]),
    (Activation::Silu, &["silu", "swish"]),
    (Activation::Gelu, &["gelu"]),
    (Activation::Tanh, &["tanh"]),
    (Activation::Sigmoid, &["sigmoid"]),
    (Activation::Relu6, &["relu6"]),
    (Activation::Selu, &["selu"]),
    (Activation::Celu, &["celu"]),
    (Activation::Mish, &["mish"]),
    (Activation::Softplus, &["softplus"]),
    (Activation::Hardswish, &["hardswish", "hard_swish"]),
];

impl Activation {
    /// Every activation, the usual ones first.
    pub(crate) const ALL: [Activation; 13] = [
        Activation::Relu,
        Activation::Tanh,
        Activation::Elu,
        Activation::Silu,
        Activation::Gelu,
        Activation::LeakyRelu,
        Activation::Selu,
        Activation::Mish,
        Activation::Sigmoid,
        Activation::Softplus,
        Activation::Hardswish,
        Activation::Celu,
        Activation::Relu6,
    ];

    /// The slope of a LeakyReLU for negative inputs.
    pub(crate) const LEAKY_SLOPE: f32 = sac_kernel::Activation::LEAKY_SLOPE;

    /// The scale and the alpha of SELU.
    pub(crate) const SELU: [f32; 2] = sac_kernel::Activation::SELU;

    /// Parses a name such as `relu`, `nn.ReLU`, `torch.nn.modules.activation.ReLU` or `<class '…ReLU'>`.
    pub(crate) fn parse(name: &str) -> Result<Self> {
        let last = name.trim_end_matches(['\'', '>', '(', ')']).rsplit('.').next().unwrap_or(name).to_lowercase();
        let known = NAMES.iter().find(|(_, names)| names.contains(&last.as_str()));
        known.map(|(activation, _)| *activation).with_context(|| {
            let names = NAMES.iter().map(|(_, names)| names[0]).collect::<Vec<_>>().join(", ");
            format!(
                "the activation `{name}` is none of {names}; any policy is served as an ONNX graph or a TorchScript program \
                 that gives the action"
            )
        })
    }

    /// Returns the name that this crate writes.
    pub(crate) fn name(self) -> &'static str {
        NAMES.iter().find(|(activation, _)| *activation == self).map_or("", |(_, names)| names[0])
    }

    /// Computes the activation of one number, by its definition.
    pub(crate) fn of(self, x: f64) -> f64 {
        sac_kernel::Activation::from(self).of(x)
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
            ("torch.nn.modules.activation.Mish", Activation::Mish),
        ] {
            assert_eq!(Activation::parse(name).unwrap(), activation, "{name}");
        }
        let refused = Activation::parse("Snake").unwrap_err().to_string();
        assert!(refused.contains("`Snake` is none of relu, leaky_relu, elu, silu, gelu, tanh, sigmoid"), "{refused}");
    }

    #[test]
    fn every_activation_is_listed_with_its_value() {
        // PyTorch's values at 0.7 and at -1.3.
        for (activation, expected) in [
            (Activation::Relu, [0.7, 0.0]),
            (Activation::LeakyRelu, [0.700_000, -0.013_000]),
            (Activation::Elu, [0.700_000, -0.727_468]),
            (Activation::Silu, [0.467_731, -0.278_415]),
            (Activation::Gelu, [0.530_625, -0.125_841]),
            (Activation::Tanh, [0.604_368, -0.861_723]),
            (Activation::Sigmoid, [0.668_188, 0.214_165]),
            (Activation::Relu6, [0.7, 0.0]),
            (Activation::Selu, [0.735_491, -1.278_961]),
            (Activation::Celu, [0.7, -0.727_468]),
            (Activation::Mish, [0.561_148, -0.307_382]),
            (Activation::Softplus, [1.103_186, 0.241_008]),
            (Activation::Hardswish, [0.431_667, -0.368_333]),
        ] {
            assert!(Activation::ALL.contains(&activation));
            for (x, expected) in [0.7, -1.3].into_iter().zip(expected) {
                let found = activation.of(x);
                assert!((found - expected).abs() < 2e-6, "{activation:?} of {x} is {found}, expected {expected}");
            }
        }
    }
}
