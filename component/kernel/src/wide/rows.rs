//! The rows of a block, between two layers.

use std::slice::ChunksExactMut;

/// The numbers of one row start this many places, or a multiple, after those of the row before.
const ALIGNMENT: usize = 16;

/// Rows of numbers, each padded with finite ones.
pub struct Rows {
    values: Vec<f32>,
    stride: usize,
    count: usize,
}

impl Rows {
    /// Makes room for a number of values. Every [`Rows::resize`] must stay within it.
    pub fn new(values: usize) -> Self {
        Rows { values: vec![0.0; values], stride: 0, count: 0 }
    }

    /// Returns the least distance between rows of this width.
    pub fn stride_of(width: usize) -> usize {
        width.next_multiple_of(ALIGNMENT)
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// Sets the number of rows and the distance between them. Returns their numbers, which are any.
    pub fn resize(&mut self, count: usize, stride: usize) -> &mut [f32] {
        (self.count, self.stride) = (count, stride);
        &mut self.values[..count * stride]
    }

    /// Copies row-major states, as many as are whole.
    pub fn fill(&mut self, states: &[f32], state_dim: usize) {
        let stride = Rows::stride_of(state_dim);
        let values = self.resize(states.len() / state_dim, stride);
        for (state, row) in states.chunks_exact(state_dim).zip(values.chunks_exact_mut(stride)) {
            row[..state_dim].copy_from_slice(state);
            row[state_dim..].fill(0.0);
        }
    }

    /// Returns `R` rows from `first` on. The last row stands for those that do not exist.
    #[inline(always)]
    pub fn tile<const R: usize>(&self, first: usize) -> [&[f32]; R] {
        std::array::from_fn(|r| &self.values[(first + r).min(self.count - 1) * self.stride..][..self.stride])
    }

    pub fn rows_mut(&mut self) -> ChunksExactMut<'_, f32> {
        self.values[..self.count * self.stride].chunks_exact_mut(self.stride)
    }
}
