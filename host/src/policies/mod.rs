//! The policies of a root folder: one for each sub-folder, loaded when it is asked for. This module knows neither connections
//! nor responses.

mod eviction;
pub(crate) mod find_error;
pub(crate) mod policy;
mod readiness;
pub(crate) mod registry;
mod state;

/// Returns the part of all requests in flight that one policy, or all that are not loaded, may have.
pub(crate) fn share(max_in_flight: usize) -> usize {
    (max_in_flight / 2).max(1)
}
