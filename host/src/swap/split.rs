//! Computes the forward pass of a batch in parts: on the thread of the request, and on those that have nothing else to do.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use crate::sandbox::bindings::{BatchParam, BatchResult as Batch, OutputsResult as Outputs};
use crate::sandbox::cpu_budget::CallLimits;
use crate::sandbox::instance::{Instance, InstanceError};
use crate::swap::pool::Pool;
use crate::work::crew::Crew;

/// The rows of a part. Handing it to another thread takes a third of the time that it takes there, for a small network.
const PART_ROWS: usize = 32;

/// The threads that compute parts, beside those that answer.
pub(crate) struct Helpers {
    crew: Crew,
    count: usize,
}

/// A batch in parts. Each is computed by whoever takes it.
struct Parts {
    batch: Batch,
    state_dim: usize,
    /// The next part that nobody has taken.
    next: AtomicUsize,
    /// The outputs of each part, written once by one who computed it. A row has the same bits wherever it is computed.
    outputs: Vec<OnceLock<Outputs>>,
}

impl Helpers {
    pub(crate) fn new(count: usize) -> Self {
        Helpers { crew: Crew::new("sac-batches", count), count }
    }

    /// Computes the outputs of a batch on `instance`, with the help of idle instances of `pool`.
    ///
    /// # Errors
    ///
    /// Fails if `instance` fails. Where a helper fails, this thread computes its part.
    pub(crate) fn compute(
        &self,
        instance: &mut Instance,
        pool: &Arc<Pool>,
        batch: Batch,
        state_dim: usize,
        limits: &CallLimits,
    ) -> Result<Outputs, InstanceError> {
        let parts = Arc::new(Parts::new(batch, state_dim));
        for _ in 0..self.count.min(parts.outputs.len().saturating_sub(1)) {
            // A job takes an instance only when it runs, so it keeps none from others while it waits for a thread.
            let (parts, pool, limits) = (parts.clone(), Arc::downgrade(pool), limits.clone());
            if self.crew.send(move || parts.help(&pool, &limits)).is_err() {
                break;
            }
        }
        let start = Instant::now();
        let mut done = 0;
        while let Some(part) = parts.take() {
            parts.compute(part, instance, limits)?;
            done += 1;
        }
        // A helper that takes longer than this thread would is not waited for.
        let patience = start.elapsed() / done.max(1);
        let end = Instant::now() + patience;
        for part in 0..parts.outputs.len() {
            while parts.outputs[part].get().is_none() && Instant::now() < end {
                spin_loop();
            }
            if parts.outputs[part].get().is_none() {
                parts.compute(part, instance, limits)?;
            }
        }
        Ok(parts.joined())
    }
}

impl Parts {
    fn new(batch: Batch, state_dim: usize) -> Self {
        let count = batch.states.len().div_ceil(PART_ROWS * state_dim.max(1));
        let outputs = (0..count).map(|_| OnceLock::new()).collect();
        Parts { batch, state_dim, next: AtomicUsize::new(0), outputs }
    }

    /// Returns a part that nobody else computes.
    fn take(&self) -> Option<usize> {
        let part = self.next.fetch_add(1, Ordering::Relaxed);
        (part < self.outputs.len()).then_some(part)
    }

    fn compute(&self, part: usize, instance: &mut Instance, limits: &CallLimits) -> Result<(), InstanceError> {
        let states = self.batch.states.chunks(PART_ROWS * self.state_dim.max(1)).nth(part).unwrap_or_default();
        let outputs = instance.forward(BatchParam { states, log_std: self.batch.log_std }, limits.clone())?;
        // Another may have been quicker.
        let _ = self.outputs[part].set(outputs);
        Ok(())
    }

    /// Computes parts on an idle instance, if there is one.
    fn help(&self, pool: &Weak<Pool>, limits: &CallLimits) {
        if self.next.load(Ordering::Relaxed) >= self.outputs.len() {
            return;
        }
        let Some(mut lease) = pool.upgrade().and_then(|pool| pool.lease_idle()) else { return };
        while let Some(part) = self.take() {
            // The one who answers computes what fails here.
            if self.compute(part, &mut lease.instance, limits).is_err() {
                return;
            }
        }
        lease.give_back();
    }

    fn joined(&self) -> Outputs {
        let outputs = self.outputs.iter().filter_map(OnceLock::get);
        let (mean, log_std): (Vec<_>, Vec<_>) = outputs.map(|part| (&part.mean[..], &part.log_std[..])).unzip();
        Outputs { mean: mean.concat(), log_std: log_std.concat() }
    }
}
