//! Calls that differ from system to system. Each family of platforms has a file, and they offer the same functions.
//!
//! - `shutdown_signal` returns a future that resolves when the program is asked to end. From this call on, being asked does
//!   not end the process.
//! - `descriptors` raises the limit of open files as far as this user may, and returns it.
//! - `let_others_read` lets others read a file that this process created for itself alone.
//! - `unix_listener` listens on a Unix socket.
//! - `unix_stream` connects to a Unix socket.
//! - `passed_unix_socket` takes the first socket that systemd passes, which must be a Unix socket, and returns its path.
//! - `shows_colours` returns `true` if a terminal shows colours.

#[cfg(not(windows))]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(not(windows))]
pub use unix::{
    descriptors, let_others_read, passed_unix_socket, shows_colours, shutdown_signal, unix_listener, unix_stream,
};
#[cfg(windows)]
pub use windows::{
    descriptors, let_others_read, passed_unix_socket, shows_colours, shutdown_signal, unix_listener, unix_stream,
};
