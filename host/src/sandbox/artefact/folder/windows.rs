//! A private folder on Windows: one below the user's profile, which Windows keeps others from. The permissions of other folders
//! are not examined, so none of them is trusted.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use sac_owner::{path_line, resolve};

/// A folder below the user's profile, by its path without symlinks.
pub(in crate::sandbox::artefact) struct PrivateFolder(PathBuf);

impl PrivateFolder {
    /// Opens a folder, which is created if needed. Fails if it is not below the user's profile.
    pub(in crate::sandbox::artefact) fn open(path: &Path) -> Result<Self> {
        fs::create_dir_all(path)?;
        let profile = std::env::home_dir().context("this user has no profile folder")?;
        let (path, profile) = (resolve(path)?, resolve(&profile)?);
        ensure!(
            path.starts_with(&profile),
            "{} is not in the profile {}, and on Windows only what is there is known to be private",
            path_line(&path),
            path_line(&profile)
        );
        Ok(PrivateFolder(path))
    }

    /// Opens a folder likewise, or returns `None` if there is none.
    pub(in crate::sandbox::artefact) fn existing(path: &Path) -> Result<Option<Self>> {
        if path.is_dir() { Self::open(path).map(Some) } else { Ok(None) }
    }

    /// Opens a file. Returns `None` if there is none of this name.
    pub(in crate::sandbox::artefact) fn file(&self, name: &str) -> Result<Option<File>> {
        let path = self.path(name);
        let found = match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found.with_context(|| format!("{} cannot be opened", path_line(&path)))?,
        };
        ensure!(!found.is_symlink(), "{} is a symlink", path_line(&path));
        ensure!(found.is_file(), "{} is not a regular file", path_line(&path));
        File::open(&path).map(Some).with_context(|| format!("{} cannot be opened", path_line(&path)))
    }

    /// Writes a file, which appears whole or not at all. Windows refuses it while another process has the file mapped.
    pub(in crate::sandbox::artefact) fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        let path = self.path(name);
        let written = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.0)?;
            file.write_all(content)?;
            file.persist(&path)?;
            Ok(())
        };
        written().with_context(|| format!("{} cannot be written", path_line(&path)))
    }

    /// Returns the path of a file, for messages.
    pub(in crate::sandbox::artefact) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Returns a path that leads to an open file of this folder. Only this user can have put another in its place.
    pub(in crate::sandbox::artefact) fn path_to(&self, name: &str, _: &File) -> Result<Option<PathBuf>> {
        Ok(Some(self.path(name)))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_folder_is_private_in_the_profile_alone_and_its_files_are_written_whole() {
        let profile = std::env::home_dir().expect("a profile");
        let inside = tempfile::tempdir_in(profile).expect("a folder in the profile");
        let folder = PrivateFolder::open(&inside.path().join("cache")).expect("private");
        assert!(folder.file("file").expect("no error").is_none());
        for content in ["one", "two"] {
            folder.write("file", content.as_bytes()).expect("written");
            let mut found = String::new();
            folder.file("file").expect("opened").expect("there").read_to_string(&mut found).expect("read");
            assert_eq!(found, content);
        }
        fs::create_dir(folder.path("folder")).expect("made");
        let error = folder.file("folder").expect_err("refused").to_string();
        assert!(error.ends_with("folder is not a regular file"), "{error}");
        let public = std::env::var_os("PUBLIC").expect("Windows has a public folder");
        let outside = tempfile::tempdir_in(public).expect("a folder outside the profile");
        let error = PrivateFolder::open(outside.path()).err().expect("refused").to_string();
        assert!(error.contains(" is not in the profile "), "{error}");
    }
}
