//! A head: few outputs, so each is a dot product along the inputs, four of them to a vector.

use super::{
    simd::{F32x4, LANES},
    tile::{Along, WIDTH, step},
};
use crate::dense::Linear;
use std::array::from_fn;

pub struct Head {
    vectors: usize,
    bias: Vec<f32>,
    /// For each `WIDTH` outputs, their weights of the first four inputs, then of the next; those past the last are 0.
    groups: Vec<[F32x4; WIDTH]>,
    /// The smaller group of the remaining outputs.
    rest: Vec<F32x4>,
}

impl Head {
    pub fn pack(linear: &Linear) -> Self {
        let groups = linear.outputs / WIDTH;
        let row = |output: usize| &linear.weight[output * linear.inputs..][..linear.inputs];
        let vectors = || (0..linear.inputs).step_by(LANES);
        let weights = |output: usize, k: usize| F32x4::from_prefix(&row(output)[k..]);
        let wide = |group: usize| vectors().map(move |k| from_fn(|i| weights(group * WIDTH + i, k)));
        Self {
            vectors: linear.inputs.div_ceil(LANES),
            bias: linear.bias.clone(),
            groups: (0..groups).flat_map(wide).collect(),
            rest: vectors().flat_map(|k| (groups * WIDTH..linear.outputs).map(move |o| weights(o, k))).collect(),
        }
    }

    /// Appends the outputs of each row. The lanes of `x` past the last input must not be inf or NaN.
    pub fn run<const R: usize>(&self, x: &[[F32x4; R]], to: &mut Vec<f32>) {
        let x = &x[..self.vectors];
        let outputs = self.bias.len();
        let start = to.len();
        to.extend((0..R).flat_map(|_| &self.bias));
        let to = &mut to[start..];
        for (group, panel) in self.groups.chunks_exact(self.vectors).enumerate() {
            dots(panel, x, group * WIDTH, outputs, to);
        }
        let done = self.groups.len() / self.vectors * WIDTH;
        match outputs - done {
            0 => {}
            1 => dots::<1, R>(self.rest.as_chunks().0, x, done, outputs, to),
            _ => dots::<2, R>(self.rest.as_chunks().0, x, done, outputs, to),
        }
    }
}

/// Adds outputs `first` and following to the rows in `to`.
#[inline(always)]
fn dots<const C: usize, const R: usize>(
    weights: &[[F32x4; C]],
    x: &[[F32x4; R]],
    first: usize,
    outputs: usize,
    to: &mut [f32],
) {
    let mut sums = [[F32x4::splat(0.0); R]; C];
    Along::new(weights, weights, x).each(|weights, _, x| {
        step(&mut sums, weights, x);
    });
    for (output, sums) in sums.into_iter().enumerate() {
        for (row, sum) in sums.into_iter().enumerate() {
            let [a, b, c, d] = sum.to_array();
            to[row * outputs + first + output] += (a + b) + (c + d);
        }
    }
}
