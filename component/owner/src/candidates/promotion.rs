//! Moves a checkpoint with the files beside it into another folder, as one that has just been written.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::content::{Content, Sidecar};
use super::digest::digest_path;
use super::selection::newer_than;
use super::sidecar_names as naming;
use super::source::Source;
use crate::text::one_line;
use crate::watch::{ReadError, resolve, set_modified, sha256};

/// The reason why a checkpoint is not promoted. Nothing was moved.
#[derive(Debug, Error)]
pub enum PromotionError {
    /// The source is one file, or the checkpoint is read through a symlink.
    #[error("a checkpoint is moved from a folder into another, and neither it nor the folder may be a symlink")]
    NotInFolder,
    /// The checkpoint, or a file beside it, is no longer as it was read.
    #[error("{} changed since it was loaded", one_line(.0))]
    Changed(String),
    /// The other folder has a file of this name.
    #[error("{} exists in both folders: rename one", one_line(.0))]
    Exists(String),
    /// The file of this name counts for all checkpoints of its folder, so the checkpoint would be another policy in the other.
    #[error(
        "{} counts for all checkpoints of a folder, and is not the same in both: make it the same, or give the checkpoint \
         its own (FILE.policy.json, FILE.vecnormalize.pkl)",
        one_line(.0)
    )]
    Shared(String),
    /// The file of this name cannot be read or moved.
    #[error("{} cannot be moved: {}", one_line(.0), .1)]
    Io(String, #[source] io::Error),
}

impl Content {
    /// Moves this checkpoint and its own sidecars from the folder of `from` into that of `to` by renames, the checkpoint last,
    /// and makes it the newest there. Returns its new path, absolute and without symlinks. Moves nothing on an error.
    ///
    /// # Errors
    /// Fails if the files are not as they were read, if the checkpoint would be another policy in the other folder, if a file
    /// there has the name of one of them, or if the file system refuses.
    pub fn promote(&self, from: &Source, to: &Source) -> Result<PathBuf, PromotionError> {
        let name = self.path.file_name().ok_or(PromotionError::NotInFolder)?;
        let [(Some(from_folder), from), (Some(to_folder), to)] = [from, to].map(|source| (source.folder(), source))
        else {
            return Err(PromotionError::NotInFolder);
        };
        let (checkpoint, target) = (from_folder.join(name), to_folder.join(name));
        let is_file = fs::symlink_metadata(&checkpoint).is_ok_and(|metadata| metadata.is_file());
        if !is_file || !resolve(&checkpoint).is_ok_and(|path| path == self.path) {
            return Err(PromotionError::NotInFolder);
        }
        let identity = from.reader().identity(&checkpoint).map_err(|error| failed(&checkpoint, error))?;
        if identity != Some(self.identity) {
            return Err(PromotionError::Changed(text(&checkpoint)));
        }
        self.check_shared(to, &target)?;
        let moves = self.moves(from, &checkpoint, &target)?;
        make_newest(to, &checkpoint)?;
        rename_all(&moves)?;
        Ok(resolve(&target).unwrap_or(target))
    }

    /// Returns the renames in their order.
    fn moves(
        &self,
        from: &Source,
        checkpoint: &Path,
        target: &Path,
    ) -> Result<Vec<(PathBuf, PathBuf)>, PromotionError> {
        let mut moves = Vec::new();
        for (path, new) in own_paths(checkpoint).into_iter().zip(own_paths(target)) {
            if fs::symlink_metadata(&new).is_ok() {
                return Err(PromotionError::Exists(text(&new)));
            }
            let found = from.reader().identity(&path).map_err(|error| failed(&path, error))?;
            let read = self.sidecars.iter().find(|sidecar| checkpoint.with_file_name(&sidecar.name) == path);
            // The sha256 file is no part of the content, and was verified.
            let is_digest = path == digest_path(checkpoint);
            if !is_digest && found != read.map(|sidecar| sidecar.identity) {
                return Err(PromotionError::Changed(text(&path)));
            }
            if found.is_some() {
                moves.push((path, new));
            }
        }
        if fs::symlink_metadata(target).is_ok() {
            return Err(PromotionError::Exists(text(target)));
        }
        moves.push((checkpoint.to_owned(), target.to_owned()));
        Ok(moves)
    }

    /// Checks that the files that count for all checkpoints of a folder are the same for this checkpoint in the other folder.
    fn check_shared(&self, to: &Source, target: &Path) -> Result<(), PromotionError> {
        let mut names = vec![naming::FOLDER_CARD];
        let has = |path: PathBuf| path.file_name().is_some_and(|name| self.sidecar(&name.to_string_lossy()).is_some());
        let outranked = to.vecnormalize.is_some() || has(naming::own_statistics(target));
        if !outranked {
            names.extend(naming::FOLDER_STATISTICS);
        }
        for name in names {
            let path = target.with_file_name(name);
            let there = match to.reader().read(&path) {
                Ok((bytes, _)) => Some(sha256(&bytes)),
                Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => None,
                Err(ReadError::Io(error)) => return Err(failed(&path, error)),
                Err(_) => return Err(PromotionError::Shared(name.to_owned())),
            };
            if there.as_deref() != self.sidecar(name).map(|sidecar| sidecar.sha256()) {
                return Err(PromotionError::Shared(name.to_owned()));
            }
        }
        Ok(())
    }

    fn sidecar(&self, name: &str) -> Option<&Sidecar> {
        self.sidecars.iter().find(|sidecar| sidecar.name == name)
    }
}

/// Returns the paths of the files that belong to one checkpoint alone.
fn own_paths(checkpoint: &Path) -> Vec<PathBuf> {
    let mut paths = vec![digest_path(checkpoint), naming::card(checkpoint), naming::own_statistics(checkpoint)];
    paths.extend(naming::callback_statistics(checkpoint));
    paths.extend(naming::zoo_folder(checkpoint).map(|folder| folder.join(naming::FOLDER_STATISTICS[0])));
    paths.extend(naming::external_data(checkpoint));
    paths
}

/// Sets a file's mtime to now, or beyond that of the newest candidate of a folder.
fn make_newest(folder: &Source, file: &Path) -> Result<(), PromotionError> {
    let newest = folder.candidates().map_err(|error| failed(file, error))?;
    let newest = newest.first().map(|candidate| candidate.state.identity.modified);
    set_modified(file, newer_than(newest)).map_err(|error| failed(file, error))
}

/// Renames files in this order. If one fails, those before it are renamed back.
fn rename_all(moves: &[(PathBuf, PathBuf)]) -> Result<(), PromotionError> {
    for (done, (path, new)) in moves.iter().enumerate() {
        let made = new.parent().map_or(Ok(()), fs::create_dir_all);
        if let Err(error) = made.and_then(|()| fs::rename(path, new)) {
            for (path, new) in moves[..done].iter().rev() {
                // The error that is reported is the first.
                let _ = fs::rename(new, path);
            }
            return Err(failed(path, error));
        }
    }
    Ok(())
}

fn failed(path: &Path, error: io::Error) -> PromotionError {
    PromotionError::Io(text(path), error)
}

fn text(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
