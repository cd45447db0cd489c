//! Tries a candidate out before a client's choice makes it the newest: one that does not load would leave the policy stale.

use sac_owner::{Candidate, Failure};
use thiserror::Error;

use crate::swap::holder::Holder;
use crate::swap::publisher::Publisher;
use crate::work::crew::CrewError;

/// The reason why a candidate is not known to load.
#[derive(Debug, Error)]
pub(crate) enum TrialError {
    #[error("another candidate of this policy is tried out")]
    Busy,
    /// The candidate is at fault, or the machine.
    #[error("{}", .0.detail)]
    Failed(Failure),
    #[error(transparent)]
    Thread(#[from] CrewError),
}

impl Holder {
    /// Loads a candidate and drops it, one at a time. Reloads do not wait for it.
    pub(crate) async fn try_out(&self, candidate: Candidate) -> Result<(), TrialError> {
        // The work keeps the permit: it goes on if the client does not wait for it any more.
        let permit = self.trial.clone().try_acquire_owned().map_err(|_| TrialError::Busy)?;
        let publisher = self.publisher.clone();
        let tried = publisher.shared.triers.run({
            let publisher = publisher.clone();
            move |_| {
                let _permit = permit;
                publisher.try_out(&candidate)
            }
        });
        tried.await?.map_err(TrialError::Failed)
    }
}

impl Publisher {
    /// Loads a candidate and drops it, unless it is in service.
    fn try_out(&self, candidate: &Candidate) -> Result<(), Failure> {
        let published = self.published.load();
        if published.freshness.is_serving(candidate) {
            return Ok(());
        }
        let number = published.generation.number + 1;
        drop(published);
        let content = self.source().read(candidate)?;
        self.load(content.into(), number).map(drop)
    }
}
