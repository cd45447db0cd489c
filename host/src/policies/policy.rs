//! One policy of a root.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use sac_owner::Root;
use sac_owner::settings::ModelName;

use crate::observe::metrics::PolicyRequests;
use crate::shadows;
use crate::shadows::shadow::Shadow;
use crate::swap::generation::Sizes;
use crate::swap::holder::Holder;
use crate::swap::own::Own;
use crate::swap::shared::Shared;
use crate::swap::snapshot::Snapshot;

/// One policy of a root that requests asked for. A reference to it says that a request uses it.
pub(crate) struct Policy {
    name: ModelName,
    holder: Arc<Holder>,
    /// Its shadow, if policies have any.
    shadow: Option<Arc<Shadow>>,
    requests: PolicyRequests,
    /// The time of the last request, in nanoseconds of the registry's clock.
    used: AtomicU64,
}

impl Policy {
    /// Makes a policy that is not loaded, after `number` generations of the same name.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        root: &Root,
        name: ModelName,
        number: u64,
        requests: PolicyRequests,
    ) -> Self {
        let own = Own {
            source: root.source(&name),
            factory: shared.factory().named(name.clone()),
            sizes: Sizes::one(),
            bounds: Some(root.folder().to_owned()),
            number,
            is_shadow: false,
        };
        let shadow = shadows::of(shared, &own);
        Policy { name, holder: Arc::new(Holder::new(shared, own)), shadow, requests, used: AtomicU64::new(0) }
    }

    pub(crate) fn name(&self) -> &ModelName {
        &self.name
    }

    pub(crate) fn holder(&self) -> &Arc<Holder> {
        &self.holder
    }

    pub(crate) fn shadow(&self) -> Option<&Arc<Shadow>> {
        self.shadow.as_ref()
    }

    /// Returns `true` if requests can be answered, also after a load that they wait for. `fails_on_refusal` is true if none can while
    /// the newest checkpoint is refused. Only then are the files asked: a file that has changed may load.
    pub(crate) async fn can_answer(&self, fails_on_refusal: bool) -> bool {
        let can = |snapshot: &Snapshot| {
            snapshot.refusal.is_none() || (snapshot.generation.loaded.is_some() && !fails_on_refusal)
        };
        can(&self.holder.latest()) || can(&self.holder.current_soon().await)
    }

    /// Returns the number of requests that use this policy. The registry has one reference more.
    pub(crate) fn requests_in_flight(self: &Arc<Self>) -> usize {
        Arc::strong_count(self) - 1
    }

    /// Counts a request that was answered with this status.
    pub(crate) fn count(&self, status: StatusCode) {
        self.requests.count(status);
    }

    /// Records a request at a time of the registry's clock.
    pub(crate) fn touch(&self, now: Duration) {
        self.used.store(now.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Returns the time of the last request.
    pub(crate) fn used(&self) -> Duration {
        Duration::from_nanos(self.used.load(Ordering::Relaxed))
    }
}
