//! Says which policies there are, and if the server is ready, to requests that may come from anyone.

use std::sync::Arc;

use sac_owner::settings::ModelName;
use tokio::time::timeout;

use crate::policies::registry::Registry;

impl Registry {
    /// Returns the names of the policies that have candidates, unless the root cannot be read or does not answer in time.
    pub(crate) async fn names(&self) -> Option<Arc<[ModelName]>> {
        self.names.look(self.shared.reload_wait()).await.flatten()
    }

    /// Returns `true` if a policy can answer, or if all can where a refusal is a failure. A policy that is not loaded can, since the
    /// first request loads it. So a broken file of one policy does not let a load balancer take the server from all others.
    pub(crate) async fn is_ready(&self) -> bool {
        let Some(names) = self.names().await else { return false };
        let known = |name: &ModelName| self.read().policies.get(name.as_str()).cloned();
        let asked = timeout(self.shared.reload_wait(), async {
            for name in names.iter() {
                let can_answer = match known(name) {
                    Some(policy) => policy.can_answer(self.fails_on_refusal).await,
                    None => true,
                };
                if can_answer != self.fails_on_refusal {
                    return can_answer;
                }
            }
            self.fails_on_refusal && !names.is_empty()
        });
        asked.await.unwrap_or(false)
    }
}
