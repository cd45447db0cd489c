//! A layer of the trunk, packed in panels of outputs.

use std::array::from_fn;

use super::dots::Dots;
use super::simd::{F32x4, LANES};
use super::tile::{ROWS, WIDTH, accumulate};
use crate::network::Linear;
use crate::vector::Vector;

/// The outputs of a panel.
pub const PANEL: usize = WIDTH * LANES;

/// A packed linear layer.
pub struct Layer {
    pub inputs: usize,
    /// For each `PANEL` outputs, their biases, then their weights for input 0, for input 1, and so on.
    panels: Vec<[F32x4; WIDTH]>,
    /// The remaining outputs.
    rest: Dots,
}

impl Layer {
    pub fn pack(linear: &Linear) -> Self {
        let Linear { inputs, outputs, weight, bias } = linear;
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

    /// Returns the layer as it was before it was packed.
    pub fn unpack(&self) -> Linear<'static> {
        let panels = self.panels.chunks_exact(self.inputs + 1);
        let outputs = panels.len() * PANEL + self.rest.outputs();
        let (mut weight, mut bias) = (Vec::with_capacity(outputs * self.inputs), Vec::with_capacity(outputs));
        for panel in panels {
            for (vector, lane) in (0..PANEL).map(|output| (output / LANES, output % LANES)) {
                bias.push(panel[0][vector].to_array()[lane]);
                weight.extend(panel[1..].iter().map(|weights| weights[vector].to_array()[lane]));
            }
        }
        let rest = self.rest.unpack(self.inputs);
        weight.extend_from_slice(&rest.weight);
        bias.extend_from_slice(&rest.bias);
        Linear { inputs: self.inputs, outputs, weight: weight.into(), bias: bias.into() }
    }

    /// Returns the number of vectors that a row of outputs takes.
    pub fn vectors(&self) -> usize {
        self.panels.len() / (self.inputs + 1) * WIDTH + self.rest.outputs().div_ceil(LANES)
    }

    /// Runs `R` rows. `x` has each input in all lanes and `packed` has four to a vector; `y` receives the outputs four to
    /// a vector, with zeros after the last. The order of summation does not depend on `R`, so a row does not depend on
    /// its neighbours.
    pub fn run<const R: usize>(&self, x: &[[F32x4; R]], packed: &[[F32x4; R]], y: &mut [[F32x4; R]]) {
        let x = &x[..self.inputs];
        let (mut panels, mut y) = (&self.panels[..], y);
        if R == 1 {
            // One panel and one row have so few sums that each step would wait for the one before.
            (panels, y) = self.groups::<3, R>(panels, x, y);
            (panels, y) = self.groups::<2, R>(panels, x, y);
        }
        (_, y) = self.groups::<1, R>(panels, x, y);
        self.rest(packed, y);
    }

    /// Runs as many panels as fill groups of `P`. Returns the others, and their part of `y`.
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

    /// Runs the outputs that fill no panel.
    fn rest<const R: usize>(&self, packed: &[[F32x4; R]], y: &mut [[F32x4; R]]) {
        let outputs = self.rest.outputs();
        if outputs == 0 {
            return;
        }
        let values = &mut [0.0; PANEL * ROWS][..outputs * R];
        self.rest.run(packed, values);
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
