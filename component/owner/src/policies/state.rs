//! The body of `/policies`.

use serde::Serialize;

use crate::settings::ModelName;

/// All policies of a root. `S` describes a shadow.
#[derive(Serialize)]
pub struct Policies<S> {
    /// In the order of their names.
    policies: Vec<PolicyState<S>>,
}

/// A policy as the last request for it left it.
#[derive(Serialize)]
pub struct PolicyState<S> {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: State,
    /// The reason for which the newest checkpoint is refused.
    pub detail: Option<String>,
    /// The number of the checkpoint in service.
    pub generation: Option<u64>,
    /// The length of a state.
    pub state_dim: Option<u32>,
    /// The length of an action.
    pub action_dim: Option<u32>,
    /// True if a newer checkpoint was refused.
    pub stale: bool,
    /// Its shadow, if it has one.
    pub shadow: Option<S>,
}

/// The state of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It answers.
    Loaded,
    /// The first load is under way.
    Loading,
    /// No request asked for it since it was evicted.
    NotLoaded,
    /// No checkpoint loads.
    Refused,
    /// There is no candidate.
    Empty,
}

impl<S> Policies<S> {
    /// Lists the policies that requests asked for, and those whose folders are in the root.
    pub fn new(known: impl IntoIterator<Item = PolicyState<S>>, in_root: &[ModelName]) -> Self {
        let mut policies = known.into_iter().collect::<Vec<_>>();
        policies.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let is_known = |name: &str| policies.binary_search_by(|policy| policy.name.as_str().cmp(name)).is_ok();
        let others = in_root.iter().map(ModelName::as_str).filter(|name| !is_known(name));
        let others = others.map(|name| PolicyState::not_loaded(name.to_owned())).collect::<Vec<_>>();
        policies.extend(others);
        policies.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Policies { policies }
    }
}

impl<S> PolicyState<S> {
    /// Describes a policy that no request asked for since it was evicted.
    pub fn not_loaded(name: String) -> Self {
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
}

impl State {
    /// Returns the state of a policy that is not being loaded. `has_candidates` says so of its folder.
    pub fn of(is_loaded: bool, is_refused: bool, has_candidates: bool) -> Self {
        match (is_loaded, is_refused) {
            (true, _) => State::Loaded,
            (false, true) => State::Refused,
            (false, false) if has_candidates => State::NotLoaded,
            (false, false) => State::Empty,
        }
    }
}
