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

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::forget_blank_variables();
    let arguments = std::env::args_os().collect::<Vec<_>>();
    let settings = settings::Settings::parse(&arguments).unwrap_or_else(|error| error.exit());
    match logging::init(settings.cli.log_format).and_then(|_traces| run::run(&settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
