//! A private folder on Unix. It is opened once and then used by its descriptor, because its path may lead to another folder by
//! the next call.

use std::fs::{self, DirBuilder, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid};
use sac_owner::path_line;

const ROOT: u32 = 0;

/// An open folder that nobody but this user and root can write.
pub(in crate::sandbox::artefact) struct PrivateFolder {
    folder: OwnedFd,
    /// Names it in messages.
    path: PathBuf,
}

impl PrivateFolder {
    /// Opens a folder, which is created if needed. Fails if another user can write it, or put another in its place.
    pub(in crate::sandbox::artefact) fn open(path: &Path) -> Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        Self::open_made(path)
    }

    /// Opens a folder likewise, or returns `None` if there is none.
    pub(in crate::sandbox::artefact) fn existing(path: &Path) -> Result<Option<Self>> {
        if path.is_dir() { Self::open_made(path).map(Some) } else { Ok(None) }
    }

    fn open_made(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty());
        ensure!(folder.is_ok() || !path.is_symlink(), "{} is a symlink", path_line(path));
        let folder = PrivateFolder { folder: folder?, path: path.to_owned() };
        let found = rustix::fs::fstat(&folder.folder)?;
        ensure_private(&found, path)?;
        folder.ensure_place(found)?;
        Ok(folder)
    }

    /// Opens a file that only this user or root can have written. Returns `None` if there is none of this name.
    ///
    /// It may have other names: uv installs files as hard links to its cache. A file has one owner and one mode under all its
    /// names, so another name lets nobody else write it.
    pub(in crate::sandbox::artefact) fn file(&self, name: &str) -> Result<Option<File>> {
        let path = self.path.join(name);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.folder, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => bail!("{} is a symlink", path_line(&path)),
            file => file.with_context(|| format!("{} cannot be opened", path_line(&path)))?,
        };
        let found = rustix::fs::fstat(&file)?;
        ensure!(kind(&found) == FileType::RegularFile, "{} is not a regular file", path_line(&path));
        ensure_private(&found, &path)?;
        Ok(Some(file.into()))
    }

    /// Writes a file, which appears whole or not at all.
    pub(in crate::sandbox::artefact) fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        let temporary = format!(".{name}.{:016x}", RandomState::new().build_hasher().finish());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.folder, &temporary, flags, Mode::RUSR | Mode::WUSR);
        let mut file = File::from(file.with_context(|| format!("{} cannot be written", path_line(&self.path)))?);
        let written = file.write_all(content).and_then(|()| {
            rustix::fs::renameat(&self.folder, &temporary, &self.folder, name)?;
            Ok(())
        });
        if written.is_err() {
            // The error of the write says more than one of this.
            let _ = rustix::fs::unlinkat(&self.folder, &temporary, AtFlags::empty());
        }
        written.with_context(|| format!("{} cannot be written", path_line(&self.path.join(name))))
    }

    /// Returns the path of a file, for messages.
    pub(in crate::sandbox::artefact) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Returns a path that leads to an open file of this folder, whatever its name leads to by now. Returns `None` if there is no
    /// such path, as where /proc is not mounted.
    pub(in crate::sandbox::artefact) fn path_to(&self, _: &str, file: &File) -> Result<Option<PathBuf>> {
        let descriptors = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };
        let path = PathBuf::from(format!("{descriptors}/{}", file.as_raw_fd()));
        let opened = file.metadata()?;
        let is_it = fs::metadata(&path).is_ok_and(|found| (found.dev(), found.ino()) == (opened.dev(), opened.ino()));
        Ok(is_it.then_some(path))
    }

    /// Checks that nobody but this user and root can put another folder in the place of this one, or of one above it.
    fn ensure_place(&self, found: Stat) -> Result<()> {
        let path = self.path.canonicalize()?;
        let mut shown = path.ancestors().skip(1);
        let (mut below, mut above) = (found, PathBuf::from(".."));
        loop {
            let found = rustix::fs::statat(&self.folder, &above, AtFlags::SYMLINK_NOFOLLOW)?;
            // The root is its own parent.
            if (found.st_dev, found.st_ino) == (below.st_dev, below.st_ino) {
                return Ok(());
            }
            ensure_parent(&found, shown.next().unwrap_or(&above))?;
            (below, above) = (found, above.join(".."));
        }
    }
}

/// Checks that a file or a folder belongs to this user or to root, and that nobody else can write it.
fn ensure_private(found: &Stat, path: &Path) -> Result<()> {
    let (user, mode) = (geteuid().as_raw(), Mode::from_raw_mode(found.st_mode));
    let owner = found.st_uid;
    ensure!(owner == user || owner == ROOT, "{} belongs to user {owner}, not to {user}", path_line(path));
    ensure!(!mode.intersects(by_others(found)), "others can write {} (mode {:o})", path_line(path), mode.bits());
    Ok(())
}

/// Checks a folder above one that is private. A sticky folder may be written by anyone: they can replace only what is theirs.
fn ensure_parent(found: &Stat, path: &Path) -> Result<()> {
    let (user, mode) = (geteuid().as_raw(), Mode::from_raw_mode(found.st_mode));
    let owner = found.st_uid;
    ensure!(
        owner == user || owner == ROOT,
        "{} belongs to user {owner}, who can replace what is in it; expected {user} or root",
        path_line(path)
    );
    ensure!(
        !mode.intersects(by_others(found)) || mode.contains(Mode::SVTX),
        "others can write {} (mode {:o}), and replace what is in it; expected the mode 755 or a sticky folder",
        path_line(path),
        mode.bits()
    );
    Ok(())
}

/// Returns the bits of a mode that let others write. A group of one is no other: many systems give one to each user, with a
/// umask of 002, so that what pip and uv install may be written by it.
fn by_others(found: &Stat) -> Mode {
    let user = geteuid().as_raw();
    let is_own_group = found.st_gid == ROOT || (found.st_gid == user && getegid().as_raw() == user);
    if is_own_group { Mode::WOTH } else { Mode::WGRP | Mode::WOTH }
}

fn kind(found: &Stat) -> FileType {
    FileType::from_raw_mode(found.st_mode)
}

#[cfg(test)]
mod tests;
