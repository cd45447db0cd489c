//! Outputs as dot products along the inputs, for heads and for outputs that fill no panel.

use std::array::from_fn;

use super::rows::Rows;
use crate::network::Linear;

/// The partial sums of an output: one for each remainder of the input's index, as the four lanes of the component have.
const PARTS: usize = 4;

/// A few outputs of a linear layer.
pub struct Dots<const N: usize> {
    bias: Vec<f32>,
    /// The number of inputs, in fours.
    quads: usize,
    /// For each `N / 4` outputs, the weights of each for the first four inputs, then for the next four. Missing ones are 0.
    groups: Vec<[f32; N]>,
}

impl<const N: usize> Dots<N> {
    const OUTPUTS: usize = N / PARTS;

    /// Packs the outputs of `linear` from `first` on.
    pub fn pack(linear: &Linear, first: usize) -> Self {
        let bias = linear.bias[first..].to_vec();
        let quads = linear.inputs.div_ceil(PARTS);
        let weight = |output: usize, input: usize| {
            let exists = output < bias.len() && input < linear.inputs;
            if exists { linear.row(first + output)[input] } else { 0.0 }
        };
        let mut groups = vec![];
        for output in (0..bias.len()).step_by(Self::OUTPUTS) {
            let lanes = |quad| from_fn(|lane| weight(output + lane / PARTS, quad * PARTS + lane % PARTS));
            groups.extend((0..quads).map(lanes));
        }
        Self { bias, quads, groups }
    }

    pub fn outputs(&self) -> usize {
        self.bias.len()
    }

    pub fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.bias) + size_of_val(&*self.groups)
    }

    /// Fills the rows of `to`, which have `stride` numbers each, from `offset` on. `R` rows make a tile. The numbers of `x`
    /// past the last input must be finite.
    #[inline(always)]
    pub fn run<const R: usize>(&self, x: &Rows, to: &mut [f32], stride: usize, offset: usize) {
        let groups = self.groups.chunks_exact(self.quads).zip(self.bias.chunks(Self::OUTPUTS));
        for (index, (group, bias)) in groups.enumerate() {
            let offset = offset + index * Self::OUTPUTS;
            let mut first = 0;
            while x.count() - first > R / 2 {
                store(tile::<N, R>(group, x.tile(first)), bias, &mut to[first * stride..], stride, offset);
                first = x.count().min(first + R);
            }
            while first < x.count() {
                store(tile::<N, 1>(group, x.tile(first)), bias, &mut to[first * stride..], stride, offset);
                first += 1;
            }
        }
    }
}

/// Sums the products of weights and inputs.
#[inline(always)]
fn tile<const N: usize, const R: usize>(group: &[[f32; N]], x: [&[f32]; R]) -> [[f32; N]; R] {
    let mut sums = [[0.0; N]; R];
    // The lengths are then known to be the same, and no index is checked in the loop; not so by `map`.
    let x: [&[[f32; PARTS]]; R] = from_fn(|r| &x[r].as_chunks().0[..group.len()]);
    for (quad, weights) in group.iter().enumerate() {
        for r in 0..R {
            for lane in 0..N {
                sums[r][lane] += weights[lane] * x[r][quad][lane % PARTS];
            }
        }
    }
    sums
}

/// Adds the parts of each sum to its bias, and stores it into those of its rows that exist.
#[inline(always)]
fn store<const N: usize, const R: usize>(
    sums: [[f32; N]; R],
    bias: &[f32],
    to: &mut [f32],
    stride: usize,
    offset: usize,
) {
    for (sums, row) in sums.iter().zip(to.chunks_exact_mut(stride)) {
        for (([a, b, c, d], bias), to) in sums.as_chunks::<PARTS>().0.iter().zip(bias).zip(&mut row[offset..]) {
            *to = bias + ((a + b) + (c + d));
        }
    }
}
