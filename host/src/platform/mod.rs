//! Calls that differ from system to system. Each family of platforms has a file, and they offer the same functions.
//!
//! - `thread_time` returns the processor time of this thread.
//! - `lower_priority` lets other threads of this process go before this one, if the system can.
//! - `address_limit` returns the limit of the process's address space, if there is one.
//! - `user_cache` returns the user's folder of caches, if the environment names it.
//! - `keep_confidential` lets a file that is created be read by this user alone.

#[cfg(not(windows))]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(not(windows))]
pub(crate) use unix::{address_limit, keep_confidential, lower_priority, thread_time, user_cache};
#[cfg(windows)]
pub(crate) use windows::{address_limit, keep_confidential, lower_priority, thread_time, user_cache};

use std::path::PathBuf;

/// Returns the path in a variable of the environment, unless it is empty.
fn path_in(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}
