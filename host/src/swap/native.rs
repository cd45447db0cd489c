//! The host's own network of a generation, which computes the parts of batches where that is faster.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tracing::warn;

use crate::sandbox::instance::{Instance, InstanceError};
use crate::sandbox::native::NativeNetwork;
use crate::swap::makers::Makers;
use crate::swap::pool::Pool;

/// The network of a generation, which the first batch asks for. Nobody else pays for it.
#[derive(Default)]
pub(crate) struct Native(Arc<State>);

#[derive(Default)]
struct State {
    /// Holds `None` if instances have to compute.
    network: OnceLock<Option<Arc<NativeNetwork>>>,
    is_asked_for: AtomicBool,
}

impl Native {
    /// Returns the network if there is one. The first call lets it be made from an idle instance of `pool`, beside the requests.
    pub(crate) fn get(&self, pool: &Arc<Pool>, makers: &Makers) -> Option<Arc<NativeNetwork>> {
        let Native(state) = self;
        if let Some(network) = state.network.get() {
            return network.clone();
        }
        if !state.is_asked_for.swap(true, Ordering::Relaxed) {
            // The job keeps no generation alive while it waits for its thread.
            let (job, pool) = (state.clone(), Arc::downgrade(pool));
            let sent = makers.send(move || {
                if let Some(pool) = pool.upgrade() {
                    job.make(&pool);
                }
            });
            if sent.is_err() {
                state.is_asked_for.store(false, Ordering::Relaxed);
            }
        }
        None
    }

    /// Returns the network if there is one, and makes it from `instance` on this thread if it is not made yet.
    pub(crate) fn make(&self, instance: &mut Instance) -> Result<Option<Arc<NativeNetwork>>, InstanceError> {
        let Native(state) = self;
        if let Some(network) = state.network.get() {
            return Ok(network.clone());
        }
        match instance.native_network() {
            Ok(made) => Ok(state.network.get_or_init(|| made.map(Arc::new)).clone()),
            Err(error) => {
                // This instance is lost. The next call does without a network.
                let _ = state.network.set(None);
                Err(error)
            }
        }
    }
}

impl State {
    fn make(&self, pool: &Arc<Pool>) {
        let Some(mut lease) = pool.lease_idle() else {
            // The next batch asks again.
            self.is_asked_for.store(false, Ordering::Relaxed);
            return;
        };
        let network = match lease.instance.native_network() {
            Ok(network) => {
                lease.give_back();
                network
            }
            Err(error) => {
                warn!("batches are computed by instances alone: {error}");
                None
            }
        };
        // A call that may block may have been quicker.
        let _ = self.network.set(network.map(Arc::new));
    }
}
