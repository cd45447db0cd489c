//! The work that follows a publication: preparing the next instance, making the other ones, and comparing the backends.

use std::sync::{Arc, Weak};
use std::time::Instant;

use sac_owner::{Content, one_line, path_line};
use tracing::warn;

use crate::sandbox::bindings::Backend;
use crate::swap::generation::{Generation, Loaded};
use crate::swap::publisher::{Publisher, lock};

impl Publisher {
    /// Does the work that follows a publication, for which no request should wait. Without a thread, requests make
    /// the instances, and the backends are not compared.
    pub(super) fn complete(self: &Arc<Self>, generation: &Arc<Generation>) {
        // A job holds weak references, so it keeps neither a policy nor a generation alive while it waits for a thread.
        let (shared, publisher, generation) = (self.shared.clone(), Arc::downgrade(self), Arc::downgrade(generation));
        let _ = self.shared.makers().send(move || {
            // The load may have used memory that is kept for the next one.
            shared.makers().relieve();
            shared.factory().prepare();
            let Some(current) = if_current(&publisher, &generation) else { return };
            current.1.fill();
            drop(current);
            let _ = shared.comparers.send(move || {
                if let Some((publisher, generation)) = if_current(&publisher, &generation) {
                    publisher.compare(&generation);
                }
            });
        });
    }

    fn is_current(&self, generation: &Arc<Generation>) -> bool {
        Arc::ptr_eq(&self.published.load().generation, generation)
    }

    /// Compares the kernel with tract, if the kernel serves the generation. If they differ, tract takes over.
    fn compare(self: &Arc<Self>, generation: &Arc<Generation>) {
        let Some(Loaded { content, policy }) = &generation.loaded else { return };
        let path = path_line(&content.path);
        if policy.backend != Backend::Kernel || self.shared.comparisons.agree(content).is_some() {
            return;
        }
        match self.factory().compare(content) {
            Ok(None) => {
                self.metrics().compared("agree");
                self.shared.comparisons.add(content, true);
            }
            Ok(Some(difference)) => {
                self.metrics().compared("differ");
                warn!(%path, "tract takes over from the kernel: {}", one_line(&difference));
                self.shared.comparisons.add(content, false);
                self.replace(generation, content);
            }
            // The layers are the graph for certain, and the kernel is proven without tract.
            Err(error) => {
                self.metrics().compared("failed");
                warn!(%path, "the kernel cannot be compared with tract: {error}");
            }
        }
    }

    /// Publishes the content of a generation once more, unless a newer one is in service.
    fn replace(self: &Arc<Self>, generation: &Arc<Generation>, content: &Arc<Content>) {
        let start = Instant::now();
        let _numbers = lock(&self.numbers);
        let before = self.published.load_full();
        if !self.is_current(generation) {
            return;
        }
        match self.load(content.clone(), generation.number + 1) {
            Ok(generation) => {
                self.publish(generation.clone(), before.freshness.clone());
                self.announce(&generation, start.elapsed());
                drop(before);
                self.complete(&generation);
            }
            Err(failure) => warn!(path = %path_line(&content.path), "tract cannot take over: {}", failure.detail),
        }
    }
}

/// Returns the generation, with its publisher, if it is in service.
fn if_current(publisher: &Weak<Publisher>, generation: &Weak<Generation>) -> Option<(Arc<Publisher>, Arc<Generation>)> {
    let found = publisher.upgrade().zip(generation.upgrade());
    found.filter(|(publisher, generation)| publisher.is_current(generation))
}
