//! The `sac-serving` program.

mod cli;
mod demo;
mod guards;
mod inspect;
mod logging;
mod run;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    cli::forget_blank_variables();
    let cli = cli::Cli::parse();
    logging::init(cli.log_format);
    match run::run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
