//! Calls that differ from system to system. Each family of platforms has a file, and they offer the same functions.
//!
//! - `shutdown_signal` returns a future that resolves when the program is asked to end. From this call on, being asked does
//!   not end the process.
//! - `descriptors` raises the limit of open files as far as this user may, and returns it.
//! - `let_others_read` lets others read a file that this process created for itself alone.
//! - `shows_colours` returns `true` if a terminal shows colours.

#[cfg(not(windows))]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(not(windows))]
pub use unix::{descriptors, let_others_read, shows_colours, shutdown_signal};
#[cfg(windows)]
pub use windows::{descriptors, let_others_read, shows_colours, shutdown_signal};
