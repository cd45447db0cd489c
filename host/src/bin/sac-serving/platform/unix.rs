//! Linux, macOS and other systems of the family of Unix.

use std::fs;
use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

/// Resolves on SIGTERM, on SIGHUP or on Ctrl-C.
pub fn shutdown_signal() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

/// Raises the soft limit to the hard one.
pub fn descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    // `None` means that there is no limit.
    let current = if raised.is_ok() { limit.maximum } else { limit.current };
    current.unwrap_or(u64::MAX)
}

pub fn let_others_read(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, PermissionsExt::from_mode(0o644))
}

pub fn shows_colours() -> bool {
    true
}
