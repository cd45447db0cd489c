//! Remembers whether the kernel and tract agree on the checkpoint that was compared last.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sac_owner::Content;

use crate::sandbox::bindings::Backend;

/// The result for the checkpoint that was compared last. A checkpoint is often loaded again as it is.
#[derive(Default)]
pub(crate) struct Comparisons {
    /// Written by the thread that compares, and read by the one that reloads.
    last: Mutex<Option<Comparison>>,
}

struct Comparison {
    content: Arc<Content>,
    agree: bool,
}

impl Comparisons {
    pub(crate) fn add(&self, content: Arc<Content>, agree: bool) {
        *self.lock() = Some(Comparison { content, agree });
    }

    /// Returns `true` if the backends agree on this content, and `None` if that is not known.
    pub(crate) fn agree(&self, content: &Content) -> Option<bool> {
        self.lock().as_ref().filter(|last| last.content.has_same_bytes(content)).map(|last| last.agree)
    }

    /// Returns the backend that has to serve this content, or `None` if the component may choose.
    pub(crate) fn backend(&self, content: &Content) -> Option<Backend> {
        (self.agree(content) == Some(false)).then_some(Backend::Tract)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Comparison>> {
        // A panic cannot interrupt an assignment.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
