//! The generation in service at one moment, for one request.

use std::sync::Arc;
use std::time::SystemTime;

use sac_owner::Refused;

use crate::swap::call::RequestContext;
use crate::swap::generation::Generation;
use crate::swap::history::utc;

/// The part of the published state that a request needs.
#[derive(Clone)]
pub(crate) struct Snapshot {
    pub(crate) generation: Arc<Generation>,
    /// The newest checkpoint, if it was refused.
    pub(crate) refusal: Option<Arc<Refused>>,
    /// The reason why no checkpoint, or no newer one, can be seen. It is public.
    pub(crate) absence: Option<Arc<str>>,
}

impl Snapshot {
    /// Returns the same policy for a request that could not see the files. They were seen last at `last`.
    pub(crate) fn unseen(self, last: SystemTime) -> Snapshot {
        let absence = format!("the files were last seen at {}: their storage does not answer in time", utc(last));
        Snapshot { absence: Some(absence.into()), ..self }
    }

    /// Returns what the component sees of this.
    pub(crate) fn context(&self, tokens: &Arc<[String]>, reloaded: Option<Result<(), String>>) -> RequestContext {
        let tokens = tokens.clone();
        match &self.refusal {
            // The file is not at fault, so nothing is refused.
            Some(refused) if refused.may_pass && self.generation.loaded.is_none() => {
                let absence = "the newest checkpoint cannot be read or loaded at this moment; it is tried again";
                RequestContext { tokens, refusal: None, absence: Some(absence.into()), reloaded }
            }
            refusal => RequestContext { tokens, refusal: refusal.clone(), absence: self.absence.clone(), reloaded },
        }
    }
}
