//! The sizes of the program's tensors, and what they tell of state_dim and of the number of states.

use anyhow::{Context, Result, bail, ensure};

use super::Graph;
use crate::program::value::{Dim, Tensor};

/// The sizes that depend on the states, as far as they are known.
#[derive(Default)]
pub struct Sizes {
    state_dim: Option<usize>,
    /// The least state_dim that slices of the state ask for.
    least_state_dim: usize,
    /// The program is known to take [batch, state_dim], and not a state alone.
    pub takes_batches: bool,
    /// The graph computes one state only, since the program is fixed to one.
    one_state: bool,
}

impl Graph {
    pub fn state_dim(&self) -> Result<usize> {
        let dim = self.sizes.state_dim.context(
            "the program does not say how many numbers a state has: export it by torch.jit.trace, which records it",
        )?;
        ensure!(
            dim >= self.sizes.least_state_dim,
            "the program reads {} numbers of a state that has {dim}",
            self.sizes.least_state_dim
        );
        Ok(dim)
    }

    pub fn is_for_one_state(&self) -> bool {
        self.sizes.one_state
    }

    /// Fixes the graph to one state. The program then computes what it computes for a batch of one.
    pub fn fix_to_one_state(&mut self) {
        self.sizes.one_state = true;
    }

    /// Fixes the graph to one state since the program takes one of a batch.
    ///
    /// # Errors
    ///
    /// Fails if the program may take a state alone, of which this would be a number.
    pub fn take_one_state(&mut self) -> Result<()> {
        ensure!(
            self.sizes.takes_batches,
            "it takes one of a batch of states, or one number of a state: export it by torch.jit.trace, which tells"
        );
        self.sizes.one_state = true;
        Ok(())
    }

    /// Notes that the program reads so many numbers of a state.
    pub fn need_state_dim(&mut self, least: usize) {
        self.sizes.least_state_dim = self.sizes.least_state_dim.max(least);
    }

    /// Returns a size as far as it is known by now.
    pub fn resolve(&self, dim: Dim) -> Dim {
        match (dim, self.sizes.state_dim) {
            (Dim::Batch, _) if self.sizes.one_state => Dim::Known(1),
            (Dim::State(plus), Some(state_dim)) => Dim::Known(state_dim.saturating_add_signed(plus)),
            _ => dim,
        }
    }

    pub fn shape(&self, tensor: &Tensor) -> Vec<Dim> {
        tensor.shape.iter().map(|dim| self.resolve(*dim)).collect()
    }

    /// Makes two sizes equal, which may settle state_dim or the number of states.
    pub fn unify(&mut self, a: Dim, b: Dim) -> Result<Dim> {
        match (self.resolve(a), self.resolve(b)) {
            (a, b) if a == b => Ok(a),
            (Dim::Batch, Dim::Known(1)) | (Dim::Known(1), Dim::Batch) => {
                self.sizes.one_state = true;
                Ok(Dim::Known(1))
            }
            (Dim::Batch, Dim::Known(size)) | (Dim::Known(size), Dim::Batch) => bail!(
                "the program is fixed to batches of {size} states: export it for one state, or for any number of them"
            ),
            (Dim::State(plus), Dim::Known(size)) | (Dim::Known(size), Dim::State(plus)) => {
                let state_dim = size.checked_add_signed(-plus).filter(|dim| *dim > 0);
                self.sizes.state_dim = Some(state_dim.context("the sizes of the program's tensors do not fit")?);
                Ok(Dim::Known(size))
            }
            (a, b) => bail!("the sizes of the program's tensors do not fit: {} and {}", size_text(a), size_text(b)),
        }
    }

    /// Returns the shape of the result of an operator on each pair of elements.
    pub fn broadcast(&mut self, a: &[Dim], b: &[Dim]) -> Result<Vec<Dim>> {
        let rank = a.len().max(b.len());
        let at = |shape: &[Dim], i: usize| (i + shape.len()).checked_sub(rank).map_or(Dim::Known(1), |i| shape[i]);
        (0..rank)
            .map(|i| match (self.resolve(at(a, i)), self.resolve(at(b, i))) {
                (Dim::Known(1), dim) | (dim, Dim::Known(1)) => Ok(dim),
                (a, b) => self.unify(a, b),
            })
            .collect()
    }
}

pub fn size_text(dim: Dim) -> String {
    match dim {
        Dim::Known(size) => size.to_string(),
        Dim::Batch => "the number of states".to_owned(),
        Dim::State(_) => "state_dim".to_owned(),
    }
}
