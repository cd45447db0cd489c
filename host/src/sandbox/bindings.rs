//! The types and calls generated from `wit/`, and the conversions into them. No other file names the generated modules.

use sac_kernel::Wide;
use sac_owner::Content;
use sac_owner::settings::{ActionBounds, ModelName};

use crate::config::Config;

// Parameters borrow, so that a request is copied once: into the component.
wasmtime::component::bindgen!({
    path: "../wit",
    world: "actor",
    ownership: Borrowing { duplicate_if_necessary: true },
});

pub(crate) use exports::sac::serving::serving::*;

sac_owner::wit_conversions!();

impl Backend {
    /// Returns the name that the component reports in `/sac/model/info`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Backend::Kernel => "kernel",
            Backend::Tract => "tract",
        }
    }
}

impl Policy {
    /// Returns the value of a fact, such as `activation`.
    pub(crate) fn fact(&self, name: &str) -> Option<&str> {
        self.facts.iter().find(|fact| fact.name == name).map(|fact| fact.value.as_str())
    }

    /// Returns the names of the facts that neither the file, nor its trainer, nor an example states, in one line.
    pub(crate) fn conventions(&self) -> String {
        let names = self.facts.iter().filter(|fact| fact.source.starts_with("convention"));
        names.map(|fact| fact.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// The owned form of a [`RouterConfig`].
#[derive(Clone)]
pub(crate) struct RouterSettings {
    name: ModelName,
    optimised: bool,
    activation: Option<Activation>,
    action_bounds: Option<ActionBounds>,
    on_refusal: OnRefusal,
    max_batch: u32,
    max_body_bytes: u64,
    splits: bool,
}

impl From<&Config> for RouterSettings {
    fn from(config: &Config) -> Self {
        RouterSettings {
            name: config.model_name.clone(),
            optimised: config.jit,
            activation: config.activation.map(Into::into),
            action_bounds: config.action_bounds.clone(),
            on_refusal: config.on_bad_checkpoint.into(),
            max_batch: config.max_batch,
            max_body_bytes: config.max_body_bytes as u64,
            splits: config.workers > 1 || Wide::is_supported(),
        }
    }
}

impl RouterSettings {
    /// Returns the same settings for a policy of another name.
    pub(crate) fn named(&self, name: ModelName) -> Self {
        RouterSettings { name, ..self.clone() }
    }

    pub(crate) fn config(&self) -> RouterConfig<'_> {
        RouterConfig {
            name: self.name.as_str(),
            optimised: self.optimised,
            operator_facts: self.facts(),
            on_refusal: self.on_refusal,
            max_batch: self.max_batch,
            max_body_bytes: self.max_body_bytes,
            splits: self.splits,
        }
    }

    pub(crate) fn facts(&self) -> OperatorFacts<'_> {
        let bounds = self.action_bounds.as_ref();
        let action_bounds = bounds.map(|bounds| BoundsParam { low: &bounds.low, high: &bounds.high });
        OperatorFacts { activation: self.activation, action_bounds }
    }
}

impl<'a> From<&'a sac_owner::Sidecar> for Sidecar<'a> {
    fn from(sidecar: &'a sac_owner::Sidecar) -> Self {
        Sidecar { kind: sidecar.kind.into(), name: &sidecar.name, bytes: &sidecar.bytes }
    }
}

/// Calls `with` with a checkpoint's file and its sidecars, which borrow from `content`.
pub(crate) fn with_file<T>(content: &Content, with: impl FnOnce(File) -> T) -> T {
    let sidecars = content.sidecars.iter().map(Into::into).collect::<Vec<_>>();
    with(File { bytes: &content.bytes, sidecars: &sidecars })
}
