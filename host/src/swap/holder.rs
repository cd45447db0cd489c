//! Keeps the generation in service up to date: each request asks it what answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sac_owner::{Candidate, Refused, Source};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout_at;
use tracing::Span;

use crate::swap::history::History;
use crate::swap::look::Look;
use crate::swap::own::Own;
use crate::swap::publisher::{Publisher, Question, Reloaded};
use crate::swap::shared::Shared;
use crate::swap::snapshot::Snapshot;
use crate::work::crew::Crew;
use crate::work::lookout::Lookout;
use crate::work::repeated::Repeated;

/// Holds the generation in service, and keeps it up to date with the files.
pub(crate) struct Holder {
    pub(super) publisher: Arc<Publisher>,
    /// Compares the files with those in service.
    looks: Lookout<Look>,
    /// Loads what is new.
    reloads: Repeated<Question, Reloaded>,
    reload_wait: Duration,
    /// The permit to try a candidate out.
    pub(super) trial: Arc<Semaphore>,
}

impl Holder {
    /// Makes a holder without a checkpoint. The first call of [`Holder::current`] loads a checkpoint.
    pub(crate) fn new(shared: &Arc<Shared>, own: Own) -> Self {
        let loaders = shared.shadow_loaders.as_ref().filter(|_| own.is_shadow).unwrap_or(&shared.loaders).clone();
        let publisher = Arc::new(Publisher::new(shared.clone(), own));
        let looking = publisher.clone();
        let looks = Lookout::by(&shared.lookers, move || looking.look());
        let reloading = publisher.clone();
        let reloads = Repeated::on(loaders, move |asked: Vec<Question>| reloading.reload(&asked));
        Holder { publisher, looks, reloads, reload_wait: shared.reload_wait, trial: Arc::new(Semaphore::new(1)) }
    }

    /// Makes an instance for requests that come before there is a checkpoint. Blocks.
    pub(crate) fn start(&self) -> anyhow::Result<()> {
        self.publisher.start()
    }

    /// Returns `true` while a reload is under way.
    pub(crate) fn is_loading(&self) -> bool {
        self.publisher.reloading_since().is_some()
    }

    /// Returns `true` if there is a policy in service.
    pub(crate) fn has_policy(&self) -> bool {
        self.publisher.has_policy()
    }

    pub(crate) fn source(&self) -> &Source {
        self.publisher.source()
    }

    pub(crate) fn history(&self) -> &History {
        self.publisher.history()
    }

    /// Returns the threads that ask storage.
    pub(crate) fn storage(&self) -> &Crew {
        self.publisher.shared().storage()
    }

    /// Returns the refusal of a candidate that is known to be refused.
    pub(crate) fn refusal(&self, candidate: &Candidate) -> Option<Arc<Refused>> {
        self.publisher.refusal(candidate)
    }

    /// Returns `true` if clients may choose the checkpoint that serves.
    pub(crate) fn allows_rollback(&self) -> bool {
        self.publisher.shared().allows_rollback()
    }

    /// Returns the time since the files were seen.
    pub(crate) fn unseen_for(&self) -> Duration {
        self.publisher.unseen_for()
    }

    /// Returns the generation for a request that arrives now, and reloads first if the files changed. With a policy in
    /// service, waits for the files and for the reload at most `reload_wait`, and not at all for a reload that takes longer.
    pub(crate) async fn current(&self) -> Snapshot {
        if self.publisher.has_policy() {
            return self.current_soon().await;
        }
        let Look { snapshot, changed, .. } = self.looks.look_patiently().await;
        if !changed {
            return snapshot;
        }
        self.ask(false).await.map_or_else(|_| self.publisher.latest(), |reloaded| reloaded.snapshot)
    }

    /// Returns as [`Holder::current`] does, but within `reload_wait` even if there is no policy in service.
    pub(crate) async fn current_soon(&self) -> Snapshot {
        let arrival = Instant::now();
        let Some(Look { snapshot, changed, is_quick }) = self.looks.look(self.reload_wait).await else {
            return self.publisher.unseen();
        };
        if !changed {
            return snapshot;
        }
        let began = self.publisher.reloading_since().map_or(arrival, |since| since.min(arrival));
        let reload = self.ask(false);
        if !is_quick {
            return self.publisher.latest();
        }
        // The deadline ends the wait. The reload goes on.
        match timeout_at((began + self.reload_wait).into(), reload).await {
            Ok(Ok(reloaded)) => reloaded.snapshot,
            _ => self.publisher.latest(),
        }
    }

    /// Loads the newest candidate, changed or not. All who ask before the reload begins share it.
    pub(crate) async fn force_reload(&self) -> Reloaded {
        self.ask(true).await.unwrap_or_else(|_| {
            let outcome = Err("the reload ended by a fault of this program, which the log describes".to_owned());
            Reloaded { outcome, snapshot: self.publisher.latest() }
        })
    }

    fn ask(&self, forced: bool) -> oneshot::Receiver<Reloaded> {
        self.reloads.ask(Question { forced, span: Span::current() })
    }

    /// Returns what is in service, without a look at the files.
    pub(crate) fn latest(&self) -> Snapshot {
        self.publisher.latest()
    }
}
