//! The file of a log: opened, appended to, and replaced when it is full.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use humantime::format_rfc3339_micros;
use sac_owner::{FileKind, Found};

use crate::platform::keep_confidential;

/// The length of a time such as 2026-11-30T06-12-23.123456Z.
const TIME_LENGTH: usize = 27;

/// A file that is appended to. When it would grow beyond a size, it is renamed with the time after its name, and another begins.
pub(super) struct LogFile {
    path: PathBuf,
    max_bytes: u64,
    /// The number of renamed files that are kept; 0 keeps all.
    kept: usize,
    open: Option<Open>,
}

struct Open {
    file: File,
    /// The device and the inode, or what the system has in their place, by which a rename by others is noticed.
    identity: (u64, u64),
    /// False for a pipe, for example.
    is_regular: bool,
}

impl LogFile {
    pub(super) fn new(path: PathBuf, max_bytes: u64, kept: usize) -> Self {
        LogFile { path, max_bytes, kept, open: None }
    }

    /// Appends whole lines. On an error, none of them is in the file, as far as the file system allows.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let outcome = self.try_append(lines);
        if outcome.is_err() {
            // The next lines open it anew.
            self.open = None;
        }
        outcome
    }

    fn try_append(&mut self, lines: &[u8]) -> io::Result<()> {
        let length = self.opened()?.length()?;
        if length > 0 && length + lines.len() as u64 > self.max_bytes {
            self.rotate()?;
        }
        let open = self.opened()?;
        let length = open.length()?;
        let written = open.file.write_all(lines);
        if written.is_err() && open.is_regular {
            // Half a line would spoil the next one.
            let _ = open.file.set_len(length);
        }
        written
    }

    /// Returns the file at the path, which others may have renamed.
    fn opened(&mut self) -> io::Result<&mut Open> {
        let is_same = |open: &Open| {
            !open.is_regular || Found::at(&self.path).is_ok_and(|found| identity(&found) == open.identity)
        };
        let open = match self.open.take().filter(is_same) {
            Some(open) => open,
            None => open(&self.path)?,
        };
        Ok(self.open.insert(open))
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.open = None;
        // Without colons, which some file systems do not allow.
        let time = format_rfc3339_micros(SystemTime::now()).to_string().replace(':', "-");
        fs::rename(&self.path, with_suffix(&self.path, &time))?;
        if self.kept > 0 {
            let mut renamed = renamed(&self.path)?;
            renamed.sort_unstable();
            let surplus = renamed.len().saturating_sub(self.kept);
            for path in renamed.iter().take(surplus) {
                // The next rotation tries again.
                let _ = fs::remove_file(path);
            }
        }
        Ok(())
    }
}

impl Open {
    /// Returns the length now, for others may truncate the file. That of a pipe is 0.
    fn length(&self) -> io::Result<u64> {
        if self.is_regular { Ok(self.file.metadata()?.len()) } else { Ok(0) }
    }
}

fn open(path: &Path) -> io::Result<Open> {
    // The states in a log are confidential.
    let file = keep_confidential(OpenOptions::new().append(true).create(true)).open(path)?;
    let found = Found::of(&file)?;
    let mut open = Open { file, identity: identity(&found), is_regular: found.kind == FileKind::Regular };
    // A line that a crash has cut must not run into the next.
    if open.length()? > 0 && !ends_with_newline(path)? {
        open.file.write_all(b"\n")?;
    }
    Ok(open)
}

fn ends_with_newline(path: &Path) -> io::Result<bool> {
    use std::io::{Read, Seek, SeekFrom};
    let (mut file, mut last) = (File::open(path)?, [0]);
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// Returns the files that were renamed, in no order.
fn renamed(path: &Path) -> io::Result<Vec<PathBuf>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let prefix = with_suffix(path.file_name().unwrap_or_default().as_ref(), "").into_os_string();
    // Others rename files too, to names such as FILE.2 and FILE.2.gz.
    let is_renamed = |name: &std::ffi::OsStr| {
        let time = name.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes());
        time.is_some_and(|time| time.len() == TIME_LENGTH && time.ends_with(b"Z"))
    };
    let entries = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    entries.filter(|path| path.as_ref().map_or(true, |path| path.file_name().is_some_and(is_renamed))).collect()
}

/// Returns a path with a dot and a suffix after it.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

fn identity(found: &Found) -> (u64, u64) {
    (found.identity.dev, found.identity.ino)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(folder: &Path) -> Vec<String> {
        let mut paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
        paths.sort();
        // The current file has the shortest name, so it is the first.
        paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
    }

    #[test]
    fn a_full_file_is_renamed_and_the_oldest_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = LogFile::new(folder.path().join("log"), 8, 2);
        for line in ["one\n", "two\n", "three\n", "a line that is longer than a file\n", "five\n"] {
            file.append(line.as_bytes()).unwrap();
        }
        assert_eq!(contents(folder.path()), ["five\n", "three\n", "a line that is longer than a file\n"]);
        #[cfg(unix)]
        {
            let found = fs::metadata(folder.path().join("log")).unwrap();
            assert_eq!(std::os::unix::fs::MetadataExt::mode(&found) & 0o777, 0o600);
        }
    }

    #[test]
    fn without_a_number_all_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = LogFile::new(folder.path().join("log"), 1, 0);
        for _ in 0..5 {
            file.append(b"line\n").unwrap();
        }
        assert_eq!(contents(folder.path()).len(), 5);
    }

    #[test]
    fn a_file_that_others_truncate_goes_on_at_its_beginning_and_theirs_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        for name in ["log.1", "log.2", "log.2.gz"] {
            fs::write(folder.path().join(name), "of others").unwrap();
        }
        let mut file = LogFile::new(path.clone(), 4, 1);
        file.append(b"one\n").unwrap();
        File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        file.append(b"two\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
        for line in [b"three\n", b"four.\n"] {
            file.append(line).unwrap();
        }
        assert_eq!(contents(folder.path()), ["four.\n", "of others", "of others", "of others", "three\n"]);
    }

    #[test]
    fn a_file_that_others_rename_is_left_to_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut file = LogFile::new(path.clone(), 100, 0);
        file.append(b"one\n").unwrap();
        fs::rename(&path, folder.path().join("moved")).unwrap();
        file.append(b"two\n").unwrap();
        assert_eq!(contents(folder.path()), ["two\n", "one\n"]);
    }

    #[test]
    fn a_line_that_was_cut_does_not_run_into_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "one\ntw").unwrap();
        LogFile::new(path, 100, 0).append(b"three\n").unwrap();
        assert_eq!(contents(folder.path()), ["one\ntw\nthree\n"]);
    }

    #[test]
    fn a_folder_that_comes_back_is_written_to_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/log");
        let mut file = LogFile::new(path.clone(), 100, 0);
        assert!(file.append(b"one\n").is_err());
        fs::create_dir(folder.path().join("logs")).unwrap();
        file.append(b"two\n").unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), "two\n");
    }
}
