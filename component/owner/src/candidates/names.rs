//! The names in a folder of checkpoints.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirEntry};
use std::io;
use std::path::Path;

use super::absence::Absence;
use super::sidecar_names::{is_sidecar, prefix_of_statistics};
use crate::settings::Patterns;
use crate::watch::may_pass;

/// The names in a folder.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) checkpoints: Vec<OsString>,
    /// All others: sidecars, and folders that may have some.
    others: HashSet<OsString>,
    /// The prefixes of checkpoints for which Stable-Baselines3's `CheckpointCallback` has written statistics.
    normalised: HashSet<String>,
    /// The files that are neither candidates nor sidecars. They are counted until there is a candidate.
    strangers: usize,
    /// One of them, whose extension is that of a checkpoint if there is such a one.
    stranger: Option<OsString>,
    /// The reason why the folder cannot be listed.
    unlisted: Option<Absence>,
}

impl Names {
    /// Reads a folder. A folder that does not exist or may not be read has no names.
    ///
    /// # Errors
    /// An error may pass, and says nothing about the folder.
    pub(super) fn read(folder: &Path, patterns: &Patterns) -> io::Result<Self> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if may_pass(&error) => return Err(error),
            Err(error) => return Ok(Names { unlisted: Some(Absence::of(&error)), ..Names::default() }),
        };
        let mut names = Names::default();
        for entry in entries {
            match entry {
                Ok(entry) => names.add(&entry, patterns),
                // Half a listing would be kept, as if the other files were gone.
                Err(error) if may_pass(&error) => return Err(error),
                Err(_) => {}
            }
        }
        Ok(names)
    }

    /// Returns `true` if the folder has this name, and it is no candidate's.
    pub(super) fn contains(&self, name: &OsStr) -> bool {
        self.others.contains(name)
    }

    /// Returns `true` if the folder has no other names than those of candidates.
    pub(super) fn are_checkpoints_alone(&self) -> bool {
        self.others.is_empty()
    }

    /// Returns `true` if `CheckpointCallback` has written statistics for a checkpoint of this prefix.
    pub(super) fn are_normalised(&self, prefix: &str) -> bool {
        self.normalised.contains(prefix)
    }

    /// Returns the reason why the folder has no candidate.
    pub(super) fn absence(&self, patterns: &Patterns) -> Absence {
        if let Some(unlisted) = &self.unlisted {
            return unlisted.clone();
        }
        let patterns = patterns.clone();
        match &self.stranger {
            _ if !self.checkpoints.is_empty() => Absence::Dangling,
            None => Absence::Empty { patterns },
            Some(example) => Absence::OtherNames { files: self.strangers, example: example.clone(), patterns },
        }
    }

    fn add(&mut self, entry: &DirEntry, patterns: &Patterns) {
        let name = entry.file_name();
        let is_sidecar = is_sidecar(&name);
        if !is_sidecar && patterns.matches(&name) {
            self.checkpoints.push(name);
            return;
        }
        let is_hidden = name.as_encoded_bytes().starts_with(b".");
        if self.checkpoints.is_empty() && !is_sidecar && !is_hidden {
            let is_file = entry.file_type().is_ok_and(|kind| !kind.is_dir());
            self.strangers += usize::from(is_file);
            let rank = |name: &OsStr| !Patterns::has_extension(name);
            if is_file && self.stranger.as_ref().is_none_or(|known| !rank(&name) && rank(known)) {
                self.stranger = Some(name.clone());
            }
        }
        self.normalised.extend(prefix_of_statistics(&name).map(str::to_owned));
        self.others.insert(name);
    }
}
