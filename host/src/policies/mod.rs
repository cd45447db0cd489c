//! The policies of a root folder: one for each sub-folder, loaded when it is asked for. This module knows neither connections
//! nor responses.

pub(crate) mod address;
mod eviction;
pub(crate) mod policy;
pub(crate) mod registry;
mod root;
mod state;
