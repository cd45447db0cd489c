//! The reason why a folder that has files has no candidate.

use std::fmt;

/// A folder has files, and none of them is a candidate. `Display` names none of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absence {
    /// The number of files that are neither candidates nor sidecars.
    pub files: usize,
    /// The name of one of them, as [`one_line`](crate::one_line) makes it.
    pub example: String,
    /// The names that candidates have.
    pub patterns: String,
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = match self.files {
            1 => "the file in the folder is not",
            _ => &format!("none of the {} files in the folder is", self.files),
        };
        write!(f, "{files} named {}; --pattern (SAC_PATTERN) selects other names", self.patterns)
    }
}
