//! The types and calls generated from `wit/`, and the conversions into them. No other file names the generated modules.

use std::time::SystemTime;

use sac_owner::{Content, since_epoch};

use crate::config;

// Parameters borrow, so that a request is copied once: into the component.
wasmtime::component::bindgen!({
    path: "../wit",
    world: "actor",
    ownership: Borrowing { duplicate_if_necessary: true },
});

pub(crate) use exports::sac::serving::serving::*;

impl Backend {
    /// Returns the name that the component reports in `/sac/model/info`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Backend::Kernel => "kernel",
            Backend::Tract => "tract",
        }
    }
}

impl From<config::Activation> for Activation {
    fn from(activation: config::Activation) -> Self {
        match activation {
            config::Activation::Relu => Activation::Relu,
            config::Activation::LeakyRelu => Activation::LeakyRelu,
            config::Activation::Elu => Activation::Elu,
            config::Activation::Silu => Activation::Silu,
            config::Activation::Gelu => Activation::Gelu,
            config::Activation::Tanh => Activation::Tanh,
            config::Activation::Sigmoid => Activation::Sigmoid,
        }
    }
}

impl From<config::OnBadCheckpoint> for OnRefusal {
    fn from(on_bad_checkpoint: config::OnBadCheckpoint) -> Self {
        match on_bad_checkpoint {
            config::OnBadCheckpoint::Keep => OnRefusal::Keep,
            config::OnBadCheckpoint::Fail => OnRefusal::Fail,
        }
    }
}

impl From<&config::Config> for RouterConfig {
    fn from(config: &config::Config) -> Self {
        RouterConfig {
            optimised: config.jit,
            activation: config.activation.map(Into::into),
            on_refusal: config.on_bad_checkpoint.into(),
            max_batch: config.max_batch,
            max_body_bytes: config.max_body_bytes as u64,
        }
    }
}

impl<'a> From<&'a Content> for File<'a> {
    fn from(content: &'a Content) -> Self {
        let vecnormalize = content.statistics.as_ref().map(|statistics| &statistics.bytes[..]);
        File { bytes: &content.bytes, vecnormalize }
    }
}

impl From<SystemTime> for Instant {
    fn from(time: SystemTime) -> Self {
        let (seconds, nanoseconds) = since_epoch(time);
        Instant { seconds, nanoseconds }
    }
}
