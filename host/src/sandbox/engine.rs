use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use wasmtime::{Config, Engine};

/// How often epochs tick: what a deadline is rounded up to.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// The engine of all sandboxes, and the thread that ticks its epochs for as long as it lives.
pub(crate) fn engine() -> Result<Engine> {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .wasm_relaxed_simd(true)
        // Calls into the component are synchronous and never overlap.
        .concurrency_support(false)
        // A trap is told by the guest's own panic message; its frames have no names.
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
        .context("no thread for epochs")?;
    Ok(engine)
}

/// How many ticks cover a duration.
pub(crate) fn ticks(duration: Duration) -> u64 {
    // One more, since the first comes at any moment.
    duration.as_nanos().div_ceil(TICK.as_nanos()) as u64 + 1
}
