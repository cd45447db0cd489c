//! The wasmtime engine that all sandboxes share, and its epochs.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use wasmtime::{Config, Engine};

/// The period of the epochs. Limits of time are rounded up to it, and a call ends within it when nobody waits any more.
const TICK: Duration = Duration::from_millis(10);

/// Creates the engine, and the thread that advances its epochs while it lives.
pub(crate) fn engine() -> Result<Engine> {
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
