//! The wasmtime sandbox that runs the component. It never touches HTTP, and reads no file but its own compiled artefact.

pub(crate) mod artefact;
mod baseline;
pub(crate) mod bindings;
pub(crate) mod cpu_budget;
pub(crate) mod engine;
pub(crate) mod factory;
mod guest;
pub(crate) mod instance;
mod linker;
mod memory_budget;
pub(crate) mod native;

use std::sync::Arc;

use anyhow::Result;
use wasmtime::component::Component;
use wasmtime::{Engine, Store};

use crate::config::SandboxLimits;
use crate::observe::metrics::Metrics;
use crate::sandbox::bindings::{Actor, ActorPre};
use crate::sandbox::cpu_budget::CallLimits;
use crate::sandbox::guest::{Denial, Guest};
use crate::sandbox::instance::InstanceError;
use crate::sandbox::memory_budget::MemoryBudget;

/// The limit of what the host copies from a component for one call: several times the largest response, and the description
/// of the largest policy.
const MAX_RESULT_BYTES: usize = 64 << 20;

/// A compiled component, linked to all that it may import.
pub(crate) struct Sandbox {
    engine: Engine,
    component: ActorPre<Guest>,
    limits: SandboxLimits,
    budget: Arc<MemoryBudget>,
    metrics: Arc<Metrics>,
}

impl Sandbox {
    pub(crate) fn new(
        engine: Engine,
        component: &Component,
        limits: SandboxLimits,
        metrics: Arc<Metrics>,
    ) -> Result<Self> {
        let linker = linker::linker(&engine, component)?;
        let component = ActorPre::new(linker.instantiate_pre(component)?)?;
        let budget = Arc::new(MemoryBudget::new(limits.total_memory_bytes, limits.memory_bytes));
        Ok(Sandbox { engine, component, limits, budget, metrics })
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Makes a new instance in its own store. It has the processor time of a short call.
    fn instantiate(&self, may_use_reserve: bool) -> Result<(Store<Guest>, Actor)> {
        let guest = Guest::new(&self.limits, self.budget.clone(), self.metrics.clone());
        let mut store = Store::new(&self.engine, guest);
        store.limiter(Guest::limiter);
        store.set_hostcall_fuel(MAX_RESULT_BYTES);
        store.epoch_deadline_callback(|mut store| Ok(store.data_mut().renew_budget()));
        begin_call(&mut store, CallLimits { may_use_reserve, ..self.limits.call_time.into() });
        let actor = self.component.instantiate(&mut store);
        let is_full = store.data().denied_memory() == Some(Denial::Together);
        let full = || InstanceError::MemoryTogether(self.budget.limit()).into();
        let actor = actor.map_err(|error| if is_full { full() } else { anyhow::Error::from(error) })?;
        Ok((store, actor))
    }
}

/// Prepares a store for a call.
fn begin_call(store: &mut Store<Guest>, limits: CallLimits) {
    store.data_mut().begin_call(limits);
    store.set_epoch_deadline(1);
}
