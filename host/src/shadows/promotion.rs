//! Puts a shadow into service: its checkpoint moves into the policy's folder.

use std::sync::Arc;

use sac_owner::{PromotionError, path_line};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing::info;

use crate::shadows::shadow::Shadow;
use crate::swap::generation::Loaded;
use crate::swap::holder::Holder;
use crate::swap::publisher::Reloaded;
use crate::swap::snapshot::Snapshot;
use crate::work::crew::CrewError;

/// The body of a promotion, which may be empty.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PromotionRequest {
    /// The sha256 of the checkpoint that is to be promoted. Another is then not.
    #[serde(default)]
    sha256: Option<String>,
}

/// The body of the response to a promotion.
#[derive(Debug, Serialize)]
pub(crate) struct Promoted {
    status: &'static str,
    model_path: String,
    sha256: String,
    generation: u64,
}

/// The reason why a shadow is not in service.
#[derive(Debug, Error)]
pub(crate) enum PromoteError {
    #[error("there is no shadow to promote: {0} has no candidate")]
    None(String),
    #[error("the shadow's newest checkpoint is refused: {0}")]
    Refused(String),
    #[error("the shadow's checkpoint has the sha256 {0}, not the one of the request")]
    Other(String),
    #[error(
        "the shadow takes states of {} numbers and gives actions of {}, the policy in service {} and {}; move it by hand if all \
         clients are ready for it",
        .shadow.0, .shadow.1, .policy.0, .policy.1
    )]
    Dimensions { shadow: (u32, u32), policy: (u32, u32) },
    #[error("nothing is promoted: {0}")]
    Files(#[from] PromotionError),
    /// It was moved.
    #[error("the checkpoint was moved into the policy's folder, and is not in service: {0}")]
    NotInService(String),
    #[error(transparent)]
    Thread(#[from] CrewError),
}

/// Puts the newest checkpoint of a shadow into service.
pub(crate) async fn promote(
    policy: &Holder,
    shadow: &Arc<Shadow>,
    request: &PromotionRequest,
) -> Result<Promoted, PromoteError> {
    let _one_at_a_time = shadow.promotion.lock().await;
    let Snapshot { generation, refusal, .. } = shadow.current().await;
    if let Some(refused) = refusal {
        return Err(PromoteError::Refused(refused.detail.clone()));
    }
    let Some(loaded) = &generation.loaded else { return Err(PromoteError::None(shadow.source().to_string())) };
    let content = loaded.content.clone();
    if request.sha256.as_ref().is_some_and(|expected| !expected.eq_ignore_ascii_case(content.sha256())) {
        return Err(PromoteError::Other(content.sha256().to_owned()));
    }
    check_dimensions(loaded, &policy.latest())?;
    let (from, to) = (shadow.source().clone(), policy.source().clone());
    let promoted = {
        let content = content.clone();
        move |_: &_| content.promote(&from, &to)
    };
    let path = shadow.shared().storage().run(promoted).await??;
    info!(path = %path_line(&path), sha256 = content.sha256(), "the shadow's checkpoint was promoted");
    shadow.clear();
    let is_promoted = |current: &Snapshot| in_service(current).is_some_and(|sha256| sha256 == content.sha256());
    let mut current = policy.current().await;
    if !is_promoted(&current) {
        // The load took longer than a request waits.
        let Reloaded { outcome, snapshot } = policy.force_reload().await;
        outcome.map_err(PromoteError::NotInService)?;
        current = snapshot;
    }
    if !is_promoted(&current) {
        return Err(PromoteError::NotInService("a newer checkpoint is".to_owned()));
    }
    let (model_path, sha256) = (path.to_string_lossy().into_owned(), content.sha256().to_owned());
    Ok(Promoted { status: "promoted", model_path, sha256, generation: current.generation.number })
}

fn check_dimensions(shadow: &Loaded, current: &Snapshot) -> Result<(), PromoteError> {
    let dimensions = |loaded: &Loaded| (loaded.policy.state_dim, loaded.policy.action_dim);
    match current.generation.loaded.as_ref().map(dimensions) {
        Some(policy) if policy != dimensions(shadow) => {
            Err(PromoteError::Dimensions { shadow: dimensions(shadow), policy })
        }
        _ => Ok(()),
    }
}

fn in_service(current: &Snapshot) -> Option<&str> {
    current.generation.loaded.as_ref().map(|loaded| loaded.content.sha256())
}
