//! The `sac-serving` program: parses the arguments, starts logging, and runs a command.

mod args;
mod client;
mod commands;
mod logging;
#[cfg(feature = "otlp")]
mod otlp;
mod platform;
mod target;
mod trust;

use std::io::{self, Write};
use std::process::ExitCode;

use args::InvalidUse;
use listenfd::ListenFd;
use logging::LogFormat;
use sac_owner::one_line;

/// The status that a shell shows for a program which SIGPIPE ends. It is no success: the rest of the output is missing.
const CLOSED_OUTPUT: u8 = 141;

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
        // The reader of stdout, such as `head`, has what it wants.
        Err(error) if is_closed_output(&error) => ExitCode::from(CLOSED_OUTPUT),
        Err(error) => {
            report(&error, invocation.cli.log_format);
            if error.is::<InvalidUse>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// Returns `true` if an output could not be written because its reader is gone. Connections have errors of other types.
fn is_closed_output(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
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
