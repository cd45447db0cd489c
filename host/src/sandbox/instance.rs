use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use thiserror::Error;
use wasmtime::component::ResourceAny;
use wasmtime::{Store, Trap};

use crate::sandbox::bindings::{
    Activation, Actor, Backend, Checkpoint, File, Outcome, Policy, Request, RequestContext, Response, RouterConfig,
};
use crate::sandbox::{Guest, Sandbox, allow};

/// One instance of the component, with one service in it. After an error it is of no more use.
pub(crate) struct Instance {
    store: Store<Guest>,
    actor: Actor,
    service: ResourceAny,
    sandbox: Arc<Sandbox>,
    /// What it held when its checkpoint was loaded, or when it was made.
    need_bytes: usize,
}

/// Why an instance had to be thrown away, in one line.
#[derive(Debug, Error)]
pub(crate) enum Broken {
    #[error("the component panicked: {0}")]
    Panicked(String),
    #[error("the component was stopped: it took longer than {} s", .0.as_secs_f32())]
    TookTooLong(Duration),
    /// How a trap for want of memory looks depends on what the component did with the answer.
    #[error("the component was stopped: it takes more than {0} bytes of memory")]
    TookTooMuch(usize),
    #[error("the component failed: {0:#}")]
    Trapped(wasmtime::Error),
}

impl Instance {
    pub(crate) fn new(sandbox: Arc<Sandbox>, config: RouterConfig) -> Result<Self> {
        let (mut store, actor) = sandbox.instantiate()?;
        let service = actor.sac_serving_serving().service().call_constructor(&mut store, config)?;
        let need_bytes = store.data().memory_bytes();
        Ok(Instance { store, actor, service, sandbox, need_bytes })
    }

    /// Whether it holds far more memory than its checkpoint needs, for good.
    pub(crate) fn is_outgrown(&self) -> bool {
        let expected = self.need_bytes.saturating_mul(2).saturating_add(self.sandbox.limits.slack_bytes);
        self.store.data().memory_bytes() > expected
    }

    /// The inner error is the component's own: the checkpoint is refused, and the instance is well.
    pub(crate) fn load(
        &mut self,
        checkpoint: Checkpoint,
        file: File,
        backend: Option<Backend>,
    ) -> Result<Result<Policy, String>, Broken> {
        let limit = self.sandbox.limits.load_time;
        allow(&mut self.store, limit);
        let service = self.actor.sac_serving_serving().service();
        let loaded = service.call_load(&mut self.store, self.service, checkpoint, file, backend);
        self.need_bytes = self.store.data().memory_bytes();
        loaded.map_err(|error| self.broken(error, limit))
    }

    /// The inner error is the component's own, as that of [`Instance::load`].
    pub(crate) fn convert(
        &mut self,
        file: File,
        activation: Option<Activation>,
    ) -> Result<Result<Vec<u8>, String>, Broken> {
        let limit = self.sandbox.limits.load_time;
        allow(&mut self.store, limit);
        let service = self.actor.sac_serving_serving().service();
        let converted = service.call_convert(&mut self.store, file, activation);
        converted.map_err(|error| self.broken(error, limit))
    }

    pub(crate) fn answer(&mut self, request: Request, context: RequestContext) -> Result<Outcome, Broken> {
        let limits = &self.sandbox.limits;
        let limit = if context.may_block { limits.long_call_time } else { limits.call_time };
        allow(&mut self.store, limit);
        let (start, path) = (Instant::now(), request.path);
        let service = self.actor.sac_serving_serving().service();
        let answered = service.call_answer(&mut self.store, self.service, request, context);
        if let Ok(Outcome::Respond(Response { status: 200, .. })) = answered {
            self.sandbox.metrics.predicted(path, start.elapsed());
        }
        answered.map_err(|error| self.broken(error, limit))
    }

    fn broken(&mut self, error: wasmtime::Error, limit: Duration) -> Broken {
        let stderr = self.store.data_mut().take_stderr();
        let broken = match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => Broken::TookTooLong(limit),
            _ if self.store.data().was_denied_memory() => Broken::TookTooMuch(self.sandbox.limits.memory_bytes),
            _ if stderr.is_empty() => Broken::Trapped(error),
            _ => Broken::Panicked(last_words(&stderr)),
        };
        self.sandbox.metrics.lost(&broken);
        broken
    }
}

/// The message of a Rust panic without the place and the advice around it, or else the first line.
fn last_words(stderr: &str) -> String {
    let mut lines = stderr.lines();
    let first = lines.next().unwrap_or_default();
    let message = if first.contains("panicked at") { lines.next() } else { None };
    message.unwrap_or(first).to_owned()
}

#[cfg(test)]
mod tests {
    use super::last_words;

    #[test]
    fn a_panic_is_told_by_its_message() {
        let panic = "thread '<unnamed>' (1) panicked at src/lib.rs:7:9:\nindex out of bounds\nnote: run with …";
        assert_eq!(last_words(panic), "index out of bounds");
        assert_eq!(last_words("memory allocation of 8 bytes failed\n"), "memory allocation of 8 bytes failed");
        assert_eq!(last_words(""), "");
    }
}
