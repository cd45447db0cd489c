//! The root folder, and the sub-folders that are policies.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::candidates::Source;
use crate::settings::{ModelName, Patterns};
use crate::watch::may_pass;

/// A folder of folders. Its methods block.
pub struct Root {
    folder: PathBuf,
    /// The limits and the patterns of all sources.
    template: Source,
}

impl Root {
    /// Makes a root. The limits and the patterns of its sources are those of `template`.
    /// `home` takes the place of a leading `~` in the path of the folder.
    pub fn new(folder: &Path, home: Option<&Path>, template: Source) -> Self {
        let folder = Source::new(None, Some(folder), home).path().to_owned();
        Root { folder, template }
    }

    /// Returns the folder of folders.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the patterns of all sources.
    pub(crate) fn patterns(&self) -> &Patterns {
        &self.template.patterns
    }

    /// Returns the candidates of a policy.
    pub fn source(&self, name: &ModelName) -> Source {
        self.template.of_folder(&self.folder.join(name.as_str()))
    }

    /// Returns `true` if there is a sub-folder of this name. A symlink that leads out of the root is none. WASI does not say
    /// where a symlink leads: there, one that stays within the mount counts.
    ///
    /// # Errors
    ///
    /// An error may pass, and says nothing about the folder.
    pub fn contains(&self, name: &ModelName) -> io::Result<bool> {
        if cfg!(target_os = "wasi") {
            return self.folder.join(name.as_str()).metadata().map(|found| found.is_dir()).or_else(absent);
        }
        let is_below = || {
            let (folder, root) = (self.folder.join(name.as_str()).canonicalize()?, self.folder.canonicalize()?);
            Ok(folder != root && folder.starts_with(&root) && folder.is_dir())
        };
        is_below().or_else(absent)
    }

    /// Returns the names of the sub-folders that have candidates and are not hidden, in the order of the alphabet.
    ///
    /// # Errors
    ///
    /// An error may pass, and says nothing about the folders.
    pub fn names(&self) -> io::Result<Vec<ModelName>> {
        let entries = match self.folder.read_dir() {
            Err(error) if !may_pass(&error) => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            // Other names are no policies.
            let Some(name) = entry?.file_name().to_str().and_then(|name| name.parse::<ModelName>().ok()) else {
                continue;
            };
            if !is_hidden(&name) && self.contains(&name)? && self.source(&name).may_have_candidates()? {
                names.push(name);
            }
        }
        names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        Ok(names)
    }
}

/// The pattern of the candidates of all policies.
impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.template.of_folder(&self.folder.join("*")).fmt(f)
    }
}

/// Names with a dot in front are of those who write the folder: Kubernetes keeps the files of a volume below `..data`.
fn is_hidden(name: &ModelName) -> bool {
    name.as_str().starts_with('.')
}

/// An error that does not pass says that there is no such folder, or none that may be read.
fn absent(error: io::Error) -> io::Result<bool> {
    if may_pass(&error) { Err(error) } else { Ok(false) }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::fs::{File, create_dir};
    use std::os::unix::fs::symlink;

    use super::*;

    fn root() -> (tempfile::TempDir, Root) {
        let folder = tempfile::tempdir().unwrap();
        create_dir(folder.path().join("root")).unwrap();
        let root = Root::new(&folder.path().join("root"), None, Source::new(None, None, None));
        (folder, root)
    }

    #[test]
    fn the_sub_folders_that_have_candidates_are_policies() {
        let (_folder, root) = root();
        for name in ["b", "a", "empty", "not a name", "..data", ".hidden"] {
            create_dir(root.folder.join(name)).unwrap();
        }
        for file in ["a/model_1.pt", "b/model_1.pt", "not a name/model_1.pt", "empty/notes.txt", "model_1.pt"] {
            File::create(root.folder.join(file)).unwrap();
        }
        for hidden in ["..data/model_1.pt", ".hidden/model_1.pt"] {
            File::create(root.folder.join(hidden)).unwrap();
        }
        let names = root.names().unwrap();
        assert_eq!(names.iter().map(ModelName::as_str).collect::<Vec<_>>(), ["a", "b"]);
        let contains = |name: &str| root.contains(&name.parse().unwrap()).unwrap();
        assert!(contains("a") && contains("empty"));
        assert!(contains(".hidden"));
        assert!(!contains("model_1.pt") && !contains("none") && !contains(&"long".repeat(1000)));
        std::fs::remove_dir_all(&root.folder).unwrap();
        assert!(root.names().unwrap().is_empty());
    }

    #[test]
    fn a_symlink_counts_only_if_it_leads_to_a_folder_below_the_root() {
        let (folder, root) = root();
        for path in ["root/a", "root/a/deep", "outside"] {
            create_dir(folder.path().join(path)).unwrap();
            File::create(folder.path().join(path).join("model_1.pt")).unwrap();
        }
        for (link, to) in [
            ("out", "../outside"),
            ("absolute", folder.path().join("outside").to_str().unwrap()),
            ("itself", "."),
            ("above", ".."),
            ("loop", "loop"),
            ("gone", "nothing"),
            ("other", "a"),
            ("deep", "a/deep"),
            ("round", "../outside/../root/a"),
        ] {
            symlink(to, root.folder.join(link)).unwrap();
        }
        let names = root.names().unwrap();
        assert_eq!(names.iter().map(ModelName::as_str).collect::<Vec<_>>(), ["a", "deep", "other", "round"]);
    }
}
