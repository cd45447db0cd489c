//! The `sac-serving` program.

mod bench;
mod cli;
mod client;
mod demo;
mod guards;
mod inspect;
mod logging;
mod predict;
mod run;
mod settings;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::forget_blank_variables();
    let arguments = std::env::args_os().collect::<Vec<_>>();
    let settings = settings::Settings::parse(&arguments).unwrap_or_else(|error| error.exit());
    logging::init(settings.cli.log_format);
    match run::run(&settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
