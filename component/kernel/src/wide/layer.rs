//! A layer of the trunk, packed in panels of outputs.

use std::array::from_fn;

use super::dots::Dots;
use super::rows::Rows;
use crate::narrow::layer::PANEL;
use crate::network::Linear;

/// The vectors of a panel of weights.
const WIDTH: usize = 2;

/// The biases of a panel's outputs, or their weights for one input.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Weights<const N: usize>([[f32; N]; WIDTH]);

/// A packed linear layer.
pub struct Layer<const N: usize> {
    inputs: usize,
    /// The outputs that are sums in the order of the inputs: those that fill panels of four lanes.
    panelled: usize,
    /// For each panel of `WIDTH * N` outputs, their biases, then their weights for input 0, for input 1, and so on. The last
    /// panel is filled up with zeros.
    panels: Vec<Weights<N>>,
    /// The remaining outputs.
    rest: Dots<N>,
}

impl<const N: usize> Layer<N> {
    pub fn pack(linear: &Linear) -> Self {
        let (inputs, panelled) = (linear.inputs, linear.outputs / PANEL * PANEL);
        let vectors = |panel: usize, value: &dyn Fn(usize) -> f32| {
            let value = |output| if output < panelled { value(output) } else { 0.0 };
            Weights(from_fn(|v| from_fn(|lane| value((panel * WIDTH + v) * N + lane))))
        };
        let panels = panelled.div_ceil(WIDTH * N);
        let mut packed = Vec::with_capacity(panels * (inputs + 1));
        for panel in 0..panels {
            packed.push(vectors(panel, &|output| linear.bias[output]));
            packed.extend((0..inputs).map(|k| vectors(panel, &|output| linear.row(output)[k])));
        }
        Self { inputs, panelled, panels: packed, rest: Dots::pack(linear, panelled) }
    }

    /// Returns the distance between two rows of outputs.
    pub fn stride(&self) -> usize {
        let panels = self.panels.len() / (self.inputs + 1) * WIDTH * N;
        Rows::stride_of(panels.max(self.panelled + self.rest.outputs()))
    }

    pub fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.panels) + self.rest.bytes()
    }

    /// Computes `y` from `x`, in tiles of `R` rows.
    #[inline(always)]
    pub fn run<const R: usize>(&self, x: &Rows, y: &mut Rows) {
        let stride = self.stride();
        let to = y.resize(x.count(), stride);
        for (index, panel) in self.panels.chunks_exact(self.inputs + 1).enumerate() {
            let (bias, weights) = (panel[0], &panel[1..]);
            let offset = index * WIDTH * N;
            let mut first = 0;
            while x.count() - first > R / 2 {
                store(tile::<N, R>(bias, weights, x.tile(first)), &mut to[first * stride..], stride, offset);
                first = x.count().min(first + R);
            }
            while first < x.count() {
                store(tile::<N, 1>(bias, weights, x.tile(first)), &mut to[first * stride..], stride, offset);
                first += 1;
            }
        }
        // This overwrites what the zeros of the last panel gave, which may be NaN.
        for row in to.chunks_exact_mut(stride) {
            row[self.panelled..].fill(0.0);
        }
        self.rest.run::<R>(x, to, stride, self.panelled);
    }
}

/// Adds the products of weights and inputs to the biases, in the order of the inputs.
#[inline(always)]
fn tile<const N: usize, const R: usize>(
    bias: Weights<N>,
    weights: &[Weights<N>],
    x: [&[f32]; R],
) -> [[[f32; N]; WIDTH]; R] {
    let mut sums = [bias.0; R];
    // The lengths are then known to be the same, and no index is checked in the loop; not so by `map`.
    let x: [&[f32]; R] = from_fn(|r| &x[r][..weights.len()]);
    for (k, Weights(weights)) in weights.iter().enumerate() {
        for r in 0..R {
            for c in 0..WIDTH {
                for lane in 0..N {
                    sums[r][c][lane] += weights[c][lane] * x[r][k];
                }
            }
        }
    }
    sums
}

/// Stores a tile into those of its rows that exist.
#[inline(always)]
fn store<const N: usize, const R: usize>(tile: [[[f32; N]; WIDTH]; R], to: &mut [f32], stride: usize, offset: usize) {
    for (sums, row) in tile.iter().zip(to.chunks_exact_mut(stride)) {
        row[offset..][..WIDTH * N].copy_from_slice(sums.as_flattened());
    }
}
