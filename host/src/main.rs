//! The `sac-serving` program.

mod bench;
mod cli;
mod client;
mod demo;
mod guards;
mod inspect;
mod logging;
#[cfg(feature = "otlp")]
mod otlp;
mod predict;
mod run;
mod settings;
mod target;

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    cli::forget_blank_variables();
    let arguments = std::env::args_os().collect::<Vec<_>>();
    let settings = settings::Settings::parse(&arguments).unwrap_or_else(|error| error.exit());
    match logging::init(settings.cli.log_format).and_then(|_traces| run::run(&settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&error, settings.cli.command.serves());
            ExitCode::FAILURE
        }
    }
}

/// To whoever reads the log of a server; else to whoever gave the command, however little he has of a log.
fn tell(error: &anyhow::Error, serves: bool) {
    if serves && tracing::enabled!(tracing::Level::ERROR) {
        tracing::error!("{error:#}");
    } else {
        // Where it cannot be written there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "error: {error:#}");
    }
}
