use std::time::{Duration, SystemTime};

use rustix::fs::Stat;

/// What tells one state of a file from another. Compared with `!=`, never `>`: a rename keeps an older mtime,
/// `cp -p` restores one, and clocks step back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    pub dev: u64,
    /// Under WASI a hash that stands for the file's device and number.
    pub ino: u64,
    pub size: u64,
    pub modified: SystemTime,
    /// Under WASI always the epoch: it is not to be had there.
    pub changed: SystemTime,
}

impl Identity {
    // The width and sign of a stat's fields differ from platform to platform.
    #[allow(clippy::unnecessary_cast)]
    pub fn of(stat: &Stat) -> Self {
        #[cfg(not(target_os = "wasi"))]
        let (modified, changed) = (
            time(stat.st_mtime as i64, stat.st_mtime_nsec as u32),
            time(stat.st_ctime as i64, stat.st_ctime_nsec as u32),
        );
        #[cfg(target_os = "wasi")]
        let (modified, changed) = (
            time(stat.st_mtim.tv_sec as i64, stat.st_mtim.tv_nsec as u32),
            time(stat.st_ctim.tv_sec as i64, stat.st_ctim.tv_nsec as u32),
        );
        Identity { dev: stat.st_dev as u64, ino: stat.st_ino as u64, size: stat.st_size as u64, modified, changed }
    }

    /// Whether the file may have been written so recently that its clock could not tell the next write from this one.
    pub(crate) fn is_younger_than(&self, age: Duration, now: SystemTime) -> bool {
        // A time in the future, where `duration_since` fails, is young too.
        [self.modified, self.changed].iter().any(|at| !now.duration_since(*at).is_ok_and(|passed| passed >= age))
    }
}

/// A time as whole seconds since the Unix epoch and nanoseconds that count forward.
pub fn since_epoch(time: SystemTime) -> (i64, u32) {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => (after.as_secs() as i64, after.subsec_nanos()),
        Err(before) => {
            let (seconds, nanoseconds) = (before.duration().as_secs() as i64, before.duration().subsec_nanos());
            if nanoseconds == 0 { (-seconds, 0) } else { (-seconds - 1, 1_000_000_000 - nanoseconds) }
        }
    }
}

fn time(seconds: i64, nanoseconds: u32) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let at = match seconds {
        0.. => SystemTime::UNIX_EPOCH.checked_add(whole),
        _ => SystemTime::UNIX_EPOCH.checked_sub(whole),
    };
    at.and_then(|at| at.checked_add(Duration::from_nanos(nanoseconds.into()))).unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_the_epoch_count_their_nanoseconds_forward_too() {
        for (seconds, nanoseconds) in [(0, 0), (1_700_000_000, 5), (-1, 500_000_000), (-2, 0), (-2, 1)] {
            assert_eq!(since_epoch(time(seconds, nanoseconds)), (seconds, nanoseconds));
        }
    }
}
