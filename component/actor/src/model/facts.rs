//! The facts of a policy that are reported beside its dimensions.

use super::fact::Source;
use super::format::Format;
use crate::wit::{Bounds, Fact, Layer};

/// The facts of a policy as they are reported.
pub struct Facts {
    pub format: Format,
    /// The naming scheme of the actor's tensors, or "graph".
    pub layout: &'static str,
    /// The layers in the order of computation.
    pub layers: Vec<Layer>,
    /// The facts that the policy is computed from, each with its source.
    pub list: Vec<Fact>,
    /// The number of examples that the policy reproduces.
    pub verified_examples: usize,
    /// The bounds of observations in training. They are reported and not applied.
    pub observation_bounds: Option<Bounds>,
}

impl Facts {
    /// Returns the value of a fact.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.list.iter().find(|fact| fact.name == name).map(|fact| fact.value.as_str())
    }
}

impl Fact {
    pub(crate) fn new(name: &str, value: impl Into<String>, source: &Source) -> Self {
        Fact { name: name.to_owned(), value: value.into(), source: source.to_string() }
    }
}
