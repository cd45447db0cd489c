//! The body of `/policies`.

use serde::Serialize;

use crate::policies::policy::Policy;
use crate::shadows::state::ShadowState;
use crate::swap::snapshot::Snapshot;

/// All policies of a root.
#[derive(Serialize)]
pub(crate) struct Policies {
    /// In the order of their names.
    pub(crate) policies: Vec<PolicyState>,
}

/// A policy as the last request for it left it.
#[derive(Serialize)]
pub(crate) struct PolicyState {
    pub(crate) name: String,
    state: State,
    /// The reason for which the newest checkpoint is refused.
    detail: Option<String>,
    generation: Option<u64>,
    state_dim: Option<u32>,
    action_dim: Option<u32>,
    /// True if a newer checkpoint was refused.
    stale: bool,
    /// Its shadow, if it has one.
    shadow: Option<ShadowState>,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Loaded,
    /// The first load is under way.
    Loading,
    NotLoaded,
    /// No checkpoint loads.
    Refused,
    /// There is no candidate.
    Empty,
}

impl PolicyState {
    /// Describes a policy that no request asked for since it was evicted.
    pub(crate) fn not_loaded(name: String) -> Self {
        PolicyState {
            name,
            state: State::NotLoaded,
            detail: None,
            generation: None,
            state_dim: None,
            action_dim: None,
            stale: false,
            shadow: None,
        }
    }

    /// Describes a policy that requests asked for. `has_candidates` says so of its folder.
    pub(crate) fn of(policy: &Policy, has_candidates: bool) -> Self {
        let Snapshot { generation, refusal, .. } = policy.holder().latest();
        let loaded = generation.loaded.as_ref();
        let state = match (loaded, &refusal) {
            (Some(_), _) => State::Loaded,
            (None, Some(_)) => State::Refused,
            (None, None) if policy.holder().is_loading() => State::Loading,
            (None, None) if has_candidates => State::NotLoaded,
            (None, None) => State::Empty,
        };
        PolicyState {
            state,
            detail: refusal.as_ref().map(|refused| refused.detail.clone()),
            generation: loaded.map(|_| generation.number),
            state_dim: loaded.map(|loaded| loaded.policy.state_dim),
            action_dim: loaded.map(|loaded| loaded.policy.action_dim),
            stale: loaded.is_some() && refusal.is_some(),
            shadow: policy.shadow().and_then(|shadow| shadow.state()),
            ..PolicyState::not_loaded(policy.name().to_string())
        }
    }
}
