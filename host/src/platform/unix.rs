//! Linux, macOS and other systems of the family of Unix.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::path_in;

/// The increase in niceness of a thread whose work can wait.
#[cfg(target_os = "linux")]
const NICE: i32 = 5;

pub(crate) fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// Only Linux has a priority for each thread. If it refuses, the work competes on equal terms.
pub(crate) fn lower_priority() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(NICE);
}

pub(crate) fn address_limit() -> Option<u64> {
    getrlimit(Resource::As).current
}

pub(crate) fn user_cache() -> Option<PathBuf> {
    let usual = if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" };
    path_in("XDG_CACHE_HOME").or_else(|| Some(path_in("HOME")?.join(usual)))
}

pub(crate) fn keep_confidential(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}
