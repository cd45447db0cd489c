//! The bindings that are generated from `wit/`, and conversions to their types. Nothing else names WIT.

use sac_owner::settings::ActionBounds;
use sac_owner::{Refused, Sidecar as OwnedSidecar};

wit_bindgen::generate!({ world: "owner", path: "../../wit" });

pub use sac::serving::serving::*;

sac_owner::wit_conversions!();

impl From<ActionBounds> for Bounds {
    fn from(bounds: ActionBounds) -> Self {
        Bounds { low: bounds.low, high: bounds.high }
    }
}

impl From<OwnedSidecar> for Sidecar {
    fn from(sidecar: OwnedSidecar) -> Self {
        Sidecar { kind: sidecar.kind.into(), name: sidecar.name, bytes: sidecar.bytes }
    }
}

impl From<&Refused> for Refusal {
    fn from(refused: &Refused) -> Self {
        Refusal {
            path: refused.resolved.to_string_lossy().into_owned(),
            modified: refused.modified().into(),
            detail: refused.detail.clone(),
            at: refused.at.into(),
        }
    }
}
