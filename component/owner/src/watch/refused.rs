//! A candidate that was refused.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::identity::Identity;
use super::read::Failure;
use super::seen::Seen;
use super::system::resolve;
use super::watched::Watch;
use crate::text::one_line;

/// A try that takes longer is slow.
const SLOW: Duration = Duration::from_millis(250);
/// The longest pause between tries of a path whose files take long and are refused.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// A candidate that was refused. It is tried again when its identity changes or a reload is forced. If it was young, or
/// its error may pass, it is also tried once more when it has aged.
#[derive(Debug, Clone)]
pub struct Refused {
    pub(super) seen: Seen,
    /// See [`Watch::remedy`].
    pub(super) remedy: Option<Identity>,
    /// The absolute path, with symlinks resolved as far as they led to something when it was refused.
    pub resolved: PathBuf,
    /// The reason, in one line.
    pub detail: String,
    /// True if the same file was refused before for the same reason.
    pub repeated: bool,
    /// True if the machine is at fault, and not the file. It is tried again although it stays the same.
    pub may_pass: bool,
    /// The number of slow tries of this path, one after another.
    slow_tries: u32,
    /// The end of the pause before the next try, if this path has had more than one slow try.
    paused_until: Option<Instant>,
    /// When it was refused.
    pub at: SystemTime,
}

impl Refused {
    /// Returns the path as it was listed.
    pub fn path(&self) -> &Path {
        &self.seen.state.path
    }

    /// Returns the file's modification time.
    pub fn modified(&self) -> SystemTime {
        self.seen.state.identity.modified
    }

    /// Returns `true` if a candidate is this one, unchanged.
    pub(super) fn is<W: Watch>(&self, candidate: &W::Candidate, watched: &W) -> bool {
        self.seen.is(candidate.as_ref()) && self.remedy == watched.remedy(candidate)
    }

    /// Returns `true` if trying this path took long.
    pub(super) fn is_slow(&self) -> bool {
        self.slow_tries > 0
    }

    /// Returns `true` if a change of the file is no reason for another try yet.
    pub(super) fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|until| now < until)
    }

    /// Creates a refusal after a try that took this long. It takes the place of `before`, an earlier one of the same path.
    pub(super) fn new(
        seen: Seen,
        remedy: Option<Identity>,
        error: Failure,
        took: Duration,
        before: Option<Arc<Refused>>,
    ) -> Self {
        let Failure { detail, may_pass } = error;
        let detail = one_line(&detail).into_owned();
        let slow_tries = match &before {
            _ if took < SLOW => 0,
            Some(before) => before.slow_tries.saturating_add(1),
            None => 1,
        };
        let repeated =
            before.is_some_and(|before| before.seen.state.identity == seen.state.identity && before.detail == detail);
        let paused_until = (slow_tries > 1).then(|| Instant::now() + pause(took, slow_tries));
        let (resolved, at) = (resolve_most(&seen.state.path), SystemTime::now());
        Refused { seen, remedy, resolved, detail, repeated, may_pass, slow_tries, paused_until, at }
    }
}

/// Returns an absolute path without symlinks. If a file is gone by now, its folder is resolved.
fn resolve_most(path: &Path) -> PathBuf {
    let of_folder = || -> io::Result<PathBuf> {
        let absolute = std::path::absolute(path)?;
        let (Some(folder), Some(name)) = (absolute.parent(), absolute.file_name()) else { return Ok(absolute) };
        Ok(resolve(folder)?.join(name))
    };
    let resolved = resolve(path).or_else(|_| of_folder());
    resolved.or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned())
}

/// Returns the pause after so many slow tries, the last of which took this long. So a path whose file is written again and
/// again takes a small part of the time, and other files have the rest.
pub(super) fn pause(took: Duration, slow_tries: u32) -> Duration {
    let times = (1u32 << (slow_tries - 1).min(6)) - 1;
    took.saturating_mul(times).min(MAX_PAUSE)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_path_is_resolved_as_far_as_it_leads_to_something() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let place = place.path().canonicalize().expect("resolved");
        fs::create_dir(place.join("folder")).expect("made");
        fs::write(place.join("folder/file"), "x").expect("written");
        symlink("folder", place.join("link")).expect("linked");
        symlink("folder/file", place.join("other")).expect("linked");
        let resolved = |path: &str| resolve_most(&place.join(path)).strip_prefix(&place).map(Path::to_owned).ok();
        assert_eq!(resolved("link/file").as_deref(), Some(Path::new("folder/file")));
        assert_eq!(resolved("other").as_deref(), Some(Path::new("folder/file")));
        assert_eq!(resolved("link/gone").as_deref(), Some(Path::new("folder/gone")));
        assert_eq!(resolved("none/gone").as_deref(), Some(Path::new("none/gone")));
        assert!(resolve_most(Path::new("gone")).is_absolute());
    }
}
