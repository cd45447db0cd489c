//! Asks for many files at once.
//!
//! Spin answers each file call on another thread, which takes 0.1 ms. The calls of `sac_owner` wait for one another; those of
//! WASI 0.3 need not.

use std::path::{Path, PathBuf};

use futures_util::future::{join, try_join_all};
use spin_sdk::wasip3::filesystem::preopens::get_directories;
use spin_sdk::wasip3::filesystem::types::{Descriptor, ErrorCode, PathFlags};

/// Files and folders as they were at a moment.
#[derive(Debug, PartialEq)]
pub struct Snapshot {
    paths: Vec<PathBuf>,
    states: Vec<State>,
}

#[derive(Debug, PartialEq)]
enum State {
    Missing,
    Present {
        size: u64,
        /// Seconds and nanoseconds.
        modified: Option<(i64, u32)>,
        /// A hash of the device and the inode number.
        hash: (u64, u64),
    },
}

/// The folders that the runtime mounts.
pub struct Mounts(Vec<(Descriptor, String)>);

impl Mounts {
    pub fn new() -> Self {
        Mounts(get_directories())
    }

    /// Finds the mount of a path, and the rest of the path, as wasi-libc does.
    fn resolve(&self, path: &Path) -> Option<(&Descriptor, String)> {
        let plain = |path: &str| path.trim_start_matches("./").trim_start_matches('/').trim_end_matches('/').to_owned();
        let path = plain(path.to_str()?);
        let below = |mount: &str| match mount {
            "" | "." => Some(path.as_str()),
            mount => path.strip_prefix(mount).filter(|rest| rest.is_empty() || rest.starts_with('/')),
        };
        let mounts = self.0.iter().map(|(folder, name)| (folder, plain(name)));
        let found = mounts.filter_map(|(folder, name)| Some((name.len(), folder, below(&name)?.to_owned())));
        let (_, folder, rest) = found.max_by_key(|(length, ..)| *length)?;
        let rest = rest.trim_start_matches('/');
        Some((folder, if rest.is_empty() { "." } else { rest }.to_owned()))
    }
}

impl Snapshot {
    /// Asks for all paths at the same time. Returns `None` if any of them cannot be asked for now.
    pub async fn take(mounts: &Mounts, paths: Vec<PathBuf>) -> Option<Self> {
        let states = try_join_all(paths.iter().map(|path| State::of(mounts, path))).await;
        Some(Snapshot { states: states.ok()?, paths })
    }

    pub fn is_of(&self, paths: &[PathBuf]) -> bool {
        self.paths == paths
    }
}

impl State {
    async fn of(mounts: &Mounts, path: &Path) -> Result<Self, ErrorCode> {
        let (folder, rest) = mounts.resolve(path).ok_or(ErrorCode::NoEntry)?;
        let stat = folder.stat_at(PathFlags::SYMLINK_FOLLOW, rest.clone());
        let hash = folder.metadata_hash_at(PathFlags::SYMLINK_FOLLOW, rest);
        match join(stat, hash).await {
            (Ok(stat), Ok(hash)) => Ok(State::Present {
                size: stat.size,
                modified: stat.data_modification_timestamp.map(|time| (time.seconds, time.nanoseconds)),
                hash: (hash.lower, hash.upper),
            }),
            (Err(ErrorCode::NoEntry), Err(ErrorCode::NoEntry)) => Ok(State::Missing),
            (stat, hash) => Err(stat.err().or(hash.err()).unwrap_or(ErrorCode::Io)),
        }
    }
}
