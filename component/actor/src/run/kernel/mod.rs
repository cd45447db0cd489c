//! The kernel: inference of networks of linear layers, for one row or a batch. It knows nothing but such networks.

mod activation;
mod dots;
mod layer;
mod simd;
#[cfg(test)]
mod tests;
mod tile;

use crate::model::{Activation, Mlp};
use dots::Dots;
use layer::Layer;
use simd::{F32x4, LANES};
use tile::ROWS;

/// An [`Mlp`] packed for inference, with its buffers.
pub struct Kernel {
    state_dim: usize,
    activation: Activation,
    trunk: Vec<Layer>,
    mean: Dots,
    log_std: Dots,
    /// The inputs of a layer, each repeated in all lanes. That costs four stores a vector and saves a broadcast a panel.
    x: Vec<F32x4>,
    /// The same inputs, four to a vector.
    packed: Vec<F32x4>,
    /// The outputs of a layer, which become the inputs of the next.
    y: Vec<F32x4>,
}

impl Kernel {
    /// Packs a network that has passed [`Mlp::check`].
    pub fn pack(mlp: &Mlp) -> Self {
        let widths = mlp.trunk.iter().flat_map(|linear| [linear.inputs, linear.outputs]);
        let vectors = widths.chain([mlp.mean.inputs]).max().unwrap_or(0).div_ceil(LANES);
        let buffer = |vectors: usize| vec![F32x4::splat(0.0); vectors * ROWS];
        Self {
            state_dim: mlp.state_dim(),
            activation: mlp.activation,
            trunk: mlp.trunk.iter().map(Layer::pack).collect(),
            mean: Dots::pack(&mlp.mean, 0),
            log_std: Dots::pack(&mlp.log_std, 0),
            x: buffer(vectors * LANES),
            packed: buffer(vectors),
            y: buffer(vectors),
        }
    }

    /// Runs row-major states [rows, state_dim]. Clears `mean`, and `log_std` if it is asked for, and fills them with
    /// row-major [rows, action_dim]. A row gives the same bits alone and in any batch.
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
        for layer in &self.trunk {
            spread(&packed[..layer.inputs.div_ceil(LANES)], x);
            layer.run(x, packed, &mut y[..layer.vectors()]);
            activation::apply(self.activation, y[..layer.vectors()].as_flattened_mut());
            std::mem::swap(&mut packed, &mut y);
        }
        append(&self.mean, packed, mean);
        if let Some(log_std) = log_std {
            append(&self.log_std, packed, log_std);
        }
    }
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
