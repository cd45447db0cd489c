//! The state of a policy, as `/policies` lists it.

use sac_owner::{PolicyState, State};

use crate::policies::policy::Policy;
use crate::shadows::state::ShadowState;
use crate::swap::snapshot::Snapshot;

/// Describes a policy that requests asked for. `has_candidates` says so of its folder.
pub(super) fn of(policy: &Policy, has_candidates: bool) -> PolicyState<ShadowState> {
    let Snapshot { generation, refusal, .. } = policy.holder().latest();
    let loaded = generation.loaded.as_ref();
    let state = match State::of(loaded.is_some(), refusal.is_some(), has_candidates) {
        State::NotLoaded | State::Empty if policy.holder().is_loading() => State::Loading,
        state => state,
    };
    PolicyState {
        name: policy.name().to_string(),
        state,
        detail: refusal.as_ref().map(|refused| refused.detail.clone()),
        generation: loaded.map(|_| generation.number),
        state_dim: loaded.map(|loaded| loaded.policy.state_dim),
        action_dim: loaded.map(|loaded| loaded.policy.action_dim),
        stale: loaded.is_some() && refusal.is_some(),
        shadow: policy.shadow().and_then(|shadow| shadow.state()),
    }
}
