//! Files of Windows. NTFS and ReFS keep a change time, as Unix does; FAT keeps none, and its mtimes have steps of two seconds.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::mem::{size_of, zeroed};
use std::os::windows::ffi::{OsStrExt, OsStringExt};
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::AsRawHandle;
use std::path::{Path, PathBuf};
use std::ptr::from_mut;
use std::time::{Duration, SystemTime};

use windows_sys::Win32::Foundation::{self as code, HANDLE};
use windows_sys::Win32::Storage::FileSystem::{
    BY_HANDLE_FILE_INFORMATION, FILE_ATTRIBUTE_DIRECTORY, FILE_BASIC_INFO, FILE_FLAG_BACKUP_SEMANTICS,
    FILE_READ_ATTRIBUTES, FILE_TYPE_DISK, FILE_WRITE_ATTRIBUTES, FileBasicInfo, GetFileInformationByHandle,
    GetFileInformationByHandleEx, GetFileType, GetFinalPathNameByHandleW, SECURITY_IDENTIFICATION,
};

use super::{FileKind, Found};
use crate::watch::identity::Identity;

/// The time from the epoch of Windows, in 1601, to that of Unix.
const EPOCH: Duration = Duration::from_secs(11_644_473_600);

/// The prefixes of paths that Windows uses letter for letter, as it returns them, and their usual forms.
const VERBATIM: [(&str, &str); 2] = [(r"\\?\UNC\", r"\\"), (r"\\?\", "")];

pub(super) fn found_at(path: &Path) -> io::Result<Found> {
    // A file that another program has opened for itself alone can be described all the same.
    found_of(&open_with(path, OpenOptions::new().access_mode(FILE_READ_ATTRIBUTES))?)
}

pub(super) fn found_of(file: &File) -> io::Result<Found> {
    let handle = file.as_raw_handle();
    // SAFETY: these are plain numbers, for which zeros are values.
    let (mut file, mut basic) = unsafe { (zeroed::<BY_HANDLE_FILE_INFORMATION>(), zeroed::<FILE_BASIC_INFO>()) };
    // SAFETY: the handle is open, and the structures live and have the sizes that are named.
    let described = unsafe {
        GetFileInformationByHandle(handle, &mut file) != 0
            && GetFileInformationByHandleEx(
                handle,
                FileBasicInfo,
                from_mut(&mut basic).cast(),
                size_of::<FILE_BASIC_INFO>() as u32,
            ) != 0
    };
    if !described {
        return not_on_disk(handle, io::Error::last_os_error());
    }
    let is_folder = file.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY != 0;
    let identity = Identity {
        dev: file.dwVolumeSerialNumber.into(),
        ino: joined(file.nFileIndexHigh, file.nFileIndexLow),
        size: joined(file.nFileSizeHigh, file.nFileSizeLow),
        modified: time(basic.LastWriteTime),
        changed: time(basic.ChangeTime),
    };
    Ok(Found { identity, kind: if is_folder { FileKind::Folder } else { FileKind::Regular } })
}

pub(crate) fn open(path: &Path) -> io::Result<File> {
    open_with(path, OpenOptions::new().read(true))
}

pub(crate) fn open_resolved(path: &Path) -> io::Result<Option<File>> {
    match open(path) {
        Err(error) if is_absence(&error) => Ok(None),
        file => file.and_then(|file| Ok((final_path(&file)? == path).then_some(file))),
    }
}

/// Returns an absolute path without symlinks, in its usual form.
///
/// # Errors
/// The path leads to nothing, or to something that cannot be reached.
pub fn resolve(path: &Path) -> io::Result<PathBuf> {
    Ok(usual(path.canonicalize()?))
}

pub(crate) fn set_modified(path: &Path, time: SystemTime) -> io::Result<()> {
    open_with(path, OpenOptions::new().access_mode(FILE_WRITE_ATTRIBUTES))?.set_modified(time)
}

pub(crate) fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | InvalidFilename)
}

/// Returns `true` if the machine, the network or another program causes an error at this moment, and not the file.
pub fn may_pass(error: &io::Error) -> bool {
    let passing = [
        // Another program keeps the file for itself, or deletes it.
        code::ERROR_SHARING_VIOLATION,
        code::ERROR_LOCK_VIOLATION,
        code::ERROR_DELETE_PENDING,
        code::ERROR_TOO_MANY_OPEN_FILES,
        code::ERROR_NOT_ENOUGH_MEMORY,
        code::ERROR_OUTOFMEMORY,
        code::ERROR_NO_SYSTEM_RESOURCES,
        code::ERROR_IO_DEVICE,
        code::ERROR_CRC,
        code::ERROR_NOT_READY,
        // The network.
        code::ERROR_SEM_TIMEOUT,
        code::ERROR_NETNAME_DELETED,
        code::ERROR_UNEXP_NET_ERR,
        code::ERROR_BAD_NETPATH,
        code::ERROR_NETWORK_UNREACHABLE,
    ];
    error.raw_os_error().is_some_and(|found| passing.contains(&(found as u32)))
}

