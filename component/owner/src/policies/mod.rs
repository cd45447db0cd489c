//! Many policies in one folder: each sub-folder is one, and its routes are below its name.

mod address;
mod root;
mod state;

pub use address::{Address, REFUSALS, is_open_inference};
pub use root::Root;
pub use state::{Policies, PolicyState, State};
