//! Linux, macOS and other systems of the family of Unix.

use std::fs;
use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use listenfd::ListenFd;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sac_serving::Listener;
use tokio::net::{UnixListener, UnixStream};
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

pub async fn unix_listener(path: &Path) -> Result<Listener> {
    Listener::unix(path).await
}

pub async fn unix_stream(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(path).await
}

pub fn passed_unix_socket(sockets: &mut ListenFd) -> io::Result<Option<(Listener, PathBuf)>> {
    let Some(socket) = sockets.take_unix_listener(0)? else { return Ok(None) };
    socket.set_nonblocking(true)?;
    let address = socket.local_addr()?;
    // Linux has sockets without a file, and so without permissions.
    let path = address.as_pathname().ok_or_else(|| io::Error::other("it is a Unix socket without a path"))?;
    Ok(Some((UnixListener::from_std(socket)?.into(), path.to_owned())))
}

pub fn shows_colours() -> bool {
    true
}
