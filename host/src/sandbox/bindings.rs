//! Generated from `wit/`. Parameters borrow, so that a request is copied once: into the component.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "actor",
    ownership: Borrowing { duplicate_if_necessary: true },
});

use sac_owner::settings;

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
    /// As the component's info tells it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Backend::Kernel => "kernel",
            Backend::Tract => "tract",
        }
    }
}