/// Opens a file or a folder, which others may write, rename and delete meanwhile.
fn open_with(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    // A pipe's server learns who this is, and cannot act as this user.
    options.custom_flags(FILE_FLAG_BACKUP_SEMANTICS).security_qos_flags(SECURITY_IDENTIFICATION).open(path)
}

/// Describes a file that is not on a disk, such as a pipe or the device NUL, or returns the error.
fn not_on_disk(handle: HANDLE, error: io::Error) -> io::Result<Found> {
    // SAFETY: the handle is open.
    if unsafe { GetFileType(handle) } == FILE_TYPE_DISK {
        return Err(error);
    }
    let epoch = SystemTime::UNIX_EPOCH;
    Ok(Found { identity: Identity { dev: 0, ino: 0, size: 0, modified: epoch, changed: epoch }, kind: FileKind::Other })
}

/// Returns the path of an open file, in its usual form.
fn final_path(file: &File) -> io::Result<PathBuf> {
    let mut path = vec![0; 1024];
    loop {
        // SAFETY: the handle is open, and the length is that of the buffer.
        let length =
            unsafe { GetFinalPathNameByHandleW(file.as_raw_handle(), path.as_mut_ptr(), path.len() as u32, 0) };
        match length as usize {
            0 => return Err(io::Error::last_os_error()),
            length if length < path.len() => return Ok(usual(OsString::from_wide(&path[..length]).into())),
            // This length counts the zero at the end.
            length => path.resize(length, 0),
        }
    }
}

/// Removes the prefix that Windows puts before a path that it has resolved.
fn usual(path: PathBuf) -> PathBuf {
    let wide = path.as_os_str().encode_wide().collect::<Vec<_>>();
    let found = VERBATIM.iter().find_map(|(prefix, usual)| {
        let rest = wide.strip_prefix(&*prefix.encode_utf16().collect::<Vec<_>>())?;
        Some(usual.encode_utf16().chain(rest.iter().copied()).collect::<Vec<_>>())
    });
    found.map_or(path, |usual| OsString::from_wide(&usual).into())
}

fn joined(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// Converts a time in steps of 100 ns. File systems that have no such time report 0.
fn time(steps: i64) -> SystemTime {
    let steps = steps.unsigned_abs();
    let since = Duration::new(steps / 10_000_000, (steps % 10_000_000) as u32 * 100);
    let epoch = SystemTime::UNIX_EPOCH;
    epoch.checked_add(since).and_then(|at| at.checked_sub(EPOCH)).unwrap_or(epoch)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::windows::fs::OpenOptionsExt;

    use super::*;

    #[test]
    fn a_rename_a_write_and_a_date_of_the_past_change_the_identity() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (path, next) = (folder.path().join("file"), folder.path().join("next"));
        let identity = || Found::at(&path).expect("found").identity;
        fs::write(&path, "one").expect("written");
        let first = identity();
        assert_eq!(first, Found::of(&open(&path).expect("opened")).expect("found").identity);
        assert!(first.size == 3 && first.ino != 0 && first.changed != time(0));
        fs::write(&next, "two").expect("written");
        set_modified(&next, first.modified).expect("dated");
        fs::rename(&next, &path).expect("renamed");
        let second = identity();
        assert!(second != first && second.modified == first.modified && second.size == first.size);
    }

    #[test]
    fn a_file_that_another_program_keeps_for_itself_is_found_and_its_error_may_pass() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("file");
        fs::write(&path, "one").expect("written");
        let _own = OpenOptions::new().read(true).share_mode(0).open(&path).expect("opened");
        assert_eq!(Found::at(&path).expect("found").kind, FileKind::Regular);
        assert!(may_pass(&open(&path).expect_err("it is another's")));
    }

    #[test]
    fn folders_and_devices_are_no_files_and_absence_is_told_from_errors() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(Found::at(folder.path()).expect("found").kind, FileKind::Folder);
        assert_eq!(Found::of(&open(Path::new("NUL")).expect("opened")).expect("found").kind, FileKind::Other);
        fs::write(folder.path().join("file"), "x").expect("written");
        for name in ["none", "none/file", "file/file", "a?b", &"x".repeat(300)] {
            let error = Found::at(&folder.path().join(name)).expect_err("there is none");
            assert!(is_absence(&error) && !may_pass(&error), "{name}: {error:?}");
        }
    }

    #[test]
    fn a_resolved_path_has_its_usual_form_and_opens_the_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("file"), "x").expect("written");
        let path = resolve(&folder.path().join("./file")).expect("resolved");
        assert!(path.is_absolute() && !path.to_str().expect("UTF-8").starts_with(r"\\?\"), "{}", path.display());
        assert!(open_resolved(&path).expect("no error").is_some());
        assert!(open_resolved(&path.with_file_name("none")).expect("no error").is_none());
        assert_eq!(usual(r"\\?\UNC\server\share\file".into()), Path::new(r"\\server\share\file"));
    }
}
