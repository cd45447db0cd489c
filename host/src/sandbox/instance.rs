//! One instance of the component, the calls into it, and the errors that end it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use sac_owner::one_line;
use thiserror::Error;
use tracing::warn;
use wasmtime::component::ResourceAny;
use wasmtime::{Store, Trap};

use crate::observe::metrics::Metrics;
use crate::sandbox::bindings::{
    Actor, Backend, BatchParam, Checkpoint, File, OperatorFacts, Outcome, OutputsParam, OutputsResult as Outputs,
    Policy, Request, RequestContext, Response, RouterConfig,
};
use crate::sandbox::cpu_budget::{CallLimits, CpuBudget};
use crate::sandbox::guest::{Denial, Guest};
use crate::sandbox::native::NativeNetwork;
use crate::sandbox::{MAX_RESULT_BYTES, Sandbox, begin_call};

/// An instance of the component without a service.
pub(crate) struct Blank {
    store: Store<Guest>,
    actor: Actor,
    sandbox: Arc<Sandbox>,
}

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
    #[error("no memory is left: all instances together may take {0} bytes (--max-memory)")]
    MemoryTogether(usize),
    #[error("the system has no memory for the component")]
    SystemMemory,
    /// The call is repeated where it may take longer.
    #[error("the component was stopped: the call takes longer than it may on this thread")]
    Moved,
    /// Nobody sees this error.
    #[error("the component was stopped: nobody waits for the result")]
    Abandoned,
    /// The component breaks the contract.
    #[error("the component does not compute a part of a batch: {0}")]
    Part(String),
    #[error("the component failed: {0:#}")]
    Trap(wasmtime::Error),
}

impl InstanceError {
    /// Returns the error of a call that reached its limits.
    fn interrupted(budget: &CpuBudget) -> Self {
        match &budget.limits {
            _ if budget.is_abandoned() => InstanceError::Abandoned,
            limits if limits.is_movable => InstanceError::Moved,
            limits => InstanceError::Time(limits.time),
        }
    }

    /// The reason as a label of metrics.
    fn label(&self) -> &'static str {
        match self {
            InstanceError::Panic(_) => "panic",
            InstanceError::Time(_) => "time",
            InstanceError::Memory(_) | InstanceError::MemoryTogether(_) | InstanceError::SystemMemory => "memory",
            InstanceError::Moved => "moved",
            InstanceError::Abandoned => "abandoned",
            InstanceError::Part(_) | InstanceError::Trap(_) => "trap",
        }
    }
}

impl InstanceError {
    /// Returns `true` if the machine is at fault at this moment, and not the component or its input.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, InstanceError::MemoryTogether(_) | InstanceError::SystemMemory)
    }
}

impl Blank {
    /// Makes an instance. With `may_use_reserve`, it may use the memory that is kept for loading a checkpoint.
    pub(crate) fn new(sandbox: Arc<Sandbox>, may_use_reserve: bool) -> Result<Self> {
        let (store, actor) = sandbox.instantiate(may_use_reserve)?;
        Ok(Blank { store, actor, sandbox })
    }

    /// Makes the service. `may_use_reserve` is as in [`Blank::new`].
    pub(crate) fn serve(self, config: RouterConfig, may_use_reserve: bool) -> Result<Instance> {
        let Blank { mut store, actor, sandbox } = self;
        begin_call(&mut store, CallLimits { may_use_reserve, ..sandbox.limits.call_time.into() });
        let service = actor.sac_serving_serving().service().call_constructor(&mut store, config)?;
        let loaded_bytes = store.data().memory_bytes();
        Ok(Instance { store, actor, service, sandbox, loaded_bytes })
    }
}

