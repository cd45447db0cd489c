//! The network in vectors of four lanes, as WebAssembly has them.

mod dots;
#[cfg(test)]
mod exact;
pub mod layer;
mod simd;
#[cfg(test)]
mod tests;
mod tile;

use crate::activation::{self, Activation};
use crate::network::{Hidden, MeanStep, Network};
use crate::vector::Vector;
use dots::Dots;
use layer::Layer;
use simd::{F32x4, LANES};
use tile::ROWS;

/// A [`Network`] packed for inference, with its buffers.
pub struct Kernel {
    state_dim: usize,
    /// The hidden layers, each with the activation after it.
    trunk: Vec<(Layer, Option<Activation>)>,
    /// The number of inputs of the heads.
    features: usize,
    mean: Dots,
    mean_step: Option<MeanStep>,
    log_std: Option<Dots>,
    /// The inputs of a layer, each repeated in all lanes. That costs four stores a vector and saves a broadcast a panel.
    x: Vec<F32x4>,
    /// The same inputs, four to a vector.
    packed: Vec<F32x4>,
    /// The outputs of a layer, which become the inputs of the next.
    y: Vec<F32x4>,
}

impl Kernel {
    /// Packs a network. Returns `None` if it is not sound.
    pub fn pack(network: &Network) -> Option<Self> {
        network.is_sound().then(|| Kernel::pack_sound(network))
    }

    fn pack_sound(network: &Network) -> Self {
        let widths = network.trunk.iter().flat_map(|hidden| [hidden.linear.inputs, hidden.linear.outputs]);
        let vectors = widths.chain([network.mean.inputs]).max().unwrap_or(0).div_ceil(LANES);
        let buffer = |vectors: usize| vec![F32x4::splat(0.0); vectors * ROWS];
        Self {
            state_dim: network.state_dim(),
            trunk: network.trunk.iter().map(|hidden| (Layer::pack(&hidden.linear), hidden.activation)).collect(),
            features: network.mean.inputs,
            mean: Dots::pack(&network.mean, 0),
            mean_step: network.mean_step,
            log_std: network.log_std.as_ref().map(|log_std| Dots::pack(log_std, 0)),
            x: buffer(vectors * LANES),
            packed: buffer(vectors),
            y: buffer(vectors),
        }
    }

    /// Returns the network as it was before it was packed.
    pub fn network(&self) -> Network<'static> {
        let hidden = |(layer, activation): &(Layer, _)| Hidden { linear: layer.unpack(), activation: *activation };
        Network {
            trunk: self.trunk.iter().map(hidden).collect(),
            mean: self.mean.unpack(self.features),
            mean_step: self.mean_step,
            log_std: self.log_std.as_ref().map(|log_std| log_std.unpack(self.features)),
        }
    }

    /// Runs row-major states [rows, state_dim]. Clears `mean`, and `log_std` if it is asked for, and fills them with
    /// row-major [rows, action_dim]. `log_std` stays empty if the network has none. A row gives the same bits alone and in
    /// any batch.
    pub fn run(&mut self, states: &[f32], mean: &mut Vec<f32>, mut log_std: Option<&mut Vec<f32>>) {
        mean.clear();
        if let Some(log_std) = &mut log_std {
            log_std.clear();
        }
        let mut tiles = states.chunks_exact(self.state_dim * ROWS);
        for states in &mut tiles {
            self.rows::<ROWS>(states, mean, log_std.as_deref_mut());
        }
        for state in tiles.remainder().chunks_exact(self.state_dim) {
            self.rows::<1>(state, mean, log_std.as_deref_mut());
        }
    }

    fn rows<const R: usize>(&mut self, states: &[f32], mean: &mut Vec<f32>, log_std: Option<&mut Vec<f32>>) {
        let x = self.x.as_chunks_mut::<R>().0;
        let (mut packed, mut y) = (self.packed.as_chunks_mut::<R>().0, self.y.as_chunks_mut::<R>().0);
        for (r, state) in states.chunks_exact(self.state_dim).enumerate() {
            state.chunks(LANES).zip(packed.iter_mut()).for_each(|(lanes, to)| to[r] = F32x4::from_prefix(lanes));
        }
        for (layer, activation) in &self.trunk {
            spread(&packed[..layer.inputs.div_ceil(LANES)], x);
            layer.run(x, packed, &mut y[..layer.vectors()]);
            if let Some(activation) = activation {
                activate(*activation, y[..layer.vectors()].as_flattened_mut());
            }
            std::mem::swap(&mut packed, &mut y);
        }
        let start = mean.len();
        append(&self.mean, packed, mean);
        if let Some(step) = self.mean_step {
            step.apply(&mut mean[start..]);
        }
        if let (Some(log_std), Some(head)) = (log_std, &self.log_std) {
            append(head, packed, log_std);
        }
    }
}

/// Applies an activation in place. It is the same code for one row and for several.
#[inline(never)]
fn activate(activation: Activation, values: &mut [F32x4]) {
    activation::apply(activation, values);
}

/// Appends the outputs of a head.
fn append<const R: usize>(head: &Dots, x: &[[F32x4; R]], to: &mut Vec<f32>) {
    let start = to.len();
    to.resize(start + R * head.outputs(), 0.0);
    head.run(x, &mut to[start..]);
}

/// Repeats each lane of `packed` in a vector of its own.
fn spread<const R: usize>(packed: &[[F32x4; R]], x: &mut [[F32x4; R]]) {
    for (vectors, x) in packed.iter().zip(x.as_chunks_mut::<LANES>().0) {
        for r in 0..R {
            let lanes = vectors[r].spread();
            for lane in 0..LANES {
                x[lane][r] = lanes[lane];
            }
        }
    }
}
