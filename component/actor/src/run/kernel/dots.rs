//! A few outputs, each a dot product along the inputs, four of these to a vector.

use super::{
    simd::{F32x4, LANES},
    tile::{WIDTH, accumulate},
};
use crate::model::mlp::Linear;
use std::array::from_fn;

pub struct Dots {
    vectors: usize,
    bias: Vec<f32>,
    /// For each `WIDTH` outputs, their weights of the first four inputs, then of the next; those past the last are 0.
    groups: Vec<[F32x4; WIDTH]>,
    /// The same of the one output that may remain, `WIDTH` being 2.
    rest: Vec<[F32x4; 1]>,
}

impl Dots {
    /// The outputs of `linear` from the `first` on.
    pub fn pack(linear: &Linear, first: usize) -> Self {
        let bias = linear.bias[first..].to_vec();
        let groups = bias.len() / WIDTH;
        let row = |output: usize| &linear.weight[(first + output) * linear.inputs..][..linear.inputs];
        let weights = |output: usize, k: usize| F32x4::from_prefix(&row(output)[k..]);
        let inputs = || (0..linear.inputs).step_by(LANES);
        let group = |group: usize| inputs().map(move |k| from_fn(|i| weights(group * WIDTH + i, k)));
        Self {
            vectors: linear.inputs.div_ceil(LANES),
            groups: (0..groups).flat_map(group).collect(),
            rest: inputs()
                .filter(|_| !bias.len().is_multiple_of(WIDTH))
                .map(|k| [weights(bias.len() - 1, k)])
                .collect(),
            bias,
        }
    }

    pub fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// Fills `to`, row-major. The lanes of `x` past the last input must not be inf or NaN.
    pub fn run<const R: usize>(&self, x: &[[F32x4; R]], to: &mut [f32]) {
        let x = &x[..self.vectors];
        let outputs = self.outputs();
        for row in to.chunks_exact_mut(outputs) {
            row.copy_from_slice(&self.bias);
        }
        for (index, group) in self.groups.chunks_exact(self.vectors).enumerate() {
            add(group, x, index * WIDTH, outputs, to);
        }
        if !self.rest.is_empty() {
            add(&self.rest, x, outputs - 1, outputs, to);
        }
    }
}

/// Adds the products of a group that begins with output `first`.
#[inline(always)]
fn add<const C: usize, const R: usize>(
    group: &[[F32x4; C]],
    x: &[[F32x4; R]],
    first: usize,
    outputs: usize,
    to: &mut [f32],
) {
    let [sums] = accumulate([[[F32x4::splat(0.0); R]; C]], [group], x);
    for (output, sums) in sums.iter().enumerate() {
        for (row, sum) in sums.iter().enumerate() {
            let [a, b, c, d] = sum.to_array();
            to[row * outputs + first + output] += (a + b) + (c + d);
        }
    }
}
