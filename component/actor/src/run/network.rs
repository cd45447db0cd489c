//! The layers of a policy in the kernel's words, and in those of the contract.

use std::borrow::Cow;

use sac_kernel::Kernel;

use crate::model::{self, MeanStep, Mlp, Normalisation};
use crate::wit::{Activation, Hidden, Linear, Network};

/// Describes a network to the kernel. Returns `None` if it has a step that the kernel does not have.
pub fn plain(mlp: &Mlp) -> Option<sac_kernel::Network<'_>> {
    Some(sac_kernel::Network {
        trunk: mlp.trunk.iter().map(plain_hidden).collect::<Option<_>>()?,
        mean: borrowed(&mlp.mean),
        mean_step: mlp.mean_step,
        log_std: mlp.log_std.as_ref().map(borrowed),
    })
}

/// Describes the network of a kernel to an owner. Returns `None` if the owner may compute other bits: tanh after the mean is
/// that of libm, and each platform has its own.
pub fn contract(kernel: &Kernel, normalisation: Option<&Normalisation>) -> Option<Network> {
    let sac_kernel::Network { trunk, mean, mean_step, log_std } = kernel.network();
    let mean_limit = match mean_step {
        None => None,
        Some(MeanStep::Clamp(limit)) => Some(limit),
        Some(MeanStep::Tanh) => return None,
    };
    Some(Network {
        normalisation: normalisation.cloned(),
        trunk: trunk.into_iter().map(contract_hidden).collect::<Option<_>>()?,
        mean: owned(mean),
        mean_limit,
        log_std: log_std.map(owned),
    })
}

fn plain_hidden(hidden: &model::Hidden) -> Option<sac_kernel::Hidden<'_>> {
    let is_plain = hidden.norm.is_none() && hidden.norm_after.is_none();
    let activation = hidden.activation.map(sac_kernel::Activation::from);
    is_plain.then(|| sac_kernel::Hidden { linear: borrowed(&hidden.linear), activation })
}

fn contract_hidden(hidden: sac_kernel::Hidden) -> Option<Hidden> {
    let named = |of_kernel| Activation::ALL.into_iter().find(|it| sac_kernel::Activation::from(*it) == of_kernel);
    let activation = match hidden.activation {
        Some(activation) => Some(named(activation)?),
        None => None,
    };
    Some(Hidden { linear: owned(hidden.linear), activation })
}

fn borrowed(linear: &model::Linear) -> sac_kernel::Linear<'_> {
    let model::Linear { inputs, outputs, weight, bias, .. } = linear;
    let (weight, bias) = (Cow::Borrowed(&weight[..]), Cow::Borrowed(&bias[..]));
    sac_kernel::Linear { inputs: *inputs, outputs: *outputs, weight, bias }
}

fn owned(linear: sac_kernel::Linear) -> Linear {
    let (weight, bias) = (linear.weight.into_owned(), linear.bias.into_owned());
    Linear { inputs: size(linear.inputs), outputs: size(linear.outputs), weight, bias }
}

/// Checked dimensions are far below 2³².
fn size(dim: usize) -> u32 {
    u32::try_from(dim).unwrap_or(u32::MAX)
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
