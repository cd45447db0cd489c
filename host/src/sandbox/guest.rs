//! The host's state of one instance: what it uses, what it may use, and what it wrote to stderr.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, UpdateDeadline};
use wasmtime_wasi::random::WasiRandomCtx;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::config::SandboxLimits;
use crate::observe::metrics::Metrics;
use crate::sandbox::cpu_budget::{CallLimits, CpuBudget};
use crate::sandbox::memory_budget::MemoryBudget;

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

    pub(crate) fn new(limits: &SandboxLimits, budget: Arc<MemoryBudget>, metrics: Arc<Metrics>) -> Self {
        metrics.instances.inc();
        Guest {
            wasi: WasiCtxBuilder::new().build(),
            resources: ResourceTable::new(),
            quota: Quota {
                memory_bytes: 0,
                denied: None,
                may_use_reserve: false,
                limits: limits.clone(),
                budget,
                metrics,
            },
            cpu_budget: CpuBudget::new(limits.call_time.into()),
            stderr: Vec::new(),
            start: Instant::now(),
        }
    }

    /// Resets everything that belongs to a single call.
    pub(crate) fn begin_call(&mut self, limits: CallLimits) {
        self.quota.may_use_reserve = limits.may_use_reserve;
        self.cpu_budget = CpuBudget::new(limits);
        self.quota.denied = None;
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

    /// Returns the reason if the present call asked for memory and got none.
    pub(crate) fn denied_memory(&self) -> Option<Denial> {
        self.quota.denied
    }

    /// Returns the limits of the present call, and what it has used.
    pub(crate) fn cpu_budget(&self) -> &CpuBudget {
        &self.cpu_budget
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

/// The reason for which an instance gets no more memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denial {
    /// The instance would exceed its own limit.
    Instance,
    /// All instances together would exceed theirs.
    Together,
    /// The system has no memory.
    System,
}

/// Counts the memory of an instance against its limits.
struct Quota {
    memory_bytes: usize,
    /// Set if the present call asked for memory and got none.
    denied: Option<Denial>,
    may_use_reserve: bool,
    limits: SandboxLimits,
    budget: Arc<MemoryBudget>,
    metrics: Arc<Metrics>,
}

impl Drop for Quota {
    fn drop(&mut self) {
        self.metrics.instances.dec();
        self.metrics.instance_memory.sub(self.memory_bytes as i64);
        self.budget.give_back(self.memory_bytes);
    }
}

impl ResourceLimiter for Quota {
    /// Counts all memories together. wasmtime's `StoreLimits` counts each memory by itself.
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let grown = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        let more = grown - self.memory_bytes;
        if grown > self.limits.memory_bytes {
            self.denied = Some(Denial::Instance);
        } else if !self.budget.take(more, self.may_use_reserve) {
            self.denied = Some(Denial::Together);
        } else {
            self.metrics.instance_memory.add(more as i64);
            self.memory_bytes = grown;
            return Ok(true);
        }
        Ok(false)
    }

    /// The system denies what the limits allow. What was counted stays counted, because the instance is dropped now.
    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.denied = Some(Denial::System);
        Ok(())
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
