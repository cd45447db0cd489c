//! Windows.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Result;
use listenfd::ListenFd;
use sac_serving::Listener;
use tokio::net::TcpStream;
use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_logoff, ctrl_shutdown};

/// Resolves on Ctrl-C or Ctrl-Break, or when the console is closed, the user logs off, or the machine shuts down.
pub fn shutdown_signal() -> io::Result<impl Future<Output = ()>> {
    let (mut interrupt, mut stop) = (ctrl_c()?, ctrl_break()?);
    let (mut close, mut logoff, mut shutdown) = (ctrl_close()?, ctrl_logoff()?, ctrl_shutdown()?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = stop.recv() => {}
            _ = close.recv() => {}
            _ = logoff.recv() => {}
            _ = shutdown.recv() => {}
        }
    })
}

/// Windows has no such limit.
pub fn descriptors() -> u64 {
    u64::MAX
}

/// A file has the permissions of its folder.
pub fn let_others_read(_: &Path) -> io::Result<()> {
    Ok(())
}

pub async fn unix_listener(_: &Path) -> Result<Listener> {
    Err(io::Error::from(io::ErrorKind::Unsupported).into())
}

pub async fn unix_stream(_: &Path) -> io::Result<TcpStream> {
    Err(io::ErrorKind::Unsupported.into())
}

pub fn passed_unix_socket(_: &mut ListenFd) -> io::Result<Option<(Listener, PathBuf)>> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Old consoles have to be asked.
pub fn shows_colours() -> bool {
    anstyle_query::windows::enable_ansi_colors() == Some(true)
}
