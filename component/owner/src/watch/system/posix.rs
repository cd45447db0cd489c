//! Files of Unix and of WASI, which has the same calls and reports less.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::{FileKind, Found};
use crate::watch::identity::Identity;

const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

pub(super) fn found_at(path: &Path) -> io::Result<Found> {
    Ok(found(&rustix::fs::stat(path)?))
}

pub(super) fn found_of(file: &File) -> io::Result<Found> {
    Ok(found(&rustix::fs::fstat(file)?))
}

pub(crate) fn open(path: &Path) -> io::Result<File> {
    open_with(path, OFlags::empty())
}

pub(crate) fn open_resolved(path: &Path) -> io::Result<Option<File>> {
    match open_unlinked(path) {
        Err(error) if is_absence(&error) || is_one_of(&error, &[Errno::LOOP]) => Ok(None),
        file => file.map(Some),
    }
}

/// Returns an absolute path without symlinks. WASI resolves no symlinks, and its paths never lead out of a mount.
///
/// # Errors
/// The path leads to nothing, or to something that cannot be reached.
pub fn resolve(path: &Path) -> io::Result<PathBuf> {
    if cfg!(target_os = "wasi") { std::path::absolute(path) } else { path.canonicalize() }
}

pub(crate) fn set_modified(path: &Path, time: SystemTime) -> io::Result<()> {
    File::open(path)?.set_modified(time)
}

pub(crate) fn is_absence(error: &io::Error) -> bool {
    is_one_of(error, &[Errno::NOENT, Errno::NOTDIR, Errno::NAMETOOLONG])
}

/// Returns `true` if the machine or the network causes an error at this moment, and not the file.
pub fn may_pass(error: &io::Error) -> bool {
    let passing = [Errno::IO, Errno::STALE, Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::TIMEDOUT, Errno::INTR];
    is_one_of(error, &passing)
}

fn open_unlinked(path: &Path) -> io::Result<File> {
    #[cfg(target_os = "linux")]
    match rustix::fs::openat2(rustix::fs::CWD, path, FLAGS, Mode::empty(), rustix::fs::ResolveFlags::NO_SYMLINKS) {
        // The kernel is older than 5.6, or a filter of system calls is older than it.
        Err(Errno::NOSYS | Errno::PERM) => {}
        file => return Ok(File::from(file?)),
    }
    // A folder on the way may be a symlink by now, which is not noticed here.
    open_with(path, OFlags::NOFOLLOW)
}

fn open_with(path: &Path, flags: OFlags) -> io::Result<File> {
    Ok(File::from(rustix::fs::open(path, FLAGS | flags, Mode::empty())?))
}

// The width and sign of a stat's fields differ from platform to platform.
#[allow(clippy::unnecessary_cast)]
fn found(stat: &Stat) -> Found {
    #[cfg(not(target_os = "wasi"))]
    let (modified, changed) =
        (time(stat.st_mtime as i64, stat.st_mtime_nsec as u32), time(stat.st_ctime as i64, stat.st_ctime_nsec as u32));
    #[cfg(target_os = "wasi")]
    let (modified, changed) = (
        time(stat.st_mtim.tv_sec as i64, stat.st_mtim.tv_nsec as u32),
        time(stat.st_ctim.tv_sec as i64, stat.st_ctim.tv_nsec as u32),
    );
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => FileKind::Regular,
        FileType::Directory => FileKind::Folder,
        _ => FileKind::Other,
    };
    let (dev, ino, size) = (stat.st_dev as u64, stat.st_ino as u64, stat.st_size as u64);
    Found { identity: Identity { dev, ino, size, modified, changed }, kind }
}

fn time(seconds: i64, nanoseconds: u32) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let at = match seconds {
        0.. => SystemTime::UNIX_EPOCH.checked_add(whole),
        _ => SystemTime::UNIX_EPOCH.checked_sub(whole),
    };
    at.and_then(|at| at.checked_add(Duration::from_nanos(nanoseconds.into()))).unwrap_or(SystemTime::UNIX_EPOCH)
}

fn is_one_of(error: &io::Error, all: &[Errno]) -> bool {
    error.raw_os_error().is_some_and(|code| all.contains(&Errno::from_raw_os_error(code)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::watch::since_epoch;

    #[test]
    fn a_resolved_path_is_not_opened_if_it_contains_a_symlink_by_now() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().canonicalize().expect("resolved");
        fs::create_dir(root.join("own")).expect("made");
        fs::write(root.join("own/file"), "x").expect("written");
        let opened = |path: &str| open_resolved(&root.join(path)).expect("no error").is_some();
        assert!(opened("own/file") && !opened("own/none") && !opened("own/file/file"));
        assert!(!opened(&"x".repeat(300)));
        symlink("own/file", root.join("link")).expect("linked");
        symlink("own", root.join("folder")).expect("linked");
        assert!(!opened("link"));
        #[cfg(target_os = "linux")]
        if !matches!(
            rustix::fs::openat2(rustix::fs::CWD, ".", FLAGS, Mode::empty(), rustix::fs::ResolveFlags::empty()),
            Err(Errno::NOSYS)
        ) {
            assert!(!opened("folder/file"));
        }
    }

    #[test]
    fn times_before_the_epoch_count_their_nanoseconds_forward_too() {
        for (seconds, nanoseconds) in [(0, 0), (1_700_000_000, 5), (-1, 500_000_000), (-2, 0), (-2, 1)] {
            assert_eq!(since_epoch(time(seconds, nanoseconds)), (seconds, nanoseconds));
        }
    }
}
