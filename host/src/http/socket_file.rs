//! The file of a Unix socket. It has the permissions to connect, replaces the file of a dead process, and is removed at the end.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use sac_owner::path_line;
use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tracing::{info, warn};

/// To connect, a client has to be allowed to write to the file: its user, and those of its group. The umask does not count,
/// since the usual one would shut out the group, and with it a proxy that runs as a user of its own.
const MODE: u32 = 0o660;

/// The number of connections that wait to be accepted, as tokio has it for TCP.
const BACKLOG: u32 = 1024;

const IN_USE: &str = "another process listens there: stop it, or name another path";

/// The file of a Unix socket that this process listens on. It is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

/// The device and the inode. They identify a socket while it is open, since its inode is in use.
type Identity = (u64, u64);

impl SocketFile {
    /// Listens on a socket, and replaces the one that a process left behind.
    pub(crate) async fn bind(path: &Path) -> Result<(UnixListener, SocketFile)> {
        let socket = UnixSocket::new_stream()?;
        let mut bound = socket.bind(path);
        if bound.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse) {
            make_way(path).await?;
            bound = socket.bind(path);
        }
        bound.map_err(|error| explain(path, error))?;
        // The process may change its folder.
        let path = std::path::absolute(path)?;
        let file = SocketFile { identity: identity(&path.symlink_metadata()?), path };
        // Nobody can connect before the socket listens.
        fs::set_permissions(&file.path, Permissions::from_mode(MODE))?;
        let listener = socket.listen(BACKLOG)?;
        // A server that started at the same time may have taken the socket that did not listen yet for that of a dead process.
        ensure!(file.is_in_place(), "{IN_USE}");
        Ok((listener, file))
    }

    /// Returns `true` if no other server took the path over.
    fn is_in_place(&self) -> bool {
        self.path.symlink_metadata().is_ok_and(|found| identity(&found) == self.identity)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_in_place()
            && let Err(error) = fs::remove_file(&self.path)
        {
            warn!("the socket {} cannot be removed: {error}", path_line(&self.path));
        }
    }
}

fn identity(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

/// Removes the socket that a process left behind, and no other file.
async fn make_way(path: &Path) -> Result<()> {
    // If it was removed just now, the way is free.
    let Ok(found) = path.symlink_metadata() else { return Ok(()) };
    ensure!(
        found.file_type().is_socket(),
        "there is a file that is no socket, and it is not replaced: name another path, or move the file away"
    );
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // Its queue may be full.
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
            bail!("another process may listen there, and cannot be asked: {error}; name another path")
        }
        _ => bail!("{IN_USE}"),
    }
    remove(path, &found)
}

/// Removes a socket that nobody has open, unless another server has replaced it since it was found.
///
/// The inode of a file that was removed may be given to the next one, and ext4 does so at once. Another ctime tells the two apart.
/// A lock on the folder would do so too, but other programs may hold one for long, as systemd-tmpfiles invites them to.
fn remove(path: &Path, found: &Metadata) -> Result<()> {
    let is_same = |now: &Metadata| identity(now) == identity(found) && changed(now) == changed(found);
    if path.symlink_metadata().is_ok_and(|now| is_same(&now)) {
        fs::remove_file(path).context("the socket that a process left behind cannot be removed")?;
        info!("replacing the socket {} that a process left behind", path_line(path));
    }
    Ok(())
}

fn changed(metadata: &Metadata) -> (i64, i64) {
    (metadata.ctime(), metadata.ctime_nsec())
}

/// Says what to do about a socket that cannot be bound.
fn explain(path: &Path, error: io::Error) -> Error {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => path_line(folder),
        _ => ".".into(),
    };
    match error.kind() {
        io::ErrorKind::NotFound => anyhow!("the folder {folder} does not exist: create it, or name another path"),
        io::ErrorKind::PermissionDenied => {
            anyhow!("{error}: the socket is a file that the server makes, so it must be allowed to write to {folder}")
        }
        io::ErrorKind::AddrInUse => anyhow!("{IN_USE}"),
        io::ErrorKind::InvalidInput => {
            anyhow!("the path is too long: a system allows about a hundred bytes; a relative path is shorter")
        }
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_socket_that_has_changed_since_it_was_found_is_not_removed_whatever_its_inode_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("http.sock");
        drop(UnixListener::bind(&path).unwrap());
        let found = path.symlink_metadata().unwrap();
        // The clock of files ticks slowly.
        while changed(&path.symlink_metadata().unwrap()) == changed(&found) {
            fs::set_permissions(&path, Permissions::from_mode(MODE)).unwrap();
        }
        remove(&path, &found).unwrap();
        let now = path.symlink_metadata().unwrap();
        assert_eq!(identity(&now), identity(&found));
        remove(&path, &now).unwrap();
        assert!(!path.exists());
    }
}
