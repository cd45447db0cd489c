//! Computes the forward pass of a batch in parts: on the thread of the request, and on those that have nothing else to do.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use crate::sandbox::bindings::{BatchParam, BatchResult as Batch, OutputsResult as Outputs};
use crate::sandbox::cpu_budget::{CallLimits, CpuBudget};
use crate::sandbox::instance::{Instance, InstanceError};
use crate::sandbox::native::NativeNetwork;
use crate::swap::pool::Pool;
use crate::work::crew::Crew;

/// The rows of a part that an instance computes. Handing it to another thread takes a third of the time that it takes there,
/// for a small network.
const PART_ROWS: usize = 32;
/// The rows of a part that the host computes, which takes about as long.
const NATIVE_PART_ROWS: usize = 128;

/// The threads that compute parts, beside those that answer.
pub(crate) struct Helpers {
    crew: Crew,
    count: usize,
}

/// A batch in parts. Each is computed by whoever takes it.
pub(crate) struct Parts {
    batch: Batch,
    /// The length of a part's states.
    length: usize,
    /// Computes the parts if there is one. Otherwise instances do.
    native: Option<Arc<NativeNetwork>>,
    /// The next part that nobody has taken.
    next: AtomicUsize,
    /// The outputs of each part, written once by one who computed it. A row has the same bits wherever it is computed.
    outputs: Vec<OnceLock<Outputs>>,
}

impl Helpers {
    pub(crate) fn new(count: usize) -> Self {
        Helpers { crew: Crew::new("sac-batches", count), count }
    }
}

impl Parts {
    /// Cuts a batch into parts. `state_dim` is the length of a state.
    pub(crate) fn new(batch: Batch, state_dim: usize, native: Option<Arc<NativeNetwork>>) -> Self {
        let rows = if native.is_some() { NATIVE_PART_ROWS } else { PART_ROWS };
        let length = rows * state_dim.max(1);
        let outputs = (0..batch.states.len().div_ceil(length)).map(|_| OnceLock::new()).collect();
        Parts { batch, length, native, next: AtomicUsize::new(0), outputs }
    }

    /// Computes the outputs on this thread, and on those of `helpers`: by `instance` and idle instances of `pool`, or natively.
    ///
    /// # Errors
    ///
    /// Fails if `instance` fails, or at the limits of the call. Where a helper fails, this thread computes its part.
    pub(crate) fn compute_with(
        self: &Arc<Self>,
        helpers: Option<&Helpers>,
        instance: &mut Instance,
        pool: &Arc<Pool>,
        limits: &CallLimits,
    ) -> Result<Outputs, InstanceError> {
        if let Some(Helpers { crew, count }) = helpers {
            for _ in 0..(*count).min(self.outputs.len().saturating_sub(1)) {
                // A job takes an instance only when it runs, so it keeps none from others while it waits for a thread.
                let (parts, pool, limits) = (self.clone(), Arc::downgrade(pool), limits.clone());
                if crew.send(move || parts.help(&pool, &limits)).is_err() {
                    break;
                }
            }
        }
        let outputs = self.compute(instance, limits);
        // Nobody needs the rest after an error.
        self.next.store(self.outputs.len(), Ordering::Relaxed);
        outputs
    }

    /// Computes on this thread all parts that no other computes.
    fn compute(&self, instance: &mut Instance, limits: &CallLimits) -> Result<Outputs, InstanceError> {
        let (start, mut budget) = (Instant::now(), CpuBudget::new(limits.clone()));
        let mut compute = |part: usize| {
            let outputs = match &self.native {
                Some(_) if budget.is_spent() => return Err(instance.at_limit(&budget)),
                Some(native) => native.forward(&self.part(part)),
                None => instance.forward(self.part(part), limits.clone())?,
            };
            self.keep(part, outputs);
            Ok(())
        };
        let mut done = 0;
        while let Some(part) = self.take() {
            compute(part)?;
            done += 1;
        }
        // A helper that takes longer than this thread would is not waited for.
        let patience = start.elapsed() / done.max(1);
        let end = Instant::now() + patience;
        for part in 0..self.outputs.len() {
            while self.outputs[part].get().is_none() && Instant::now() < end {
                spin_loop();
            }
            if self.outputs[part].get().is_none() {
                compute(part)?;
            }
        }
        Ok(self.joined())
    }

    /// Returns a part that nobody else computes.
    fn take(&self) -> Option<usize> {
        let part = self.next.fetch_add(1, Ordering::Relaxed);
        (part < self.outputs.len()).then_some(part)
    }

    fn part(&self, index: usize) -> BatchParam<'_> {
        let states = self.batch.states.chunks(self.length).nth(index).unwrap_or_default();
        BatchParam { states, log_std: self.batch.log_std }
    }

    fn keep(&self, part: usize, outputs: Outputs) {
        // Another may have been quicker.
        let _ = self.outputs[part].set(outputs);
    }

    /// Computes parts natively, or on an idle instance if there is one.
    fn help(&self, pool: &Weak<Pool>, limits: &CallLimits) {
        if self.next.load(Ordering::Relaxed) >= self.outputs.len() {
            return;
        }
        if let Some(native) = &self.native {
            while let Some(part) = self.take() {
                self.keep(part, native.forward(&self.part(part)));
            }
            return;
        }
        let Some(mut lease) = pool.upgrade().and_then(|pool| pool.lease_idle()) else { return };
        while let Some(part) = self.take() {
            // The one who answers computes what fails here.
            let Ok(outputs) = lease.instance.forward(self.part(part), limits.clone()) else { return };
            self.keep(part, outputs);
        }
        lease.give_back();
    }

    fn joined(&self) -> Outputs {
        let outputs = self.outputs.iter().filter_map(OnceLock::get);
        let (mean, log_std): (Vec<_>, Vec<_>) = outputs.map(|part| (&part.mean[..], &part.log_std[..])).unzip();
        Outputs { mean: mean.concat(), log_std: log_std.concat() }
    }
}
