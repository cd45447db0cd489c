//! The command `replay`: computes the decisions of logs again.

use std::fs::File;
use std::io::{BufRead, BufReader, Write, stdin};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use sac_serving::{Config, Replay, ReplayReport, Source};
use tracing::warn;

use crate::args::replay::ReplayArgs;
use crate::commands::output::STDOUT;

pub fn run(args: &ReplayArgs, defaults: Config) -> Result<()> {
    for log in args.logs.iter().filter(|log| !is_stdin(log)) {
        ensure!(log.exists() && !log.is_dir(), "{}: there is no such log", log.display());
    }
    let config = Config { jit: args.jit, ..args.load.config(Source::new(None, None, None), defaults) };
    let mut replay = Replay::new(config, &args.root)?;
    for log in &args.logs {
        let name = if is_stdin(log) { "stdin".to_owned() } else { log.display().to_string() };
        let read: Box<dyn BufRead> = match is_stdin(log) {
            true => Box::new(stdin().lock()),
            false => Box::new(BufReader::new(File::open(log).with_context(|| format!("{name} cannot be read"))?)),
        };
        replay.read(&name, read).with_context(|| format!("{name} cannot be read"))?;
    }
    let report = replay.report();
    let mut out = std::io::stdout().lock();
    match args.json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
        false => write!(out, "{report}")?,
    }
    let ReplayReport { decisions, same, cut, .. } = report;
    ensure!(decisions > 0, "the logs hold no decision");
    let others = decisions - same - cut;
    ensure!(others == 0, "{others} of {decisions} decisions are not computed the same");
    if cut > 0 {
        warn!("{cut} lines end too early, as a crash leaves them");
    }
    Ok(())
}

/// The path that means stdout for an output means stdin for an input.
fn is_stdin(log: &Path) -> bool {
    log == Path::new(STDOUT)
}
