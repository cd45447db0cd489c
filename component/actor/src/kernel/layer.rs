//! A layer of the trunk, packed into panels of outputs that are read front to back.

use super::{
    simd::{F32x4, LANES},
    tile::{Along, WIDTH, step},
};
use crate::dense::Linear;
use std::array::from_fn;

/// For each panel the bias, then the weights of input 0, of input 1, and so on. Outputs beyond the last are zeros.
pub struct Layer {
    pub inputs: usize,
    pub outputs: usize,
    panels: Vec<[F32x4; WIDTH]>,
    /// The narrower panel of the remaining vectors, fewer than `WIDTH`.
    rest: Vec<F32x4>,
}

impl Layer {
    pub fn pack(linear: &Linear) -> Self {
        let Linear { inputs, outputs, .. } = *linear;
        let panels = outputs.div_ceil(LANES) / WIDTH;
        let vectors = |from: usize| (from..outputs).step_by(LANES);
        let column =
            |k: Option<usize>, from: usize| F32x4::from_array(from_fn(|lane| coefficient(linear, k, from + lane)));
        let steps = || std::iter::once(None).chain((0..inputs).map(Some));
        let wide = |panel: usize| steps().map(move |k| from_fn(|v| column(k, (panel * WIDTH + v) * LANES)));
        Self {
            inputs,
            outputs,
            panels: (0..panels).flat_map(wide).collect(),
            rest: steps().flat_map(|k| vectors(panels * WIDTH * LANES).map(move |from| column(k, from))).collect(),
        }
    }

    /// Rows of inputs, one beside the other, to rows of outputs in `y`. Each output is summed in an order of its own,
    /// whatever `R` is, so a row's result does not depend on its neighbours.
    pub fn run<const R: usize>(&self, x: &[[F32x4; R]], y: &mut [[F32x4; R]]) {
        let x = &x[..self.inputs];
        let steps = self.inputs + 1;
        let pairs = if R == 1 { self.panels.len() / steps / 2 } else { 0 };
        let (paired, single) = self.panels.split_at(pairs * 2 * steps);
        let (y_paired, y) = y.split_at_mut(pairs * 2 * WIDTH);
        for (pair, y) in paired.chunks_exact(2 * steps).zip(y_paired.as_chunks_mut().0.as_chunks_mut().0) {
            double(pair.split_at(steps), x, y);
        }
        let (y_single, y_rest) = y.split_at_mut(single.len() / steps * WIDTH);
        for (panel, y) in single.chunks_exact(steps).zip(y_single.as_chunks_mut().0) {
            wide(panel, x, y);
        }
        match y_rest {
            [a] => (0..R).for_each(|r| [a[r]] = narrow::<1, 4, R>(&self.rest, x, r)),
            [a, b] => (0..R).for_each(|r| [a[r], b[r]] = narrow::<2, 3, R>(&self.rest, x, r)),
            _ => {}
        }
    }
}

/// The weight of input `k`, or the bias for no input.
fn coefficient(linear: &Linear, k: Option<usize>, output: usize) -> f32 {
    match k {
        _ if output >= linear.outputs => 0.0,
        Some(k) => linear.weight[output * linear.inputs + k],
        None => linear.bias[output],
    }
}

#[inline(always)]
fn wide<const R: usize>(panel: &[[F32x4; WIDTH]], x: &[[F32x4; R]], y: &mut [[F32x4; R]; WIDTH]) {
    let (bias, weights) = (&panel[0], &panel[1..]);
    let mut sums = repeat(bias);
    Along::new(weights, weights, x).each(|weights, _, x| {
        step(&mut sums, weights, x);
    });
    *y = sums;
}

/// Two panels at once: with a single row the sums of one would wait for one another.
#[inline(always)]
fn double<const R: usize>(
    (a, b): (&[[F32x4; WIDTH]], &[[F32x4; WIDTH]]),
    x: &[[F32x4; R]],
    y: &mut [[[F32x4; R]; WIDTH]; 2],
) {
    let mut sums = [repeat(&a[0]), repeat(&b[0])];
    Along::new(&a[1..], &b[1..], x).each(|a, b, x| {
        step(&mut sums[0], a, x);
        step(&mut sums[1], b, x);
    });
    *y = sums;
}

/// `C` vectors of row `r`, each summed in `S` parts, as so few sums would wait for one another too.
#[inline(always)]
fn narrow<const C: usize, const S: usize, const R: usize>(panel: &[F32x4], x: &[[F32x4; R]], r: usize) -> [F32x4; C] {
    let (bias, weights) = panel.as_chunks::<C>().0.split_at(1);
    let (weights, last_weights) = weights.as_chunks::<S>();
    let (x, last_x) = x.as_chunks::<S>();
    let mut parts = [repeat(&[F32x4::splat(0.0); C]); S];
    parts[0] = repeat(&bias[0]);
    Along::new(weights, weights, x).each(|weights, _, x| {
        for s in 0..S {
            step(&mut parts[s], &weights[s], &[x[s][r]]);
        }
    });
    Along::new(last_weights, last_weights, last_x).each(|weights, _, x| {
        step(&mut parts[0], weights, &[x[r]]);
    });
    let mut sums = [F32x4::splat(0.0); C];
    for c in 0..C {
        sums[c] = parts[0][c][0];
        for s in 1..S {
            sums[c] = sums[c].plus(parts[s][c][0]);
        }
    }
    sums
}

#[inline(always)]
fn repeat<const C: usize, const R: usize>(vectors: &[F32x4; C]) -> [[F32x4; R]; C] {
    let mut rows = [[F32x4::splat(0.0); R]; C];
    for c in 0..C {
        rows[c] = [vectors[c]; R];
    }
    rows
}
