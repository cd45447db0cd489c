//! Chooses which candidate of a folder serves: it makes it the newest, as a touch by hand does.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use thiserror::Error;

use super::finder::Candidate;
use super::source::Source;
use crate::text::one_line;
use crate::watch::{set_modified, since_epoch};

/// The mtime of a pinned checkpoint, 2038-01-01: no checkpoint that is written after it is newer. It is near the end of the times
/// that all file systems keep.
const PINNED: Duration = Duration::from_secs(2_145_916_800);
/// A checkpoint whose mtime is further ahead than this is pinned. The clocks of machines that share a folder differ by less.
const AHEAD: Duration = Duration::from_secs(24 * 60 * 60);

/// The clock of files ticks more slowly than that of processes, and is behind it.
const TICK: Duration = Duration::from_millis(20);

/// The distance of two times that every file system tells apart.
const COARSE: Duration = Duration::from_secs(2);

/// The reason why a candidate was not chosen.
#[derive(Debug, Error)]
pub enum SelectionError {
    /// The source is one file.
    #[error("the server serves one file (--model), so there is none to choose")]
    OneFile,
    /// The folder has no candidate of this name.
    #[error("{} is no candidate in the folder", one_line(.0))]
    None(String),
    /// The time of the file of this name cannot be set.
    #[error("the time of {} cannot be set, which takes the owner of the file: {}", one_line(.0), .1)]
    Io(String, #[source] io::Error),
}

impl Candidate {
    /// Returns the name of the file.
    pub fn name(&self) -> String {
        text(&self.state.path)
    }

    /// Returns `true` if the candidate is pinned: it serves although others are written after it.
    pub fn is_pinned(&self) -> bool {
        self.state.identity.modified > SystemTime::now() + AHEAD
    }
}

impl Source {
    /// Returns the candidate of this name in the folder.
    ///
    /// # Errors
    /// Fails if there is no such candidate, or if the folder cannot be listed.
    pub fn candidate(&self, name: &str) -> Result<Candidate, SelectionError> {
        let found = self.all()?.into_iter().find(|candidate| candidate.name() == name);
        found.ok_or_else(|| SelectionError::None(name.to_owned()))
    }

    /// Makes the candidate of this name the newest of the folder, and no other one pinned. With `pin` it stays the newest whatever
    /// is written later. Returns its path.
    ///
    /// # Errors
    /// Fails if there is no such candidate, or if the file system refuses. The choice before then remains.
    pub fn select(&self, name: &str, pin: bool) -> Result<PathBuf, SelectionError> {
        let all = self.all()?;
        let chosen = all.iter().find(|candidate| candidate.name() == name);
        let chosen = &chosen.ok_or_else(|| SelectionError::None(name.to_owned()))?.state.path;
        let others = || all.iter().filter(|candidate| candidate.state.path != *chosen);
        let newest = |pinned: bool| {
            let others = others().filter(|other| pinned || !other.is_pinned());
            others.map(|other| other.state.identity.modified).max()
        };
        // It stays the newest throughout, so that no third checkpoint serves in between.
        set_time(chosen, newer_than(newest(true)))?;
        for other in others().filter(|other| other.is_pinned()) {
            set_time(&other.state.path, SystemTime::now() - COARSE)?;
        }
        let time = if pin { UNIX_EPOCH + PINNED } else { newer_than(newest(false)) };
        set_time(chosen, time)?;
        Ok(chosen.clone())
    }

    fn all(&self) -> Result<Vec<Candidate>, SelectionError> {
        let folder = self.folder().ok_or(SelectionError::OneFile)?;
        self.candidates().map_err(|error| failed(folder, error))
    }
}

/// Returns the current time, or a time just after the newest of the others if that is later. A file that is written afterwards is
/// newer still. The step is 1 ms on a file system whose times have fractions of a second, and 1 s on any other.
pub(super) fn newer_than(newest: Option<SystemTime>) -> SystemTime {
    let now = SystemTime::now() - TICK;
    let step = |newest| if since_epoch(newest).1 == 0 { Duration::from_secs(1) } else { Duration::from_millis(1) };
    newest.filter(|newest| *newest >= now).map_or(now, |newest| newest + step(newest))
}

fn set_time(path: &Path, time: SystemTime) -> Result<(), SelectionError> {
    set_modified(path, time).map_err(|error| failed(path, error))
}

fn failed(path: &Path, error: io::Error) -> SelectionError {
    SelectionError::Io(text(path), error)
}

fn text(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_newer_than_the_newest_and_older_than_what_is_written_soon_after() {
        let ahead = SystemTime::now() + Duration::from_secs(60);
        let whole = UNIX_EPOCH + Duration::from_secs(ahead.duration_since(UNIX_EPOCH).expect("after 1970").as_secs());
        let fine = whole + Duration::from_millis(500);
        assert_eq!(newer_than(Some(fine)), fine + Duration::from_millis(1));
        assert_eq!(
            newer_than(Some(whole)),
            whole + Duration::from_secs(1),
            "the file system may show whole seconds alone"
        );
        assert!(newer_than(Some(UNIX_EPOCH)) <= SystemTime::now());
    }
}
