//! The bindings that are generated from `wit/`, and conversions to their types. Nothing else names WIT.

use std::time::SystemTime;

use sac_owner::settings;
use sac_owner::{Refused, since_epoch};

wit_bindgen::generate!({ world: "owner", path: "../../wit" });

pub use sac::serving::serving::*;

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

impl From<SystemTime> for Instant {
    fn from(time: SystemTime) -> Self {
        let (seconds, nanoseconds) = since_epoch(time);
        Instant { seconds, nanoseconds }
    }
}

impl From<&Refused> for Refusal {
    fn from(refused: &Refused) -> Self {
        Refusal {
            path: refused.path().to_string_lossy().into_owned(),
            modified: refused.modified().into(),
            detail: refused.detail.clone(),
            at: refused.at.into(),
        }
    }
}
