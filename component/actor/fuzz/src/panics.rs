//! Which panics are findings. In production a panic costs an instance of the sandbox, which is how those of tract are
//! contained; in this project's own code each is a fault.

use std::backtrace::Backtrace;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

/// The folders of the crates whose panics are contained.
const CONTAINED: [&str; 2] = ["/tract-", "/ndarray-"];

/// Replaces the hook of libFuzzer, which aborts at any panic.
pub fn install() {
    // The one before prints the panic and aborts.
    let abort = take_hook();
    set_hook(Box::new(move |info| {
        let location = info.location().map_or("", |location| location.file());
        if CONTAINED.iter().any(|folder| location.contains(folder)) {
            return;
        }
        eprintln!("{}", Backtrace::force_capture());
        abort(info);
    }));
}

/// Runs something. Returns `None` if it panics in tract.
pub fn contain<T>(run: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(run)).ok()
}
