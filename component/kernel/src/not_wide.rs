//! [`Wide`] for processors on which nothing is wider than the four lanes of [`Kernel`](crate::Kernel).

use std::convert::Infallible;

use crate::network::Network;
use crate::normalisation::Normalisation;

/// A network packed for vectors of more than four lanes. There is none on this processor.
pub struct Wide(Infallible);

impl Wide {
    /// Returns `false`.
    pub fn is_supported() -> bool {
        false
    }

    /// Returns `None`.
    pub fn pack(_: &Network, _: Option<&Normalisation>) -> Option<Self> {
        None
    }

    /// Returns nothing.
    pub fn pack_each(_: &Network, _: Option<&Normalisation>) -> Vec<Self> {
        vec![]
    }

    /// Is never called.
    pub fn run(&self, _: &[f32], _: &mut Vec<f32>, _: Option<&mut Vec<f32>>) {
        match self.0 {}
    }

    /// Is never called.
    pub fn bytes(&self) -> usize {
        match self.0 {}
    }

    /// Is never called.
    pub fn lanes(&self) -> usize {
        match self.0 {}
    }
}
