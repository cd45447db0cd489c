//! The layers of a policy in the kernel's words.

use std::borrow::Cow;

use crate::model::{self, Mlp};
use crate::wit::Activation;

/// Describes a network to the kernel. Returns `None` if it has a step that the kernel does not have.
pub fn plain(mlp: &Mlp) -> Option<sac_kernel::Network<'_>> {
    Some(sac_kernel::Network {
        trunk: mlp.trunk.iter().map(plain_hidden).collect::<Option<_>>()?,
        mean: borrowed(&mlp.mean),
        mean_step: mlp.mean_step,
        log_std: mlp.log_std.as_ref().map(borrowed),
    })
}

fn plain_hidden(hidden: &model::Hidden) -> Option<sac_kernel::Hidden<'_>> {
    let is_plain = hidden.norm.is_none() && hidden.norm_after.is_none();
    let activation = hidden.activation.map(sac_kernel::Activation::from);
    is_plain.then(|| sac_kernel::Hidden { linear: borrowed(&hidden.linear), activation })
}

fn borrowed(linear: &model::Linear) -> sac_kernel::Linear<'_> {
    let model::Linear { inputs, outputs, weight, bias, .. } = linear;
    let (weight, bias) = (Cow::Borrowed(&weight[..]), Cow::Borrowed(&bias[..]));
    sac_kernel::Linear { inputs: *inputs, outputs: *outputs, weight, bias }
}

impl From<Activation> for sac_kernel::Activation {
    fn from(activation: Activation) -> Self {
        match activation {
            Activation::Relu => Self::Relu,
            Activation::LeakyRelu => Self::LeakyRelu,
            Activation::Elu => Self::Elu,
            Activation::Silu => Self::Silu,
            Activation::Gelu => Self::Gelu,
            Activation::Tanh => Self::Tanh,
            Activation::Sigmoid => Self::Sigmoid,
            Activation::Relu6 => Self::Relu6,
            Activation::Selu => Self::Selu,
            Activation::Celu => Self::Celu,
            Activation::Mish => Self::Mish,
            Activation::Softplus => Self::Softplus,
            Activation::Hardswish => Self::Hardswish,
        }
    }
}
