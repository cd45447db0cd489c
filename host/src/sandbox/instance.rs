//! One instance of the component, the calls into it, and the errors that end it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use thiserror::Error;
use wasmtime::component::ResourceAny;
use wasmtime::{Store, Trap};

use crate::sandbox::bindings::{
    Actor, Backend, Checkpoint, File, OperatorFacts, Outcome, Policy, Request, RequestContext, Response, RouterConfig,
};
use crate::sandbox::guest::Guest;
use crate::sandbox::{Sandbox, begin_call};

/// One instance of the component, which holds one service. After an [`InstanceError`] it must be dropped.
pub(crate) struct Instance {
    store: Store<Guest>,
    actor: Actor,
    service: ResourceAny,
    sandbox: Arc<Sandbox>,
    /// The memory in use after the checkpoint was loaded, or after the instance was made.
    loaded_bytes: usize,
}

/// The error after which an instance must be dropped. Its text is one line.
#[derive(Debug, Error)]
pub(crate) enum InstanceError {
    #[error("the component panicked: {0}")]
    Panic(String),
    #[error("the component was stopped: it took longer than {} s", .0.as_secs_f32())]
    Time(Duration),
    /// The trap itself depends on what the component did when memory was denied.
    #[error("the component was stopped: it takes more than {0} bytes of memory")]
    Memory(usize),
    #[error("the component failed: {0:#}")]
    Trap(wasmtime::Error),
}

impl InstanceError {
    /// The reason as a label of metrics.
    fn label(&self) -> &'static str {
        match self {
            InstanceError::Panic(_) => "panic",
            InstanceError::Time(_) => "time",
            InstanceError::Memory(_) => "memory",
            InstanceError::Trap(_) => "trap",
        }
    }
}

impl Instance {
    pub(crate) fn new(sandbox: Arc<Sandbox>, config: RouterConfig) -> Result<Self> {
        let (mut store, actor) = sandbox.instantiate()?;
        let service = actor.sac_serving_serving().service().call_constructor(&mut store, config)?;
        let loaded_bytes = store.data().memory_bytes();
        Ok(Instance { store, actor, service, sandbox, loaded_bytes })
    }

    /// Returns `true` if the instance holds far more memory than its checkpoint needs. Memory never shrinks.
    pub(crate) fn is_outgrown(&self) -> bool {
        let expected = self.loaded_bytes.saturating_mul(2).saturating_add(self.sandbox.limits.slack_bytes);
        self.store.data().memory_bytes() > expected
    }

    /// Loads a checkpoint. The inner error comes from the component: it refuses the checkpoint, and the instance remains
    /// usable.
    pub(crate) fn load(
        &mut self,
        checkpoint: Checkpoint,
        file: File,
        backend: Option<Backend>,
    ) -> Result<Result<Policy, String>, InstanceError> {
        let limit = self.sandbox.limits.load_time;
        begin_call(&mut self.store, limit);
        let service = self.actor.sac_serving_serving().service();
        let loaded = service.call_load(&mut self.store, self.service, checkpoint, file, backend);
        self.loaded_bytes = self.store.data().memory_bytes();
        loaded.map_err(|error| self.error(error, limit))
    }

    /// Converts a checkpoint to ONNX. The inner error is as in [`Instance::load`].
    pub(crate) fn convert(
        &mut self,
        file: File,
        facts: OperatorFacts,
    ) -> Result<Result<Vec<u8>, String>, InstanceError> {
        let limit = self.sandbox.limits.load_time;
        begin_call(&mut self.store, limit);
        let service = self.actor.sac_serving_serving().service();
        let converted = service.call_convert(&mut self.store, file, facts);
        converted.map_err(|error| self.error(error, limit))
    }

    /// Describes what a checkpoint says and lacks, as a card in JSON. The inner error is as in [`Instance::load`].
    pub(crate) fn card(&mut self, file: File, facts: OperatorFacts) -> Result<Result<String, String>, InstanceError> {
        let limit = self.sandbox.limits.load_time;
        begin_call(&mut self.store, limit);
        let service = self.actor.sac_serving_serving().service();
        let card = service.call_card(&mut self.store, file, facts);
        card.map_err(|error| self.error(error, limit))
    }

    /// Answers one request.
    pub(crate) fn answer(&mut self, request: Request, context: RequestContext) -> Result<Outcome, InstanceError> {
        let limits = &self.sandbox.limits;
        let limit = if context.may_block { limits.long_call_time } else { limits.call_time };
        begin_call(&mut self.store, limit);
        let (start, path) = (Instant::now(), request.path);
        let service = self.actor.sac_serving_serving().service();
        let answered = service.call_answer(&mut self.store, self.service, request, context);
        if let Ok(Outcome::Respond(Response { status: 200, .. })) = answered {
            self.sandbox.metrics.predicted(path, start.elapsed());
        }
        answered.map_err(|error| self.error(error, limit))
    }

    fn error(&mut self, error: wasmtime::Error, limit: Duration) -> InstanceError {
        let stderr = self.store.data_mut().take_stderr();
        let error = match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => InstanceError::Time(limit),
            _ if self.store.data().was_denied_memory() => InstanceError::Memory(self.sandbox.limits.memory_bytes),
            _ if stderr.is_empty() => InstanceError::Trap(error),
            _ => InstanceError::Panic(panic_message(&stderr)),
        };
        self.sandbox.metrics.instance_lost(error.label());
        error
    }
}

/// Returns the message of a Rust panic without its location and the note on backtraces, or else the first line.
fn panic_message(stderr: &str) -> String {
    let mut lines = stderr.lines();
    let first = lines.next().unwrap_or_default();
    let message = if first.contains("panicked at") { lines.next() } else { None };
    message.unwrap_or(first).to_owned()
}

#[cfg(test)]
mod tests {
    use super::panic_message;

    #[test]
    fn a_panic_is_reported_by_its_message() {
        let panic = "thread '<unnamed>' (1) panicked at src/lib.rs:7:9:\nindex out of bounds\nnote: run with …";
        assert_eq!(panic_message(panic), "index out of bounds");
        assert_eq!(panic_message("memory allocation of 8 bytes failed\n"), "memory allocation of 8 bytes failed");
        assert_eq!(panic_message(""), "");
    }
}
