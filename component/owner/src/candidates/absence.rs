//! The reasons why there is no candidate.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use super::finder::parent;
use super::remedy::{model_flag, names};
use super::source::Source;
use crate::policies::Root;
use crate::settings::Patterns;
use crate::text::{path_line, shell_word};

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
    /// The folder has no file, apart from those that belong to checkpoints.
    Empty {
        /// The names that candidates have.
        patterns: Patterns,
    },
    /// Each name that fits leads to no file, such as that of a symlink whose target is gone.
    Dangling,
    /// The folder has files, and none of them is a candidate.
    OtherNames {
        /// The number of files that are neither candidates nor sidecars.
        files: usize,
        /// The name of one of them, of a checkpoint if there is one.
        example: OsString,
        /// The names that candidates have.
        patterns: Patterns,
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

    /// Returns `true` if nothing was put there, as where an optional folder is not used.
    pub fn is_unused(&self) -> bool {
        matches!(self, Absence::NoFolder | Absence::Empty { .. })
    }

    /// Returns the reason for health. `has_policy` is true if a policy stays in service.
    pub fn detail(&self, has_policy: bool) -> String {
        match has_policy {
            true => format!("no candidate is left, and the policy in service stays: {self}"),
            false => self.to_string(),
        }
    }

    /// Returns what the operator may have meant by the path of the source, for the log. It asks the file system.
    pub fn hint(&self, path: &Path) -> Option<String> {
        match self {
            Absence::NoFolder => Some(similar_folder(path).unwrap_or_else(|| {
                format!("it is served once it is there: mkdir -p {}", shell_word(&path_line(path)))
            })),
            Absence::NoFile => nearest(path, Path::is_file),
            Absence::NotFolder => Some(format!("serve it by {}", model_flag(path))),
            Absence::Unreadable | Absence::Dangling => None,
            Absence::Empty { patterns } => root(path, patterns),
            Absence::OtherNames { example, patterns, .. } => {
                let remedy = remedy(example, patterns);
                let root = if remedy.is_empty() { root(path, patterns) } else { None };
                root.or_else(|| Some(format!("one of its files is {}{remedy}", path_line(Path::new(example)))))
            }
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
            Absence::Empty { patterns } => {
                write!(f, "the folder has no checkpoint yet: it waits for a file named {patterns}")
            }
            Absence::Dangling => f.write_str("the symlinks in the folder whose names fit lead to no file"),
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

/// Returns a question for the folder beside a missing one that is most like it, if there is any. It asks the file system.
pub fn similar_folder(missing: &Path) -> Option<String> {
    nearest(missing, Path::is_dir)
}

/// Returns how a file of this name becomes a candidate, if it seems to be a checkpoint.
fn remedy(example: &OsStr, patterns: &Patterns) -> String {
    let Some((flag, renamed)) = names(example, patterns) else { return String::new() };
    let rename = renamed.map(|renamed| format!(", or rename it to {renamed}")).unwrap_or_default();
    format!(": serve it by {flag}{rename}")
}

/// Returns the flag that serves the folders of a folder, if there are candidates in any.
fn root(folder: &Path, patterns: &Patterns) -> Option<String> {
    let mut template = Source::new(None, None, None);
    template.patterns = patterns.clone();
    let root = Root::new(folder, None, template);
    let name = root.names().ok()?.into_iter().next()?;
    let flag = format!("--root {}", shell_word(&path_line(folder)));
    Some(format!("its folder {name} has candidates: serve each of its folders as a policy by {flag}"))
}

/// Returns a question for the path beside a missing one that is most like it, of those that may be meant, if there is any.
fn nearest(missing: &Path, may_be_meant: fn(&Path) -> bool) -> Option<String> {
    let name = missing.file_name()?.to_str()?.to_lowercase();
    let similarity =
        |found: &OsStr| found.to_str().map_or(0.0, |found| strsim::jaro_winkler(&found.to_lowercase(), &name));
    let similar = fs::read_dir(parent(missing)).ok()?.flatten().map(|entry| entry.file_name());
    let similar = similar.filter(|found| similarity(found) >= SIMILAR).map(|found| missing.with_file_name(found));
    let of = |path: &Path| path.file_name().map_or(0.0, &similarity);
    let nearest = similar.filter(|path| may_be_meant(path)).max_by(|a, b| of(a).total_cmp(&of(b)))?;
    Some(format!("did you mean {}?", path_line(&nearest)))
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
        let awaited = format!("it is served once it is there: mkdir -p {}", folder.path().join("models").display());
        assert_eq!(hint("models"), Some(awaited));
        assert!(hint("none/at/all").expect("a hint").starts_with("it is served once it is there: "));
        assert_eq!(Absence::NoFile.hint(&folder.path().join("models")), None);
        // A file is no folder, and a folder no file.
        fs::write(folder.path().join("models.log"), "").expect("written");
        assert!(hint("models").expect("a hint").contains("mkdir -p"));
        assert_eq!(Absence::NoFile.hint(&folder.path().join("checkpoint")), None);
    }

    #[test]
    fn the_hint_for_a_name_can_be_typed_as_it_is() {
        let hint = |name: &str, patterns: &str| {
            let (example, patterns) = (name.into(), patterns.parse().expect("patterns"));
            let hint = Absence::OtherNames { files: 1, example, patterns }.hint(Path::new("folder")).expect("a hint");
            hint.strip_prefix("one of its files is ").expect("the file").to_owned()
        };
        let default = Patterns::default().to_string();
        for (name, expected) in [
            ("best.pt", "best.pt: serve it by --pattern best.pt, or rename it to model_best.pt"),
            (
                "rl_model_100_steps.zip",
                "rl_model_100_steps.zip: serve it by --pattern 'rl_model_*_steps.zip', or rename it to \
                 model_rl_model_100_steps.zip",
            ),
            ("it's.pt", "it's.pt: serve it by --pattern 'it'\\''s.pt', or rename it to model_it's.pt"),
            ("notes.txt", "notes.txt"),
            ("a[1].pt", "a[1].pt"),
        ] {
            assert_eq!(hint(name, &default), expected);
        }
        assert_eq!(hint("a.pt", "best_*"), "a.pt: serve it by --pattern a.pt");
    }
}
