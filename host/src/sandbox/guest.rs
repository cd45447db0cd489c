//! The host's state of one instance: what it uses, what it may use, and what it wrote to stderr.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, UpdateDeadline};
use wasmtime_wasi::random::WasiRandomCtx;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::config::SandboxLimits;
use crate::observe::metrics::Metrics;
use crate::sandbox::cpu_budget::CpuBudget;

/// The data of an instance's store.
pub(crate) struct Guest {
    wasi: WasiCtx,
    resources: ResourceTable,
    quota: Quota,
    cpu_budget: CpuBudget,
    stderr: Vec<u8>,
    /// The zero of the instance's monotonic clock.
    start: Instant,
}

impl Guest {
    /// The limit of what is kept of stderr.
    pub(crate) const MAX_STDERR_BYTES: usize = 4096;

    pub(crate) fn new(limits: &SandboxLimits, metrics: Arc<Metrics>) -> Self {
        metrics.instances.inc();
        Guest {
            wasi: WasiCtxBuilder::new().build(),
            resources: ResourceTable::new(),
            quota: Quota { memory_bytes: 0, denied: false, limits: limits.clone(), metrics },
            cpu_budget: CpuBudget::new(limits.call_time),
            stderr: Vec::new(),
            start: Instant::now(),
        }
    }

    /// Resets everything that belongs to a single call.
    pub(crate) fn begin_call(&mut self, limit: Duration) {
        self.cpu_budget = CpuBudget::new(limit);
        self.quota.denied = false;
        self.stderr.clear();
    }

    pub(crate) fn renew_budget(&mut self) -> UpdateDeadline {
        self.cpu_budget.renew()
    }

    pub(crate) fn limiter(&mut self) -> &mut dyn ResourceLimiter {
        &mut self.quota
    }

    /// Returns the size of the instance's memories, which never shrink.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.quota.memory_bytes
    }

    /// Returns `true` if the present call asked for more memory than the limit.
    pub(crate) fn was_denied_memory(&self) -> bool {
        self.quota.denied
    }

    /// Returns the time since the instance was made.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    pub(crate) fn random(&mut self) -> &mut WasiRandomCtx {
        self.wasi.random()
    }

    /// Removes and returns what the guest wrote to stderr or stdout during the present call.
    pub(crate) fn take_stderr(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.stderr)).trim().to_owned()
    }

    pub(crate) fn write_stderr(&mut self, bytes: &[u8]) {
        let room = Self::MAX_STDERR_BYTES.saturating_sub(self.stderr.len());
        self.stderr.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.resources }
    }
}

/// Counts the memory of an instance against its limits.
struct Quota {
    memory_bytes: usize,
    /// Set if the present call asked for more memory than the limit.
    denied: bool,
    limits: SandboxLimits,
    metrics: Arc<Metrics>,
}

impl Drop for Quota {
    fn drop(&mut self) {
        self.metrics.instances.dec();
        self.metrics.instance_memory.sub(self.memory_bytes as i64);
    }
}

impl ResourceLimiter for Quota {
    /// Counts all memories together. wasmtime's `StoreLimits` counts each memory by itself.
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let grown = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        let allowed = grown <= self.limits.memory_bytes;
        if allowed {
            self.metrics.instance_memory.add((grown - self.memory_bytes) as i64);
            self.memory_bytes = grown;
        }
        self.denied |= !allowed;
        Ok(allowed)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= self.limits.table_elements)
    }

    fn instances(&self) -> usize {
        self.limits.instances
    }

    fn memories(&self) -> usize {
        self.limits.instances
    }

    fn tables(&self) -> usize {
        self.limits.tables
    }
}
