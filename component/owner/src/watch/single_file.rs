//! A file that is watched by itself, such as a file of tokens or a certificate.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::SETTLE;
use super::digest::sha256;
use super::file_state::FileState;
use super::identity::Identity;
use super::read::{Failure, FileReader};
use super::seen::{Moment, Seen};
use super::watched::Watch;
use crate::text::path_line;

/// A file that is watched by itself. No other file matters to it.
#[derive(Debug, Clone)]
pub struct SingleFile {
    path: PathBuf,
    reader: FileReader,
    settle: Duration,
}

impl SingleFile {
    /// Watches the file at `path`, which is used as it is. A file of more than `max_bytes` is refused.
    pub fn new(path: &Path, max_bytes: u64) -> Self {
        let reader = FileReader { identify: Identity::of, max_bytes, noun: Self::NOUN };
        SingleFile { path: path.to_owned(), reader, settle: SETTLE }
    }

    /// Returns the path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Watch for SingleFile {
    const NOUN: &'static str = "file";
    type Listing = Option<FileState>;
    type Candidate = FileState;
    type Content = Vec<u8>;

    fn settle(&self) -> Duration {
        self.settle
    }

    fn look(&self, _: Option<&Path>) -> io::Result<Self::Listing> {
        let identity = self.reader.identity(&self.path)?;
        Ok(identity.map(|identity| FileState { path: self.path.clone(), identity, companions: Vec::new() }))
    }

    fn lists(&self, listing: &Self::Listing, _: &Path) -> bool {
        listing.is_some()
    }

    fn considered<'a>(
        &'a self,
        listing: &'a Self::Listing,
        _: Option<&'a Path>,
    ) -> impl Iterator<Item = &'a Self::Candidate> {
        listing.iter()
    }

    fn read(&self, candidate: &FileState) -> Result<(Seen, Vec<u8>), Failure> {
        let began = Moment::now();
        let (bytes, identity) = self.reader.read(&candidate.path)?;
        let state = FileState { identity, ..candidate.clone() };
        Ok((Seen::read(state, began, self.settle), bytes))
    }

    fn digests(content: &Vec<u8>) -> Vec<String> {
        vec![sha256(content)]
    }
}

impl fmt::Display for SingleFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&path_line(&self.path))
    }
}

#[cfg(test)]
mod tests;
