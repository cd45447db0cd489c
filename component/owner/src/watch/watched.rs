//! The trait that connects [`Freshness`](crate::Freshness) with the files that it watches.

use std::fmt::Display;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::file_state::FileState;
use super::identity::Identity;
use super::read::Failure;
use super::seen::Seen;

/// One file, or a folder of candidates, that [`Freshness`](crate::Freshness) watches. `Display` names it in errors.
pub trait Watch: Display {
    /// The word for one of the files in errors.
    const NOUN: &'static str;
    /// The files that could serve, newest first.
    type Listing;
    /// A file that could serve.
    type Candidate: AsRef<FileState>;
    /// The content that a read returns.
    type Content;

    /// The age at which a file is read once more, if it was younger when it was read.
    fn settle(&self) -> Duration;

    /// Lists the files as they are now. It may keep parts of an earlier listing; the file at `serving` is always checked.
    ///
    /// # Errors
    /// An error may pass, and says nothing about the files. A missing file or folder is no error.
    fn look(&self, serving: Option<&Path>) -> io::Result<Self::Listing>;

    /// Lists the files as [`Watch::look`] does, without an earlier listing.
    ///
    /// # Errors
    /// See [`Watch::look`].
    fn look_anew(&self, serving: Option<&Path>) -> io::Result<Self::Listing> {
        self.look(serving)
    }

    /// Returns `true` if a listing contains this path.
    fn lists(&self, listing: &Self::Listing, path: &Path) -> bool;

    /// Returns the candidates to compare, newest first: those that may be tried and are newer than the file at `serving`,
    /// and that file itself.
    fn considered<'a>(
        &'a self,
        listing: &'a Self::Listing,
        serving: Option<&'a Path>,
    ) -> impl Iterator<Item = &'a Self::Candidate>;

    /// Reads a candidate.
    ///
    /// # Errors
    /// The candidate is refused.
    fn read(&self, candidate: &Self::Candidate) -> Result<(Seen, Self::Content), Failure>;

    /// Returns digests that tell a content from any other of the same path.
    fn digests(content: &Self::Content) -> Vec<String>;

    /// Returns the identity of the file whose change makes a refused candidate worth another try, if the candidate was listed
    /// with such a file.
    fn remedy(&self, _candidate: &Self::Candidate) -> Option<Identity> {
        None
    }
}
