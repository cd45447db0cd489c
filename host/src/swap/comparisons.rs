//! Remembers whether the kernel and tract agree on the checkpoints that were compared last.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sac_owner::Content;

use crate::sandbox::bindings::Backend;

/// The results for the checkpoints that were compared last. A checkpoint is often loaded again as it is.
pub(crate) struct Comparisons {
    /// The newest first. Written by the thread that compares, and read by those that reload.
    last: Mutex<VecDeque<Comparison>>,
    most: usize,
}

struct Comparison {
    digests: Vec<String>,
    agree: bool,
}

impl Comparisons {
    /// Remembers at most so many results.
    pub(crate) fn new(most: usize) -> Self {
        Comparisons { last: Mutex::default(), most }
    }

    pub(crate) fn add(&self, content: &Content, agree: bool) {
        let mut last = self.lock();
        last.truncate(self.most - 1);
        last.push_front(Comparison { digests: content.digests(), agree });
    }

    /// Returns `true` if the backends agree on this content, and `None` if that is not known.
    pub(crate) fn agree(&self, content: &Content) -> Option<bool> {
        let digests = content.digests();
        self.lock().iter().find(|known| known.digests == digests).map(|known| known.agree)
    }

    /// Returns the backend that has to serve this content, or `None` if the component may choose.
    pub(crate) fn backend(&self, content: &Content) -> Option<Backend> {
        (self.agree(content) == Some(false)).then_some(Backend::Tract)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Comparison>> {
        // A panic cannot interrupt a push.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
