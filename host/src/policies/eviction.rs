//! Evicts policies: those that nobody asks for, and those that others need the place or the memory of.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing::info;

use crate::policies::policy::Policy;
use crate::policies::registry::Registry;
use crate::work::watchdog::Watched;

/// The longest time between two searches for policies that nobody uses.
const LONGEST_SWEEP: Duration = Duration::from_secs(10);

impl Registry {
    /// Evicts policies while instances use memory that is kept for loading. Blocks.
    pub(super) fn relieve(&self) {
        while self.shared.factory().is_short_of_memory() && self.evict_one("memory is short") {
            self.shared.makers().end_retired();
        }
    }

    /// Evicts policies while more are loaded than may be.
    pub(super) fn shrink(&self) {
        while self.read().policies.len() > self.settings.max_policies {
            if !self.evict_one("others were asked for later") {
                return;
            }
        }
    }

    /// Evicts the policy that was asked for least recently, and that no request uses. Returns `false` if there is none.
    fn evict_one(&self, reason: &str) -> bool {
        let mut state = self.write();
        let unused = state.policies.values().filter(|policy| is_unused(policy));
        let Some(name) = unused.min_by_key(|policy| policy.used()).map(|policy| policy.name().clone()) else {
            return false;
        };
        let evicted = state.evict(name.as_str());
        drop(state);
        info!(policy = %name, "evicted: {reason}");
        drop(evicted);
        true
    }
}

/// Evicts the policies that nobody asked for in a long time.
impl Watched for Registry {
    fn check(&self) {
        let now = self.started.elapsed();
        if now.as_nanos() < u128::from(self.next_sweep.load(Ordering::Relaxed)) {
            return;
        }
        let idle_time = self.settings.idle_time;
        let next = now + (idle_time / 8).min(LONGEST_SWEEP);
        self.next_sweep.store(next.as_nanos() as u64, Ordering::Relaxed);
        let mut state = self.write();
        let is_idle = |policy: &Arc<Policy>| is_unused(policy) && now.saturating_sub(policy.used()) > idle_time;
        let idle = state.policies.values().filter(|policy| is_idle(policy));
        let idle = idle.map(|policy| policy.name().clone()).collect::<Vec<_>>();
        let evicted = idle.iter().filter_map(|name| state.evict(name.as_str())).collect::<Vec<_>>();
        drop(state);
        for policy in evicted {
            info!(policy = %policy.name(), "evicted: nobody asked for it in a long time");
            // This thread must not wait. Without another, the policy is dropped here.
            let _ = self.shared.makers().send(move || drop(policy));
        }
    }
}

/// Returns `true` if no request uses a policy. The caller holds the lock, so none can begin to.
fn is_unused(policy: &Arc<Policy>) -> bool {
    Arc::strong_count(policy) == 1
}
