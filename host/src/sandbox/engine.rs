//! The wasmtime engine that all sandboxes share, and its epochs.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Resource, getrlimit};
use tracing::warn;
use wasmtime::{Config, Engine};

/// The period of the epochs. Limits of time are rounded up to it, and a call ends within it when nobody waits any more.
const TICK: Duration = Duration::from_millis(10);

/// The smallest guard behind a memory whose accesses are checked.
const GUARD_BYTES: u64 = 64 << 10;

/// Creates the engine, and the thread that advances its epochs while it lives. `memory_bytes` is the limit of an instance.
pub(crate) fn engine(memory_bytes: usize) -> Result<Engine> {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .wasm_relaxed_simd(true)
        // Calls into the component are synchronous and never overlap.
        .concurrency_support(false)
        // The guest's own panic message explains a trap. The frames have no names.
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false)
        .native_unwind_info(false);
    if let Some(limit) = address_limit() {
        // An instance would reserve 4 GiB of addresses, so that its accesses need no checks.
        warn!(
            "the address space has a limit of {limit} bytes (ulimit -v): memory accesses are checked, which is slower"
        );
        config.memory_reservation(memory_bytes as u64).memory_reservation_for_growth(0).memory_guard_size(GUARD_BYTES);
    }
    let engine = Engine::new(&config)?;
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

/// Returns the limit of the process's address space, if there is one.
fn address_limit() -> Option<u64> {
    getrlimit(Resource::As).current
}
