//! The kernel: inference of networks of linear layers, for one row or a batch. It knows nothing but such networks.
#![deny(missing_docs)]

mod activation;
#[cfg(test)]
mod draw;
mod narrow;
mod network;
mod normalisation;
mod vector;

pub use activation::Activation;
pub use narrow::Kernel;
pub use network::{Hidden, Linear, MeanStep, Network};
pub use normalisation::Normalisation;
