//! The wasmtime engine that all sandboxes share, and its epochs.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use tracing::warn;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::baseline;
use crate::config::SandboxLimits;
use crate::platform::address_limit;

/// The period of the epochs. Limits of time are rounded up to it, and a call ends within it when nobody waits any more.
const TICK: Duration = Duration::from_millis(10);

/// The smallest guard behind a memory whose accesses are checked.
const GUARD_BYTES: u64 = 64 << 10;

/// The limit of what the engine keeps of an instance beside its memories and tables, such as pointers to its functions.
const MAX_DESCRIPTION_BYTES: usize = 8 << 20;

/// The part of an instance's memory whose pages are cleared when it ends, and kept for the next one. Getting new ones from the
/// system would take a third of the time of a load.
const KEPT_BYTES: usize = 2 << 20;

/// Creates the engine, and the thread that advances its epochs while it lives.
/// `policies` is the number of policies below a root, which have an instance each.
pub(crate) fn engine(limits: &SandboxLimits, workers: usize, policies: usize) -> Result<Engine> {
    let mut config = Config::new();
    baseline::fix(&mut config)?;
    config
        .epoch_interruption(true)
        .wasm_relaxed_simd(true)
        // Calls into the component are synchronous and never overlap.
        .concurrency_support(false)
        // The guest's own panic message explains a trap. The frames have no names.
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false)
        // Windows needs it to deliver traps.
        .native_unwind_info(cfg!(windows));
    if let Some(limit) = address_limit() {
        // An instance would reserve 4 GiB of addresses, so that its accesses need no checks.
        warn!(
            "the address space has a limit of {limit} bytes (ulimit -v): memory accesses are checked, which is slower"
        );
        config
            .memory_reservation(limits.memory_bytes as u64)
            .memory_reservation_for_growth(0)
            .memory_guard_size(GUARD_BYTES);
    } else {
        config.allocation_strategy(pool(limits, workers, policies));
    }
    let engine = Engine::new(&config).or_else(|error| {
        // A system with few addresses has no room for all instances at once.
        warn!("the addresses of instances are not reserved, so swaps take longer: {error:#}");
        Engine::new(config.allocation_strategy(InstanceAllocationStrategy::OnDemand))
    })?;
    let weak = engine.weak();
    thread::Builder::new()
        .name("sac-epochs".to_owned())
        .spawn(move || {
            while let Some(engine) = weak.upgrade() {
                engine.increment_epoch();
                drop(engine);
                thread::sleep(TICK);
            }
        })
        .context("the thread for epochs does not start")?;
    Ok(engine)
}

/// Reserves the addresses of all instances at once, so that making and ending one changes few mappings.
fn pool(limits: &SandboxLimits, workers: usize, policies: usize) -> PoolingAllocationConfig {
    let others = bounded(most_instances(workers));
    // While a policy takes the place of another, the earlier one may not have ended yet.
    let instances = others.saturating_add(bounded(policies.saturating_mul(2)));
    let (modules, tables) = (bounded(limits.instances), bounded(limits.tables));
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(modules))
        .total_memories(instances)
        .total_tables(instances.saturating_mul(2))
        .max_core_instances_per_component(modules)
        .max_memories_per_component(modules)
        .max_tables_per_component(tables)
        .max_core_instance_size(MAX_DESCRIPTION_BYTES)
        .max_component_instance_size(MAX_DESCRIPTION_BYTES)
        .table_elements(limits.table_elements)
        .max_memory_size(limits.memory_bytes)
        .linear_memory_keep_resident(KEPT_BYTES)
        // However many policies there are, no more of this memory is kept.
        .max_unused_warm_slots(others)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// Returns the most instances that are alive at once: for each worker one for short calls and one for long ones, in the
/// generation in service and in those before it; and a few for benchmarks, for loading, and to compare. Some have not ended yet.
fn most_instances(workers: usize) -> usize {
    4 * workers.max(1) + 16
}

fn bounded(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_addresses_for_all_instances_at_once_the_engine_starts() {
        assert!(engine(&SandboxLimits::default(), 100_000, 0).is_ok());
    }
}
