//! The `sac-serving` program: parses the arguments, starts logging, and runs a command.

mod args;
mod client;
mod commands;
mod logging;
#[cfg(feature = "otlp")]
mod otlp;
mod platform;
mod target;

use std::io::Write;
use std::process::ExitCode;

use args::InvalidUse;
use listenfd::ListenFd;
use logging::LogFormat;
use sac_owner::one_line;

fn main() -> ExitCode {
    args::forget_blank_variables();
    // It changes variables too, which is sound only before the first thread starts.
    let sockets = ListenFd::from_env();
    let arguments = std::env::args_os().collect::<Vec<_>>();
    let invocation = args::file::Invocation::parse(&arguments).unwrap_or_else(|error| error.exit());
    let serves = invocation.cli.command.serves();
    // Dropped last, so that an error is logged too.
    let (_lines, traces) = logging::init(invocation.cli.log_format, serves);
    match traces.and_then(|_traces| commands::run(&invocation, sockets)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error, invocation.cli.log_format);
            if error.is::<InvalidUse>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// Writes an error to stderr. As text, it appears whatever the log filter is. As JSON, it must be a log line, because
/// readers expect nothing else.
fn report(error: &anyhow::Error, format: LogFormat) {
    match format {
        // If stderr cannot be written, there is no place for the error.
        LogFormat::Text => drop(writeln!(std::io::stderr(), "error: {}", one_line(&format!("{error:#}")))),
        LogFormat::Json => tracing::error!("{error:#}"),
    }
}
