//! The types and calls generated from `wit/`, and the conversions into them. No other file names the generated modules.

use std::time::SystemTime;

use sac_owner::{Content, settings, since_epoch};

use crate::config::Config;

// Parameters borrow, so that a request is copied once: into the component.
wasmtime::component::bindgen!({
    path: "../wit",
    world: "actor",
    ownership: Borrowing { duplicate_if_necessary: true },
});

pub(crate) use exports::sac::serving::serving::*;

impl From<settings::Activation> for Activation {
    fn from(activation: settings::Activation) -> Self {
        match activation {
            settings::Activation::Relu => Activation::Relu,
            settings::Activation::LeakyRelu => Activation::LeakyRelu,
            settings::Activation::Elu => Activation::Elu,
            settings::Activation::Silu => Activation::Silu,
            settings::Activation::Gelu => Activation::Gelu,
            settings::Activation::Tanh => Activation::Tanh,
            settings::Activation::Sigmoid => Activation::Sigmoid,
        }
    }
}

impl From<settings::OnBadCheckpoint> for OnRefusal {
    fn from(on_bad_checkpoint: settings::OnBadCheckpoint) -> Self {
        match on_bad_checkpoint {
            settings::OnBadCheckpoint::Keep => OnRefusal::Keep,
            settings::OnBadCheckpoint::Fail => OnRefusal::Fail,
        }
    }
}

impl Backend {
    /// Returns the name that the component reports in `/sac/model/info`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Backend::Kernel => "kernel",
            Backend::Tract => "tract",
        }
    }
}

impl From<&Config> for RouterConfig {
    fn from(config: &Config) -> Self {
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
