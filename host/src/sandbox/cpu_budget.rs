//! The limits of a call into the component. A call ends when it exceeds its processor time, or when nobody waits for it.

use std::time::Duration;

use wasmtime::UpdateDeadline;

use crate::platform::thread_time;
use crate::work::crew::Interest;

/// The limits of a call.
#[derive(Clone)]
pub(crate) struct CallLimits {
    /// The limit of processor time.
    pub(crate) time: Duration,
    /// Shows if anybody waits for the result. `None` if somebody always does.
    pub(crate) interest: Option<Interest>,
    /// True if a call that takes longer is moved to where it may.
    pub(crate) is_movable: bool,
    /// True if the call may use the memory that is kept for loading a checkpoint.
    pub(crate) may_use_reserve: bool,
}

impl From<Duration> for CallLimits {
    fn from(time: Duration) -> Self {
        CallLimits { time, interest: None, is_movable: false, may_use_reserve: false }
    }
}

/// Limits the processor time of a call. A limit of wall-clock time would stop calls on a machine that is busy or was
/// suspended. The time counts from the first tick of the engine's epoch, so a call that ends before the tick, as nearly all
/// do, reads no clock.
pub(crate) struct CpuBudget {
    pub(crate) limits: CallLimits,
    /// The thread's processor time at the first tick.
    began: Option<Duration>,
}

impl CpuBudget {
    pub(crate) fn new(limits: CallLimits) -> Self {
        CpuBudget { limits, began: None }
    }

    /// Decides at a tick if the call may run until the next one, or interrupts it.
    pub(crate) fn renew(&mut self) -> UpdateDeadline {
        if self.is_spent() { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(1) }
    }

    /// Returns `true` if the call has to end. The time counts from the first call of this.
    pub(crate) fn is_spent(&mut self) -> bool {
        // A call stays on one thread.
        let now = thread_time();
        let used = now.saturating_sub(*self.began.get_or_insert(now));
        used >= self.limits.time || self.is_abandoned()
    }

    /// Returns `true` if nobody waits for the result of the call any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.limits.interest.as_ref().is_some_and(Interest::is_lost)
    }
}
