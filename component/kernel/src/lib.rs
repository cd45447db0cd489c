//! The kernel: inference of networks of linear layers, for one row or a batch. It knows nothing but such networks.
//!
//! [`Kernel`] computes four lanes at a time, as WebAssembly does. The component runs it, and its results are the
//! reference. [`Wide`] computes the same bits with the wider vectors of a native processor: both add the same products in
//! the same order, and each product and each sum is rounded by itself.
#![deny(missing_docs)]

mod activation;
mod definition;
#[cfg(test)]
mod draw;
mod narrow;
mod network;
mod normalisation;
#[cfg(not(target_arch = "x86_64"))]
mod not_wide;
mod vector;
#[cfg(target_arch = "x86_64")]
mod wide;

pub use activation::Activation;
pub use narrow::Kernel;
pub use network::{Hidden, Linear, MeanStep, Network};
pub use normalisation::Normalisation;
#[cfg(not(target_arch = "x86_64"))]
pub use not_wide::Wide;
#[cfg(target_arch = "x86_64")]
pub use wide::Wide;
