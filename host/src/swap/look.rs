//! Compares the files with those in service, for each request.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use sac_owner::Absence;

use crate::swap::publisher::Publisher;
use crate::swap::snapshot::Snapshot;

/// The result of comparing the files with those in service.
#[derive(Clone)]
pub(crate) struct Look {
    pub(crate) snapshot: Snapshot,
    /// True if the files call for a reload.
    pub(crate) changed: bool,
    /// True if the reload is not known to take long.
    pub(crate) is_quick: bool,
}

impl Publisher {
    /// Compares the files with those in service. Blocks.
    pub(crate) fn look(&self) -> Look {
        let at = self.started.elapsed();
        let published = self.published.load_full();
        let judgement = published.freshness.judge(self.source());
        let refusal = judgement.refusal.cloned();
        self.seen.store(at.as_nanos() as u64, Ordering::Relaxed);
        let known = self.refusal.load().as_ref().map(Arc::as_ptr);
        if known != refusal.as_ref().map(Arc::as_ptr) {
            self.refusal.store(refusal.clone());
        }
        let generation = published.generation.clone();
        self.passed_over.log(self.source().passed_over());
        let absence = self.absence(generation.loaded.is_some());
        let (changed, is_quick) = (judgement.changed, judgement.is_quick);
        Look { snapshot: Snapshot { generation, refusal, absence }, changed, is_quick }
    }

    /// Returns what is in service, with the refusal that was seen last.
    pub(crate) fn latest(&self) -> Snapshot {
        let generation = self.published.load().generation.clone();
        Snapshot { generation, refusal: self.refusal.load_full(), absence: None }
    }

    /// Returns what is in service, for a request that could not see the files.
    pub(crate) fn unseen(&self) -> Snapshot {
        self.latest().unseen(SystemTime::now() - self.unseen_for())
    }

    /// Returns the time since the files were seen.
    pub(crate) fn unseen_for(&self) -> Duration {
        self.started.elapsed().saturating_sub(Duration::from_nanos(self.seen.load(Ordering::Relaxed)))
    }

    /// Returns the reason why there is no candidate, and logs it. Neither a policy without a shadow needs one, nor a shadow that
    /// was promoted.
    fn absence(&self, has_policy: bool) -> Option<Arc<str>> {
        let source = self.source();
        let is_needed = |absence: &Absence| !self.own.is_shadow || !(has_policy || absence.is_unused());
        let absence = source.absence().filter(is_needed);
        self.absences.log(source.path(), absence.as_ref(), has_policy);
        Some(absence?.detail(has_policy).into())
    }
}
