//! The layers of a network in vectors of `N` lanes.

use super::dots::Dots;
use super::layer::Layer;
use super::rows::Rows;
use crate::activation::{self, Activation};
use crate::network::{MeanStep, Network};

/// The most rows that go through a layer together, so that they share the weights in a core's caches.
const BLOCK: usize = 32;
/// The most numbers that they have in a layer, unless it is so wide that one tile has more.
const BLOCK_NUMBERS: usize = 1 << 16;

/// A packed network.
pub struct Packed<const N: usize> {
    state_dim: usize,
    trunk: Vec<(Layer<N>, Option<Activation>)>,
    mean: Dots<N>,
    mean_step: Option<MeanStep>,
    log_std: Option<Dots<N>>,
}

impl<const N: usize> Packed<N> {
    /// Packs a network that is sound.
    pub fn new(network: &Network) -> Self {
        Self {
            state_dim: network.state_dim(),
            trunk: network.trunk.iter().map(|hidden| (Layer::pack(&hidden.linear), hidden.activation)).collect(),
            mean: Dots::pack(&network.mean, 0),
            mean_step: network.mean_step,
            log_std: network.log_std.as_ref().map(|log_std| Dots::pack(log_std, 0)),
        }
    }

    pub fn bytes(&self) -> usize {
        let trunk = self.trunk.iter().map(|(layer, activation)| size_of_val(activation) + layer.bytes()).sum::<usize>();
        trunk + self.mean.bytes() + self.log_std.as_ref().map_or(0, Dots::bytes)
    }

    /// Appends the outputs of row-major states. `R` rows make a tile.
    #[inline(always)]
    pub fn run<const R: usize>(&self, states: &[f32], mean: &mut Vec<f32>, mut log_std: Option<&mut Vec<f32>>) {
        let strides = self.trunk.iter().map(|(layer, _)| layer.stride());
        let width = strides.fold(Rows::stride_of(self.state_dim), usize::max);
        let block = (BLOCK_NUMBERS / width / R * R).clamp(R, BLOCK);
        let numbers = block.min(states.len() / self.state_dim) * width;
        let (mut x, mut y) = (Rows::new(numbers), Rows::new(numbers));
        for states in states.chunks(self.state_dim * block) {
            x.fill(states, self.state_dim);
            for (layer, activation) in &self.trunk {
                layer.run::<R>(&x, &mut y);
                if let Some(activation) = activation {
                    // One lane at a time: LLVM makes a loop of vectors of that. A closure would be a function of its
                    // own, without the wide vectors.
                    for row in y.rows_mut() {
                        activation::apply(*activation, row.as_chunks_mut::<1>().0);
                    }
                }
                std::mem::swap(&mut x, &mut y);
            }
            let start = mean.len();
            append::<N, R>(&self.mean, &x, mean);
            if let Some(step) = self.mean_step {
                step.apply(&mut mean[start..]);
            }
            if let (Some(log_std), Some(head)) = (&mut log_std, &self.log_std) {
                append::<N, R>(head, &x, log_std);
            }
        }
    }
}

/// Appends the outputs of a head.
#[inline(always)]
fn append<const N: usize, const R: usize>(head: &Dots<N>, x: &Rows, to: &mut Vec<f32>) {
    let start = to.len();
    to.resize(start + x.count() * head.outputs(), 0.0);
    head.run::<R>(x, &mut to[start..], head.outputs(), 0);
}
