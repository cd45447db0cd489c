//! The network of a policy in the vectors of this processor, which may be wider than those of WebAssembly.
//!
//! The component describes its network in numbers, and the host computes with them. No code of the component runs here, and
//! the outputs have the bits of the component's own, which [`NativeNetwork::agrees`] checks.

use std::sync::Arc;

use sac_kernel::{Activation, Hidden, Linear, MeanStep, Network, Normalisation, Wide};

use crate::sandbox::bindings;
use crate::sandbox::bindings::{BatchParam, OutputsResult as Outputs};
use crate::sandbox::memory_budget::MemoryBudget;

/// A network that threads share. Its memory counts as that of an instance.
pub(crate) struct NativeNetwork {
    wide: Wide,
    state_dim: usize,
    bytes: usize,
    budget: Arc<MemoryBudget>,
}

impl NativeNetwork {
    /// Packs a network. Returns `None` if this processor has no wider vectors than WebAssembly, if the network is not sound, or
    /// if there is no memory for it.
    pub(super) fn pack(network: bindings::Network, budget: &Arc<MemoryBudget>) -> Option<Self> {
        let normalisation = network.normalisation.map(normalisation);
        let network = Network {
            trunk: network.trunk.into_iter().map(hidden).collect(),
            mean: linear(network.mean),
            mean_step: network.mean_limit.map(MeanStep::Clamp),
            log_std: network.log_std.map(linear),
        };
        let wide = Wide::pack(&network, normalisation.as_ref())?;
        let bytes = wide.bytes();
        let state_dim = network.state_dim();
        budget.take(bytes, false).then(|| NativeNetwork { wide, state_dim, bytes, budget: budget.clone() })
    }

    /// Computes the outputs of a part of a batch.
    pub(crate) fn forward(&self, part: &BatchParam) -> Outputs {
        let (mut mean, mut log_std) = (Vec::new(), Vec::new());
        self.wide.run(part.states, &mut mean, part.log_std.then_some(&mut log_std));
        Outputs { mean, log_std }
    }

    /// Returns `true` if these states have the same outputs here and there, to the last bit.
    pub(super) fn agrees(&self, part: &BatchParam, outputs: &Outputs) -> bool {
        let ours = self.forward(part);
        let bits = |numbers: &[f32]| numbers.iter().map(|number| number.to_bits()).collect::<Vec<_>>();
        bits(&ours.mean) == bits(&outputs.mean) && bits(&ours.log_std) == bits(&outputs.log_std)
    }

    /// Returns states that reach every weight: numbers spread over [-1, 1), for all numbers of rows that are computed in
    /// different ways.
    pub(super) fn samples(&self) -> Vec<f32> {
        const ROWS: usize = 71;
        (0..ROWS * self.state_dim).map(|i| (i as f32 * 0.618_034).fract() * 2.0 - 1.0).collect()
    }
}

impl Drop for NativeNetwork {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

fn normalisation(it: bindings::Normalisation) -> Normalisation<'static> {
    Normalisation { mean: it.mean.into(), std: it.std.into(), clip: it.clip }
}

fn hidden(it: bindings::Hidden) -> Hidden<'static> {
    Hidden { linear: linear(it.linear), activation: it.activation.map(activation) }
}

fn linear(it: bindings::Linear) -> Linear<'static> {
    let (inputs, outputs) = (it.inputs as usize, it.outputs as usize);
    Linear { inputs, outputs, weight: it.weight.into(), bias: it.bias.into() }
}

fn activation(it: bindings::Activation) -> Activation {
    match it {
        bindings::Activation::Relu => Activation::Relu,
        bindings::Activation::LeakyRelu => Activation::LeakyRelu,
        bindings::Activation::Elu => Activation::Elu,
        bindings::Activation::Silu => Activation::Silu,
        bindings::Activation::Gelu => Activation::Gelu,
        bindings::Activation::Tanh => Activation::Tanh,
        bindings::Activation::Sigmoid => Activation::Sigmoid,
        bindings::Activation::Relu6 => Activation::Relu6,
        bindings::Activation::Selu => Activation::Selu,
        bindings::Activation::Celu => Activation::Celu,
        bindings::Activation::Mish => Activation::Mish,
        bindings::Activation::Softplus => Activation::Softplus,
        bindings::Activation::Hardswish => Activation::Hardswish,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: usize = 1 << 20;

    /// Describes y = 2·x₀ - x₁ with a ReLU before it that changes nothing for the weights of one.
    fn network() -> bindings::Network {
        let linear = |outputs, weight: &[f32], bias: &[f32]| bindings::Linear {
            inputs: 2,
            outputs,
            weight: weight.to_vec(),
            bias: bias.to_vec(),
        };
        let trunk = bindings::Hidden {
            linear: linear(2, &[1.0, 0.0, 0.0, 1.0], &[4.0, 4.0]),
            activation: Some(bindings::Activation::Relu),
        };
        let mean = linear(1, &[2.0, -1.0], &[-4.0]);
        bindings::Network { normalisation: None, trunk: vec![trunk], mean, mean_limit: None, log_std: None }
    }

    fn budget() -> Arc<MemoryBudget> {
        Arc::new(MemoryBudget::new(FULL, 0))
    }

    #[test]
    fn outputs_other_than_the_components_are_noticed_to_the_last_bit() {
        let Some(native) = NativeNetwork::pack(network(), &budget()) else {
            assert!(!Wide::is_supported());
            return;
        };
        let part = BatchParam { states: &[1.0, 2.0, -3.0, 0.5], log_std: true };
        let outputs = native.forward(&part);
        assert_eq!((outputs.mean.as_slice(), outputs.log_std.len()), (&[0.0, -6.5][..], 0));
        assert!(native.agrees(&part, &outputs));
        for mean in [vec![0.0, -6.500_001], vec![-0.0, -6.5], vec![0.0], vec![]] {
            assert!(!native.agrees(&part, &Outputs { mean, log_std: vec![] }));
        }
        let log_std = vec![0.0, 0.0];
        assert!(!native.agrees(&part, &Outputs { log_std, ..outputs }));
    }

    #[test]
    fn a_description_that_fits_no_network_is_none_of_the_hosts() {
        let wrong: [fn(&mut bindings::Network); 5] = [
            |it| it.mean.inputs = 3,
            |it| it.trunk[0].linear.outputs = u32::MAX,
            |it| it.trunk[0].linear.bias.clear(),
            |it| it.mean_limit = Some(f32::NAN),
            |it| it.log_std = Some(bindings::Linear { inputs: 0, outputs: 0, weight: vec![], bias: vec![] }),
        ];
        for wrong in wrong {
            let mut network = network();
            wrong(&mut network);
            assert!(NativeNetwork::pack(network, &budget()).is_none());
        }
    }

    #[test]
    fn its_memory_counts_while_it_lives() {
        let budget = budget();
        let Some(native) = NativeNetwork::pack(network(), &budget) else { return };
        assert!(!budget.take(FULL, false) && budget.take(FULL - native.bytes, false));
        assert!(NativeNetwork::pack(network(), &budget).is_none(), "the budget is full");
        drop(native);
        assert!(budget.take(1, false));
    }
}
