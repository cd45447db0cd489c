//! Outputs as dot products along the inputs, for heads and for outputs that fill no panel.

use std::array::from_fn;

use super::simd::{F32x4, LANES};
use super::tile::{WIDTH, accumulate};
use crate::network::Linear;
use crate::vector::Vector;

/// A few outputs of a linear layer, packed with four inputs to a vector.
pub struct Dots {
    vectors: usize,
    bias: Vec<f32>,
    /// For each `WIDTH` outputs, their weights for the first four inputs, then for the next four. Weights past the last
    /// input are 0.
    groups: Vec<[F32x4; WIDTH]>,
    /// The same for the one output that may remain, since `WIDTH` is 2.
    rest: Vec<[F32x4; 1]>,
}

impl Dots {
    /// Packs the outputs of `linear` from `first` on.
    pub fn pack(linear: &Linear, first: usize) -> Self {
        let bias = linear.bias[first..].to_vec();
        let groups = bias.len() / WIDTH;
        let weights = |output: usize, k: usize| F32x4::from_prefix(&linear.row(first + output)[k..]);
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

    /// Returns the outputs as a layer that was not packed. `inputs` is its number of inputs.
    pub fn unpack(&self, inputs: usize) -> Linear<'static> {
        let groups = self.groups.chunks_exact(self.vectors);
        let mut weight = Vec::with_capacity(self.outputs() * inputs);
        for (group, output) in groups.flat_map(|group| (0..WIDTH).map(move |output| (group, output))) {
            weight.extend(group.iter().flat_map(|weights| weights[output].to_array()).take(inputs));
        }
        weight.extend(self.rest.iter().flat_map(|[weights]| weights.to_array()).take(inputs));
        Linear { inputs, outputs: self.outputs(), weight: weight.into(), bias: self.bias.clone().into() }
    }

    /// Fills `to`, row-major [R, outputs]. The lanes of `x` past the last input must be finite.
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

/// Adds the products of a group whose first output is `first`.
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
