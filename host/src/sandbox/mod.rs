//! The wasmtime sandbox that runs the component. It never touches HTTP, and reads no file but its own compiled artefact.

pub(crate) mod artefact;
pub(crate) mod bindings;
mod cpu_budget;
pub(crate) mod engine;
pub(crate) mod factory;
mod guest;
pub(crate) mod instance;
mod linker;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use wasmtime::component::Component;
use wasmtime::{Engine, Store};

use crate::config::SandboxLimits;
use crate::observe::metrics::Metrics;
use crate::sandbox::bindings::{Actor, ActorPre};
use crate::sandbox::guest::Guest;

/// A compiled component, linked to all that it may import.
pub(crate) struct Sandbox {
    engine: Engine,
    component: ActorPre<Guest>,
    limits: SandboxLimits,
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
        Ok(Sandbox { engine, component, limits, metrics })
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Makes a new instance in its own store. It has the processor time of a short call.
    fn instantiate(&self) -> Result<(Store<Guest>, Actor)> {
        let mut store = Store::new(&self.engine, Guest::new(&self.limits, self.metrics.clone()));
        store.limiter(Guest::limiter);
        store.epoch_deadline_callback(|mut store| Ok(store.data_mut().renew_budget()));
        begin_call(&mut store, self.limits.call_time);
        let actor = self.component.instantiate(&mut store)?;
        Ok((store, actor))
    }
}

/// Prepares a store for a call that may take `limit` of processor time.
fn begin_call(store: &mut Store<Guest>, limit: Duration) {
    store.data_mut().begin_call(limit);
    store.set_epoch_deadline(1);
}
