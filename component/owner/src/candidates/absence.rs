//! The reasons why there is no candidate.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use super::finder::parent;
use crate::text::path_line;

/// The similarity of two names, from 0 to 1, from which one may be a misspelling of the other.
const SIMILAR: f64 = 0.85;

/// The reason why there is no candidate. `Display` is public: it names no file and no folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absence {
    /// The folder does not exist.
    NoFolder,
    /// The path of the folder leads to a file.
    NotFolder,
    /// The folder may not be read.
    Unreadable,
    /// The file of the source does not exist.
    NoFile,
    /// The folder has files, and none of them is a candidate.
    OtherNames {
        /// The number of files that are neither candidates nor sidecars.
        files: usize,
        /// The name of one of them, as [`one_line`](crate::one_line) makes it.
        example: String,
        /// The names that candidates have.
        patterns: String,
    },
}

impl Absence {
    /// Returns the reason for which a folder cannot be listed.
    pub(super) fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Absence::NoFolder,
            io::ErrorKind::NotADirectory => Absence::NotFolder,
            _ => Absence::Unreadable,
        }
    }

    /// Returns the name of a file in the folder that is no candidate. It is not public.
    pub fn other_file(&self) -> Option<&str> {
        match self {
            Absence::OtherNames { example, .. } => Some(example),
            _ => None,
        }
    }

    /// Returns what the operator may have meant by the path of the source, for the log. It asks the file system.
    pub fn hint(&self, path: &Path) -> Option<String> {
        match self {
            Absence::NoFolder | Absence::NoFile => nearest(path).map(|path| format!("did you mean {path}?")),
            Absence::NotFolder => Some(format!("serve it by --model {}", path_line(path))),
            Absence::Unreadable => None,
            Absence::OtherNames { example, .. } => Some(format!("one of its files is {example}")),
        }
    }
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Absence::NoFolder => f.write_str("the folder does not exist; --dir (STAT_PAIR_RL_DIR) names another"),
            Absence::NotFolder => {
                f.write_str("the path of the folder leads to a file; --model (STAT_PAIR_RL_MODEL) serves one")
            }
            Absence::Unreadable => f.write_str("the server has no permission to read the folder"),
            Absence::NoFile => f.write_str("the file does not exist; --model (STAT_PAIR_RL_MODEL) names another"),
            Absence::OtherNames { files: 1, patterns, .. } => {
                write!(f, "the file in the folder is not named {patterns}; --pattern (SAC_PATTERN) selects other names")
            }
            Absence::OtherNames { files, patterns, .. } => write!(
                f,
                "none of the {files} files in the folder is named {patterns}; --pattern (SAC_PATTERN) selects other names"
            ),
        }
    }
}

/// Returns the path beside a missing one that is most like it, if there is any.
fn nearest(missing: &Path) -> Option<String> {
    let name = missing.file_name()?.to_str()?.to_lowercase();
    let similarity =
        |found: &OsStr| found.to_str().map_or(0.0, |found| strsim::jaro_winkler(&found.to_lowercase(), &name));
    let found = fs::read_dir(parent(missing)).ok()?.flatten().map(|entry| entry.file_name());
    let nearest = found.max_by(|a, b| similarity(a).total_cmp(&similarity(b)))?;
    (similarity(&nearest) >= SIMILAR).then(|| path_line(&missing.with_file_name(nearest)).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_missing_may_be_a_misspelling_of_one_that_is_there() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["checkpoints", "logs"] {
            fs::create_dir(folder.path().join(name)).expect("made");
        }
        let hint = |name: &str| Absence::NoFolder.hint(&folder.path().join(name));
        let expected = format!("did you mean {}?", folder.path().join("checkpoints").display());
        assert_eq!(hint("checkpoint"), Some(expected.clone()));
        assert_eq!(hint("Chekpoints"), Some(expected));
        assert_eq!(hint("models"), None);
        assert_eq!(Absence::NoFolder.hint(&folder.path().join("none/at/all")), None);
    }
}
