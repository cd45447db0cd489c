use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::UpdateDeadline;

use crate::sandbox::engine::ticks;

/// The processor time that a call into the component may take. Not the wall's, so that a machine that is busy, or was
/// suspended, stops nothing. It is counted from the first tick of the engine's epoch: a call that ends before it, as nearly
/// all do, asks no clock.
pub(crate) struct Allowance {
    limit: Duration,
    /// The thread's processor time at the first tick.
    began: Option<Duration>,
}

impl Allowance {
    pub(crate) fn new(limit: Duration) -> Self {
        Allowance { limit, began: None }
    }

    /// At the next tick: whether the call may go on, and until which.
    pub(crate) fn renew(&mut self) -> UpdateDeadline {
        let now = thread_time();
        let used = now.saturating_sub(*self.began.get_or_insert(now));
        match self.limit.checked_sub(used) {
            Some(left) if !left.is_zero() => UpdateDeadline::Continue(ticks(left)),
            _ => UpdateDeadline::Interrupt,
        }
    }
}

/// Of this thread: a call runs on one from its beginning to its end.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
