//! A layer of the trunk.

use super::{
    dots::Dots,
    simd::{F32x4, LANES},
    tile::{ROWS, WIDTH, accumulate},
};
use crate::model::mlp::Linear;
use std::array::from_fn;

/// Outputs of a panel.
const PANEL: usize = WIDTH * LANES;

pub struct Layer {
    pub inputs: usize,
    /// For each `PANEL` outputs the bias, then the weights of input 0, of input 1, and so on.
    panels: Vec<[F32x4; WIDTH]>,
    /// The remaining outputs.
    rest: Dots,
}

impl Layer {
    pub fn pack(linear: &Linear) -> Self {
        let Linear { inputs, outputs, weight, bias, .. } = linear;
        let panels = outputs / PANEL;
        let vectors = |value: &dyn Fn(usize) -> f32, panel: usize| {
            from_fn(|v| F32x4::from_array(from_fn(|lane| value(panel * PANEL + v * LANES + lane))))
        };
        let mut packed = Vec::with_capacity(panels * (inputs + 1));
        for panel in 0..panels {
            packed.push(vectors(&|output| bias[output], panel));
            packed.extend((0..*inputs).map(|k| vectors(&|output| weight[output * inputs + k], panel)));
        }
        Self { inputs: *inputs, panels: packed, rest: Dots::pack(linear, panels * PANEL) }
    }

    /// How many vectors a row of outputs takes.
    pub fn vectors(&self) -> usize {
        self.panels.len() / (self.inputs + 1) * WIDTH + self.rest.outputs().div_ceil(LANES)
    }

    /// `x` holds each input in all lanes, `dense` four to a vector, as `y` does the outputs, with zeros after the last.
    /// Every output has an order of its own to be summed in, whatever `R`: a row does not depend on its neighbours.
    pub fn run<const R: usize>(&self, x: &[[F32x4; R]], dense: &[[F32x4; R]], y: &mut [[F32x4; R]]) {
        let x = &x[..self.inputs];
        let (mut panels, mut y) = (&self.panels[..], y);
        if R == 1 {
            // The sums of one panel and one row are so few that they would wait for one another.
            (panels, y) = self.groups::<3, R>(panels, x, y);
            (panels, y) = self.groups::<2, R>(panels, x, y);
        }
        (_, y) = self.groups::<1, R>(panels, x, y);
        self.rest(dense, y);
    }

    /// As many panels as go in groups of `P`; returns the others, and their place in `y`.
    #[inline(always)]
    fn groups<'a, const P: usize, const R: usize>(
        &self,
        panels: &'a [[F32x4; WIDTH]],
        x: &[[F32x4; R]],
        y: &'a mut [[F32x4; R]],
    ) -> (&'a [[F32x4; WIDTH]], &'a mut [[F32x4; R]]) {
        let steps = self.inputs + 1;
        let (now, later) = panels.split_at(panels.len() / (P * steps) * (P * steps));
        let (y, y_later) = y.split_at_mut(now.len() / steps * WIDTH);
        let y = y.as_chunks_mut::<WIDTH>().0.as_chunks_mut::<P>().0;
        for (group, y) in now.chunks_exact(P * steps).zip(y) {
            let panel = |p: usize| &group[p * steps..][..steps];
            *y = accumulate(from_fn(|p| repeat(&panel(p)[0])), from_fn(|p| &panel(p)[1..]), x);
        }
        (later, y_later)
    }

    fn rest<const R: usize>(&self, dense: &[[F32x4; R]], y: &mut [[F32x4; R]]) {
        let outputs = self.rest.outputs();
        if outputs == 0 {
            return;
        }
        let values = &mut [0.0; PANEL * ROWS][..outputs * R];
        self.rest.run(dense, values);
        for (r, row) in values.chunks_exact(outputs).enumerate() {
            row.chunks(LANES).zip(y.iter_mut()).for_each(|(lanes, y)| y[r] = F32x4::from_prefix(lanes));
        }
    }
}

#[inline(always)]
fn repeat<const R: usize>(vectors: &[F32x4; WIDTH]) -> [[F32x4; R]; WIDTH] {
    let mut rows = [[F32x4::splat(0.0); R]; WIDTH];
    for (rows, vector) in rows.iter_mut().zip(vectors) {
        *rows = [*vector; R];
    }
    rows
}
