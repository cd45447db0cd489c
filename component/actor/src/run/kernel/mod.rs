//! The inference of a dense network, one row or a batch.

mod activation;
mod dots;
mod layer;
mod simd;
#[cfg(test)]
mod tests;
mod tile;

use dots::Dots;
use layer::Layer;
use simd::{F32x4, LANES};
use tile::ROWS;

use crate::model::mlp::{Activation, Dense};

/// A [`Dense`] packed for inference, with the buffers that takes.
pub struct Kernel {
    state_dim: usize,
    activation: Activation,
    trunk: Vec<Layer>,
    mean: Dots,
    log_std: Dots,
    /// A layer's inputs, each repeated in all lanes: that costs four stores a vector and saves a broadcast a panel.
    x: Vec<F32x4>,
    /// The same inputs, four to a vector.
    dense: Vec<F32x4>,
    /// A layer's outputs, which then become the inputs of the next.
    y: Vec<F32x4>,
}

impl Kernel {
    /// Of a network that [`Dense::check`] has found well.
    pub fn pack(dense: &Dense) -> Self {
        let widths = dense.trunk.iter().flat_map(|linear| [linear.inputs, linear.outputs]);
        let vectors = widths.chain([dense.mean.inputs]).max().unwrap_or(0).div_ceil(LANES);
        let buffer = |vectors: usize| vec![F32x4::splat(0.0); vectors * ROWS];
        Self {
            state_dim: dense.state_dim(),
            activation: dense.activation,
            trunk: dense.trunk.iter().map(Layer::pack).collect(),
            mean: Dots::pack(&dense.mean, 0),
            log_std: Dots::pack(&dense.log_std, 0),
            x: buffer(vectors * LANES),
            dense: buffer(vectors),
            y: buffer(vectors),
        }
    }

    /// `states` is row-major [rows, state_dim]; `mean`, and `log_std` where asked for, are cleared and filled with
    /// row-major [rows, action_dim]. A row's result is the same, bit by bit, alone and in any batch.
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
        let (mut dense, mut y) = (self.dense.as_chunks_mut::<R>().0, self.y.as_chunks_mut::<R>().0);
        for (r, state) in states.chunks_exact(self.state_dim).enumerate() {
            state.chunks(LANES).zip(dense.iter_mut()).for_each(|(lanes, to)| to[r] = F32x4::from_prefix(lanes));
        }
        for layer in &self.trunk {
            spread(&dense[..layer.inputs.div_ceil(LANES)], x);
            layer.run(x, dense, &mut y[..layer.vectors()]);
            activation::apply(self.activation, y[..layer.vectors()].as_flattened_mut());
            std::mem::swap(&mut dense, &mut y);
        }
        append(&self.mean, dense, mean);
        if let Some(log_std) = log_std {
            append(&self.log_std, dense, log_std);
        }
    }
}

fn append<const R: usize>(head: &Dots, x: &[[F32x4; R]], to: &mut Vec<f32>) {
    let start = to.len();
    to.resize(start + R * head.outputs(), 0.0);
    head.run(x, &mut to[start..]);
}

/// Repeats each lane of `dense` in a vector of its own.
fn spread<const R: usize>(dense: &[[F32x4; R]], x: &mut [[F32x4; R]]) {
    for (vectors, x) in dense.iter().zip(x.as_chunks_mut::<LANES>().0) {
        for r in 0..R {
            let lanes = vectors[r].spread();
            for lane in 0..LANES {
                x[lane][r] = lanes[lane];
            }
        }
    }
}
