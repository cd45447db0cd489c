//! The `sac-serving` program.

mod args;
mod client;
mod commands;
mod logging;
#[cfg(feature = "otlp")]
mod otlp;
mod target;

use std::io::Write;
use std::process::ExitCode;

use logging::LogFormat;

fn main() -> ExitCode {
    args::forget_blank_variables();
    let arguments = std::env::args_os().collect::<Vec<_>>();
    let settings = args::file::Settings::parse(&arguments).unwrap_or_else(|error| error.exit());
    let serves = settings.cli.command.serves();
    match logging::init(settings.cli.log_format, serves).and_then(|_traces| commands::run(&settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&error, settings.cli.log_format);
            ExitCode::FAILURE
        }
    }
}

/// In words, to whom little of the log may be shown; in JSON, to whom nothing else can be.
fn tell(error: &anyhow::Error, format: LogFormat) {
    match format {
        // Where it cannot be written there is nobody to tell.
        LogFormat::Text => drop(writeln!(std::io::stderr(), "error: {error:#}")),
        LogFormat::Json => tracing::error!("{error:#}"),
    }
}
