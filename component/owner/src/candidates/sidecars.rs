//! The sidecars of a checkpoint as a listing finds them: which exist, and what a request checks of them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::finder::Finder;
use super::names::Names;
use super::sidecar_names::{self as naming, SidecarKind};
use crate::watch::Identity;

/// A file that stands, or may come to stand, beside a checkpoint.
#[derive(Debug)]
pub(super) struct SidecarFile {
    pub(super) kind: SidecarKind,
    pub(super) path: PathBuf,
    /// `None` if there is no such file. It is then watched because it may appear while the folder stays the same.
    pub(super) identity: Option<Identity>,
    /// True if all checkpoints of the folder have it, so that a request checks it once.
    pub(super) is_shared: bool,
    /// True if the operator names it. It may be anywhere, and its absence is an error.
    pub(super) is_named: bool,
    /// True if the checkpoint is not whole without it.
    pub(super) is_awaited: bool,
}

/// The sidecars of one checkpoint.
#[derive(Debug, Clone, Default)]
pub(super) struct Sidecars {
    /// True if a file may hold the checkpoint's sha256. Otherwise no request looks for one.
    pub(super) digest: bool,
    /// In a fixed order.
    pub(super) files: Vec<Arc<SidecarFile>>,
}

/// The sidecars that all checkpoints of a folder have.
pub(super) type Shared = Vec<Arc<SidecarFile>>;

impl Sidecars {
    /// Returns the identities of those that exist.
    pub(super) fn identities(&self) -> Vec<Identity> {
        self.files.iter().filter_map(|file| file.identity).collect()
    }
}

/// Looks for sidecars in one folder.
pub(super) struct SidecarFinder<'a> {
    pub(super) finder: Finder<'a>,
    /// The names in the folder. `None` if they are not known: each sidecar is then looked for.
    pub(super) names: Option<&'a Names>,
}

impl SidecarFinder<'_> {
    /// Finds those that all checkpoints of `folder` share.
    pub(super) fn shared(&self, folder: &Path) -> io::Result<Shared> {
        let mut files = Vec::new();
        self.add(&mut files, SidecarKind::FolderCard, folder.join(naming::FOLDER_CARD), true)?;
        match self.finder.vecnormalize {
            Some(path) => {
                let (path, identity) = (path.to_owned(), self.finder.identity(path)?);
                let kind = SidecarKind::Vecnormalize;
                files.push(Arc::new(SidecarFile {
                    kind,
                    path,
                    identity,
                    is_shared: true,
                    is_named: true,
                    is_awaited: false,
                }));
            }
            None => {
                for name in naming::FOLDER_STATISTICS {
                    self.add(&mut files, SidecarKind::Vecnormalize, folder.join(name), true)?;
                }
            }
        }
        Ok(files)
    }

    /// Finds those of one checkpoint.
    pub(super) fn of(&self, checkpoint: &Path, shared: &Shared) -> io::Result<Sidecars> {
        if shared.is_empty() && self.names.is_some_and(Names::are_checkpoints_alone) {
            return Ok(Sidecars::default());
        }
        let digest = self.may_exist(&super::digest::digest_path(checkpoint));
        let mut files = Vec::new();
        self.add(&mut files, SidecarKind::Card, naming::card(checkpoint), false)?;
        files.extend(shared.iter().filter(|file| file.kind == SidecarKind::FolderCard).cloned());
        self.add_statistics(&mut files, checkpoint, shared)?;
        for path in naming::external_data(checkpoint) {
            self.add(&mut files, SidecarKind::ExternalData, path, false)?;
        }
        Ok(Sidecars { digest, files })
    }

    fn add_statistics(&self, files: &mut Shared, checkpoint: &Path, shared: &Shared) -> io::Result<()> {
        let kind = SidecarKind::Vecnormalize;
        if self.finder.vecnormalize.is_none() {
            self.add(files, kind, naming::own_statistics(checkpoint), false)?;
            if files.last().is_some_and(|file| file.kind == kind && file.identity.is_some()) {
                return Ok(());
            }
        }
        if self.finder.vecnormalize.is_none() && self.add_of_callback(files, checkpoint)? {
            return Ok(());
        }
        files.extend(shared.iter().filter(|file| file.kind == kind).cloned());
        if self.finder.vecnormalize.is_some() {
            return Ok(());
        }
        if let Some(folder) = naming::zoo_folder(checkpoint).filter(|folder| self.may_exist(folder)) {
            let path = folder.join(naming::FOLDER_STATISTICS[0]);
            let identity = self.finder.identity(&path)?;
            // A file that appears in this folder leaves the checkpoint's folder as it is.
            if identity.is_some() || self.finder.identity(&folder)?.is_some() {
                files.push(Arc::new(SidecarFile {
                    kind,
                    path,
                    identity,
                    is_shared: false,
                    is_named: false,
                    is_awaited: false,
                }));
            }
        }
        Ok(())
    }

    /// Adds the statistics of `CheckpointCallback`, which outrank those of the folder. Returns `true` if no others count. The
    /// callback writes the model first: until the statistics are there, the model is not whole if others of its prefix have them.
    fn add_of_callback(&self, files: &mut Shared, checkpoint: &Path) -> io::Result<bool> {
        let kind = SidecarKind::Vecnormalize;
        let Some(path) = naming::callback_statistics(checkpoint) else { return Ok(false) };
        self.add(files, kind, path.clone(), false)?;
        if files.last().is_some_and(|file| file.path == path && file.identity.is_some()) {
            return Ok(true);
        }
        let prefix = naming::callback_prefix(checkpoint).unwrap_or_default();
        let is_awaited = self.names.is_some_and(|names| names.are_normalised(prefix));
        // A card says what counts.
        let has_card = files.iter().any(|file| file.identity.is_some() && file.kind != kind);
        if is_awaited && !has_card {
            let (identity, is_shared, is_named) = (None, false, false);
            files.push(Arc::new(SidecarFile { kind, path, identity, is_shared, is_named, is_awaited }));
        }
        Ok(is_awaited)
    }

    /// Adds a file that exists, or whose name does: it may be a symlink's that leads nowhere yet.
    fn add(&self, files: &mut Shared, kind: SidecarKind, path: PathBuf, is_shared: bool) -> io::Result<()> {
        if !self.may_exist(&path) {
            return Ok(());
        }
        let identity = self.finder.identity(&path)?;
        if identity.is_some() || self.names.is_some() {
            files.push(Arc::new(SidecarFile { kind, path, identity, is_shared, is_named: false, is_awaited: false }));
        }
        Ok(())
    }

    fn may_exist(&self, path: &Path) -> bool {
        self.names.is_none_or(|names| path.file_name().is_some_and(|name| names.contains(name)))
    }
}
