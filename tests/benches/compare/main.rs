//! sac-serving beside what it is compared with, in one run and turn about: `cargo bench -p sac-tests --bench compare`.
//!
//! The ceiling is a native server without a sandbox (`native`). The others are those that a user would pick instead, as far
//! as the Python that `SAC_BENCH_PYTHON` names, or else `python3`, has them: FastAPI with PyTorch, with TorchScript and with
//! ONNX Runtime (`peer.py`), and LitServe with PyTorch (`peer_litserve.py`). All serve one file with one stat a
//! request. The clients run on the same cores as the servers, alike for all of them.
//!
//! `--quick` takes fewer rounds; `--svg FILE` draws the figures.

mod client;
mod figures;
mod measure;
mod native;
mod plot;
#[path = "../program/mod.rs"]
mod program;
mod report;
mod server;

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use crate::measure::Effort;
use crate::server::{Kind, Server};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (mut effort, mut svg) = (Effort::FULL, None);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "native" => return native::serve(arguments.next().context("native FILE")?.into()),
            "--quick" => effort = Effort::QUICK,
            "--svg" => svg = Some(PathBuf::from(arguments.next().context("--svg FILE")?)),
            // Cargo's own.
            "--bench" => {}
            other => bail!("{other}: `--quick` and `--svg FILE` are known"),
        }
    }
    let servers = start()?;
    let peers = measure::all(&servers, &effort)?;
    print!("{}", report::table(&peers)?);
    if let Some(path) = svg {
        // Cargo runs this in the folder of the package.
        let path = sac_tests::workspace().join(path);
        std::fs::write(&path, plot::svg(&peers)).with_context(|| format!("{}", path.display()))?;
    }
    Ok(())
}

/// Starts every server that is installed, and checks that all compute the same action.
fn start() -> Result<Vec<Server>> {
    program::build()?;
    let mut servers = Vec::new();
    for kind in Kind::ALL {
        if kind.is_installed() {
            eprintln!("starting {}", kind.name());
            servers.push(Server::start(kind)?);
        } else {
            eprintln!("not installed: {}", kind.name());
        }
    }
    let actions = servers.iter().map(Server::action).collect::<Result<Vec<_>>>()?;
    ensure!(actions.iter().all(|action| (action - actions[0]).abs() < 1e-5), "the servers disagree: {actions:?}");
    Ok(servers)
}
