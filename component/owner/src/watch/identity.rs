//! The identity of a file: the fields that differ when the file has changed.

use std::time::{Duration, SystemTime};

use super::system::Found;

/// Longer than a tick of any clock that shows fractions of a second. The longest that is known is 16 ms.
const FAST_TICK: Duration = Duration::from_millis(100);

/// Tells one state of a file from another. Compare with `!=`, never `>`: a rename keeps an older mtime, `cp -p` restores
/// one, and clocks step back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The device. On Windows it is the serial number of the volume.
    pub dev: u64,
    /// The inode number. Under WASI it is a hash of the device and the inode number, and on Windows the index of the file.
    pub ino: u64,
    /// The size in bytes.
    pub size: u64,
    /// The mtime.
    pub modified: SystemTime,
    /// The ctime, which Windows calls change time. WASI does not report it: there it is always the epoch.
    pub changed: SystemTime,
}

/// Makes an identity of a file or a folder. Tests use one whose clock ticks more slowly.
pub type Identify = fn(&Found) -> Identity;

impl Identity {
    /// Returns the identity of all that the system reports.
    pub fn of(found: &Found) -> Self {
        found.identity
    }

    /// Returns `true` if one more change may leave the same times, because they are within a tick of their clock. A time
    /// with a fraction of a second comes from a clock that ticks in milliseconds. Any other may come from a clock as slow
    /// as `slowest`.
    ///
    /// A time ahead of `now` does not say how old it is. But a clock shows each time for one tick only, and it had shown
    /// this one when the identity was first seen, `known_for` ago. If somebody set a folder's time instead, the next entry
    /// sets it to the clock's, which differs.
    pub(crate) fn is_within_a_tick(&self, slowest: Duration, now: SystemTime, known_for: Duration) -> bool {
        [self.modified, self.changed].iter().any(|at| {
            let tick = if since_epoch(*at).1 == 0 { slowest } else { FAST_TICK };
            known_for < tick && is_younger(*at, tick, now)
        })
    }

    /// Returns `true` if the file changed less than `age` before `now`, or after it.
    pub(crate) fn is_younger_than(&self, age: Duration, now: SystemTime) -> bool {
        [self.modified, self.changed].iter().any(|at| is_younger(*at, age, now))
    }
}

/// Returns a time as whole seconds since the Unix epoch, and nanoseconds that count forward, also before the epoch.
pub fn since_epoch(time: SystemTime) -> (i64, u32) {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => (after.as_secs() as i64, after.subsec_nanos()),
        Err(before) => {
            let (seconds, nanoseconds) = (before.duration().as_secs() as i64, before.duration().subsec_nanos());
            if nanoseconds == 0 { (-seconds, 0) } else { (-seconds - 1, 1_000_000_000 - nanoseconds) }
        }
    }
}

fn is_younger(at: SystemTime, age: Duration, now: SystemTime) -> bool {
    // `duration_since` fails for a time in the future, which is young too.
    !now.duration_since(at).is_ok_and(|passed| passed >= age)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(seconds: u64, nanoseconds: u32) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds)
    }

    #[test]
    fn a_tick_is_short_where_a_time_has_a_fraction_and_the_slowest_where_it_has_none() {
        let slowest = Duration::from_secs(2);
        let known_within = |modified, changed, now, known_for| {
            Identity { dev: 0, ino: 0, size: 0, modified, changed }.is_within_a_tick(slowest, now, known_for)
        };
        let within = |modified, changed, now| known_within(modified, changed, now, Duration::ZERO);
        // Windows counts in steps of 100 ns.
        let (whole, fine) = (time(10, 0), time(10, 100));
        assert!(within(fine, fine, time(10, 50_000_000)) && !within(fine, fine, time(10, 100_000_200)));
        assert!(within(whole, fine, time(11, 0)) && !within(whole, fine, time(12, 0)));
        assert!(within(fine, fine, time(9, 0)), "a time in the future proves nothing");
        assert!(!known_within(fine, fine, time(9, 0), FAST_TICK), "but it passes");
        assert!(known_within(whole, fine, time(9, 0), FAST_TICK) && !known_within(whole, fine, time(9, 0), slowest));
    }
}
