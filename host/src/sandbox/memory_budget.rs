//! The memory that all instances share.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The memory of all instances together, in every generation.
pub(crate) struct MemoryBudget {
    limit: usize,
    /// The part that is kept for loading the next checkpoint. Otherwise the instances in service could take all, and no
    /// checkpoint could replace theirs.
    reserve: usize,
    used: AtomicUsize,
}

impl MemoryBudget {
    pub(crate) fn new(limit: usize, reserve: usize) -> Self {
        MemoryBudget { limit, reserve, used: AtomicUsize::new(0) }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Takes memory. Returns `false` if there is not enough left.
    pub(crate) fn take(&self, bytes: usize, may_use_reserve: bool) -> bool {
        let limit = if may_use_reserve { self.limit } else { self.limit.saturating_sub(self.reserve) };
        let more = |used: usize| used.checked_add(bytes).filter(|used| *used <= limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Returns `true` if a part of the reserve is in use.
    pub(crate) fn is_short(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.limit.saturating_sub(self.reserve)
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_for_loading_and_memory_can_be_taken_again_after_it_is_given_back() {
        let budget = MemoryBudget::new(100, 40);
        assert!(budget.take(60, false) && !budget.take(1, false) && !budget.is_short());
        assert!(budget.take(40, true) && !budget.take(1, true) && budget.is_short());
        budget.give_back(50);
        assert!(!budget.is_short());
        assert!(budget.take(10, false) && !budget.take(1, false) && !budget.take(usize::MAX, true));
    }
}
