//! The facts of a policy that are reported beside its dimensions.

use super::format::Format;
use crate::wit::{Activation, Bounds, Layer};

/// The facts of a policy that do not change what it computes.
pub struct Facts {
    pub format: Format,
    /// The naming scheme of the actor's tensors, or "graph".
    pub layout: &'static str,
    /// The layers in the order of computation.
    pub layers: Vec<Layer>,
    /// The activation after each layer of the trunk. None if the graph contains its own.
    pub activation: Option<Activation>,
    /// True if neither the file nor the service's config names the activation.
    pub activation_assumed: bool,
    /// The bounds of observations in training. They are reported and not applied.
    pub observation_bounds: Option<Bounds>,
}

impl Facts {
    /// Returns the activation as it is reported: `relu`, or `relu (assumed)`.
    pub fn activation(&self) -> Option<String> {
        let assumed = if self.activation_assumed { " (assumed)" } else { "" };
        self.activation.map(|activation| format!("{}{assumed}", activation.name()))
    }
}
