//! The inference of a dense network, one row or a batch.

mod activation;
mod head;
mod layer;
mod simd;
#[cfg(test)]
mod tests;
mod tile;

use head::Head;
use layer::Layer;
use simd::{F32x4, LANES};
use tile::ROWS;

use crate::dense::{Activation, Dense};

/// A [`Dense`] packed for inference, with the buffers that takes.
pub struct Kernel {
    state_dim: usize,
    activation: Activation,
    trunk: Vec<Layer>,
    mean: Head,
    log_std: Head,
    /// A layer's inputs, each repeated in all lanes: that costs four stores a vector and saves a broadcast a panel.
    x: Vec<F32x4>,
    /// A layer's outputs, and before the first layer the states.
    y: Vec<F32x4>,
}

impl Kernel {
    /// Of a network that [`Dense::check`] has found well.
    pub fn pack(dense: &Dense) -> Self {
        let widths = dense.trunk.iter().flat_map(|linear| [linear.inputs, linear.outputs]);
        let vectors = widths.chain([dense.mean.inputs]).max().unwrap_or(0).div_ceil(LANES);
        Self {
            state_dim: dense.state_dim(),
            activation: dense.activation,
            trunk: dense.trunk.iter().map(Layer::pack).collect(),
            mean: Head::pack(&dense.mean),
            log_std: Head::pack(&dense.log_std),
            x: vec![F32x4::splat(0.0); vectors * LANES * ROWS],
            y: vec![F32x4::splat(0.0); vectors * ROWS],
        }
    }

    /// `states` is row-major [rows, state_dim]; `mean`, and `log_std` where asked for, are cleared and filled with
    /// row-major [rows, action_dim]. A row's result is the same,
    /// bit by bit, alone and in any batch.
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
        let (x, y) = (self.x.as_chunks_mut::<R>().0, self.y.as_chunks_mut::<R>().0);
        for (r, state) in states.chunks_exact(self.state_dim).enumerate() {
            state.chunks(LANES).zip(y.iter_mut()).for_each(|(lanes, y)| y[r] = F32x4::from_prefix(lanes));
        }
        for layer in &self.trunk {
            spread(y, &mut x[..layer.inputs.next_multiple_of(LANES)]);
            let y = &mut y[..layer.outputs.div_ceil(LANES)];
            layer.run(x, y);
            activation::apply(self.activation, y.as_flattened_mut());
            blank(y, layer.outputs);
        }
        self.mean.run(y, mean);
        if let Some(log_std) = log_std {
            self.log_std.run(y, log_std);
        }
    }
}

/// Repeats each lane of `y` in a vector of its own.
fn spread<const R: usize>(y: &[[F32x4; R]], x: &mut [[F32x4; R]]) {
    for (vectors, x) in y.iter().zip(x.as_chunks_mut::<LANES>().0) {
        for r in 0..R {
            let lanes = vectors[r].spread();
            for lane in 0..LANES {
                x[lane][r] = lanes[lane];
            }
        }
    }
}

/// Zeros the lanes past the last output, where an infinite input has met weights of 0 and made NaN.
fn blank<const R: usize>(y: &mut [[F32x4; R]], outputs: usize) {
    if let Some(last) = y.get_mut(outputs / LANES) {
        *last = last.map(|vector| F32x4::from_prefix(&vector.to_array()[..outputs % LANES]));
    }
}
