//! The processor time that a call into the component may take.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::UpdateDeadline;

use crate::sandbox::engine::ticks;

/// Limits the processor time of a call. A limit of wall-clock time would stop calls on a machine that is busy or was
/// suspended. The time counts from the first tick of the engine's epoch, so a call that ends before the tick, as nearly all
/// do, reads no clock.
pub(crate) struct CpuBudget {
    limit: Duration,
    /// The thread's processor time at the first tick.
    began: Option<Duration>,
}

impl CpuBudget {
    pub(crate) fn new(limit: Duration) -> Self {
        CpuBudget { limit, began: None }
    }

    /// Decides at a tick how many more ticks the call may run, or interrupts it.
    pub(crate) fn renew(&mut self) -> UpdateDeadline {
        let now = thread_time();
        let used = now.saturating_sub(*self.began.get_or_insert(now));
        match self.limit.checked_sub(used) {
            Some(left) if !left.is_zero() => UpdateDeadline::Continue(ticks(left)),
            _ => UpdateDeadline::Interrupt,
        }
    }
}

/// The processor time of this thread. A call stays on one thread.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