impl Instance {
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.sandbox.metrics
    }

    /// Returns `true` if the instance holds far more memory than its checkpoint needs. Memory never shrinks.
    pub(crate) fn is_outgrown(&self) -> bool {
        let expected = self.loaded_bytes.saturating_mul(2).saturating_add(self.sandbox.limits.slack_bytes);
        self.store.data().memory_bytes() > expected
    }

    /// Loads a checkpoint. The inner error comes from the component: it refuses the checkpoint, and the instance remains
    /// usable. With `may_use_reserve`, the instance may use the memory that is kept for loading a checkpoint.
    pub(crate) fn load(
        &mut self,
        checkpoint: Checkpoint,
        file: File,
        backend: Option<Backend>,
        may_use_reserve: bool,
    ) -> Result<Result<Policy, String>, InstanceError> {
        begin_call(&mut self.store, CallLimits { may_use_reserve, ..self.sandbox.limits.load_time.into() });
        let service = self.actor.sac_serving_serving().service();
        let loaded = service.call_load(&mut self.store, self.service, checkpoint, file, backend);
        self.loaded_bytes = self.store.data().memory_bytes();
        loaded.map_err(|error| self.error(error))
    }

    /// Compares the kernel with tract for a checkpoint. Returns what they differ in. The inner error is as in
    /// [`Instance::load`].
    pub(crate) fn compare(
        &mut self,
        file: File,
        facts: OperatorFacts,
    ) -> Result<Result<Option<String>, String>, InstanceError> {
        begin_call(&mut self.store, self.sandbox.limits.load_time.into());
        let service = self.actor.sac_serving_serving().service();
        let compared = service.call_compare(&mut self.store, file, facts);
        compared.map_err(|error| self.error(error))
    }

    /// Converts a checkpoint to ONNX. The inner error is as in [`Instance::load`].
    pub(crate) fn convert(
        &mut self,
        file: File,
        facts: OperatorFacts,
    ) -> Result<Result<Vec<u8>, String>, InstanceError> {
        begin_call(&mut self.store, self.sandbox.limits.load_time.into());
        // The model is about as large as the checkpoint.
        self.store.set_hostcall_fuel(self.sandbox.limits.memory_bytes);
        let service = self.actor.sac_serving_serving().service();
        let converted = service.call_convert(&mut self.store, file, facts);
        converted.map_err(|error| self.error(error))
    }

    /// Describes what a checkpoint says and lacks, as a card in JSON. The inner error is as in [`Instance::load`].
    pub(crate) fn card(&mut self, file: File, facts: OperatorFacts) -> Result<Result<String, String>, InstanceError> {
        begin_call(&mut self.store, self.sandbox.limits.load_time.into());
        let service = self.actor.sac_serving_serving().service();
        let card = service.call_card(&mut self.store, file, facts);
        card.map_err(|error| self.error(error))
    }

    /// Answers one request.
    pub(crate) fn answer(
        &mut self,
        request: Request,
        context: RequestContext,
        limits: CallLimits,
    ) -> Result<Outcome, InstanceError> {
        begin_call(&mut self.store, limits);
        let (start, path) = (Instant::now(), request.path);
        let service = self.actor.sac_serving_serving().service();
        let answered = service.call_answer(&mut self.store, self.service, request, context);
        if let Ok(Outcome::Respond(Response { status: 200, .. })) = answered {
            self.sandbox.metrics.predicted(path, start.elapsed());
        }
        answered.map_err(|error| self.error(error))
    }

    /// Runs the network on a part of a batch.
    pub(crate) fn forward(&mut self, part: BatchParam, limits: CallLimits) -> Result<Outputs, InstanceError> {
        begin_call(&mut self.store, limits);
        let service = self.actor.sac_serving_serving().service();
        let forward = service.call_forward(&mut self.store, self.service, part);
        forward.map_err(|error| self.error(error))?.map_err(InstanceError::Part)
    }

    /// Returns the network of the policy, for computing parts of batches in the host. `None` if that has no gain, or other bits.
    pub(crate) fn native_network(&mut self) -> Result<Option<NativeNetwork>, InstanceError> {
        let limits = &self.sandbox.limits;
        begin_call(&mut self.store, limits.load_time.into());
        // The lists are as large as the weights.
        self.store.set_hostcall_fuel(limits.memory_bytes);
        let service = self.actor.sac_serving_serving().service();
        let network = service.call_network(&mut self.store, self.service);
        self.store.set_hostcall_fuel(MAX_RESULT_BYTES);
        let network = network.map_err(|error| self.error(error))?;
        let Some(network) = network.and_then(|network| NativeNetwork::pack(network, &self.sandbox.budget)) else {
            return Ok(None);
        };
        let states = network.samples();
        let part = || BatchParam { states: &states, log_std: true };
        let outputs = self.forward(part(), self.sandbox.limits.load_time.into())?;
        let agrees = network.agrees(&part(), &outputs);
        if !agrees {
            warn!("batches are computed by instances alone: the wide vectors of this processor give other bits");
        }
        Ok(agrees.then_some(network))
    }

    /// Answers the request that was answered with `split`, by the outputs of all its rows. Its answer began at `start`.
    pub(crate) fn finish(
        &mut self,
        path: &str,
        start: Instant,
        outputs: &Outputs,
        limits: CallLimits,
    ) -> Result<Outcome, InstanceError> {
        begin_call(&mut self.store, limits);
        let outputs = OutputsParam { mean: &outputs.mean, log_std: &outputs.log_std };
        let service = self.actor.sac_serving_serving().service();
        let finished = service.call_finish(&mut self.store, self.service, outputs);
        if let Ok(Outcome::Respond(Response { status: 200, .. })) = finished {
            self.sandbox.metrics.predicted(path, start.elapsed());
        }
        finished.map_err(|error| self.error(error))
    }

    /// Computes the actions of a decision again. The inner error is the component's reason, in one line.
    pub(crate) fn decide(
        &mut self,
        states: &[f32],
        seed: Option<u64>,
        limits: CallLimits,
    ) -> Result<Result<Vec<f32>, String>, InstanceError> {
        begin_call(&mut self.store, limits);
        let service = self.actor.sac_serving_serving().service();
        let decided = service.call_decide(&mut self.store, self.service, states, seed);
        decided.map_err(|error| self.error(error))
    }

    /// Returns the error of a call that reached its limits while the host computed for the component.
    pub(crate) fn at_limit(&self, budget: &CpuBudget) -> InstanceError {
        let error = InstanceError::interrupted(budget);
        self.sandbox.metrics.instance_lost(error.label());
        error
    }

    fn error(&mut self, error: wasmtime::Error) -> InstanceError {
        let stderr = self.store.data_mut().take_stderr();
        let guest = self.store.data();
        let error = match (error.downcast_ref::<Trap>(), guest.denied_memory()) {
            (Some(Trap::Interrupt), _) => InstanceError::interrupted(guest.cpu_budget()),
            (_, Some(Denial::Instance)) => InstanceError::Memory(self.sandbox.limits.memory_bytes),
            (_, Some(Denial::Together)) => InstanceError::MemoryTogether(self.sandbox.budget.limit()),
            (_, Some(Denial::System)) => InstanceError::SystemMemory,
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
    one_line(message.unwrap_or(first)).into_owned()
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
