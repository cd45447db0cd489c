//! Starts and ends the servers that are compared, and swaps their checkpoints.

use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sac_tests::{Connection, Process, free_port, workspace};
use tempfile::TempDir;

use crate::client::{ask, predict};
use crate::program;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Native,
    SacServing,
    Eager,
    Jit,
    OnnxRuntime,
    LitServe,
}

/// The process of a server, with a folder of its own for its checkpoint.
pub struct Server {
    pub kind: Kind,
    pub address: SocketAddr,
    /// The time from the start to the first answer, with all caches filled.
    pub start: Duration,
    process: Process,
    folder: TempDir,
}

impl Kind {
    pub const ALL: [Kind; 6] =
        [Kind::Native, Kind::SacServing, Kind::Eager, Kind::Jit, Kind::OnnxRuntime, Kind::LitServe];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Native => "native hyper + tract",
            Kind::SacServing => "sac-serving",
            Kind::Eager => "FastAPI + PyTorch",
            Kind::Jit => "FastAPI + torch.jit",
            Kind::OnnxRuntime => "FastAPI + ONNX Runtime",
            Kind::LitServe => "LitServe + PyTorch",
        }
    }

    /// Returns `true` if the server has the routes for batches, benchmarks and reloads, and looks at its file.
    pub fn has_all_routes(self) -> bool {
        self != Kind::LitServe
    }

    pub fn is_installed(self) -> bool {
        let modules = match self {
            Kind::Native | Kind::SacServing => return true,
            Kind::Eager | Kind::Jit => "torch, fastapi, uvicorn",
            Kind::OnnxRuntime => "onnxruntime, fastapi, uvicorn",
            Kind::LitServe => "torch, litserve",
        };
        let imports = format!("import {modules}");
        let imports = Command::new(python()).args(["-c", &imports]).stderr(Stdio::null()).status();
        imports.is_ok_and(|status| status.success())
    }

    /// The same policy, in the format that the server reads.
    pub fn checkpoint(self) -> PathBuf {
        let format = if matches!(self, Kind::Eager | Kind::Jit | Kind::LitServe) { "state_dict.pt" } else { "onnx" };
        workspace().join("tests/data").join(format!("stat_pair_03000.{format}"))
    }

    /// The command that starts it, and the address that it will listen on unless it prints that.
    fn command(self, checkpoint: &Path) -> Result<(Command, Option<SocketAddr>)> {
        let mut address = None;
        let mut command = match self {
            Kind::Native => Command::new(env::current_exe()?),
            Kind::SacServing => Command::new(program::path()?),
            Kind::Eager | Kind::Jit | Kind::OnnxRuntime | Kind::LitServe => Command::new(python()),
        };
        match self {
            Kind::Native => command.arg("native").arg(checkpoint),
            Kind::SacServing => command.args(["serve", "--listen", "127.0.0.1:0", "--model"]).arg(checkpoint),
            Kind::Eager | Kind::Jit | Kind::OnnxRuntime | Kind::LitServe => {
                command.env("STAT_PAIR_RL_JIT", if self == Kind::Jit { "1" } else { "0" });
                // uvicorn does not print which port it was given.
                let chosen = free_port(Ipv4Addr::LOCALHOST.into())?;
                address = Some(chosen);
                let script = if self == Kind::LitServe { "peer_litserve.py" } else { "peer.py" };
                let script = workspace().join("tests/benches").join(script);
                command.arg(script).arg(checkpoint).arg(chosen.port().to_string())
            }
        };
        Ok((command, address))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let group = format!("-{}", self.process.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
    }
}

impl Server {
    /// The second start of two: the first fills the caches.
    pub fn start(kind: Kind) -> Result<Self> {
        drop(Server::start_once(kind, &[])?);
        Server::start_once(kind, &[])
    }

    /// The time that a start takes with an empty cache.
    pub fn first_start(kind: Kind) -> Result<Duration> {
        let cache = tempfile::tempdir()?;
        Ok(Server::start_once(kind, &[("SAC_CACHE_DIR", cache.path())])?.start)
    }

    fn start_once(kind: Kind, variables: &[(&str, &Path)]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let checkpoint =
            folder.path().join("model_bench").with_extension(kind.checkpoint().extension().unwrap_or_default());
        fs::copy(kind.checkpoint(), &checkpoint)?;
        let (mut command, address) = kind.command(&checkpoint)?;
        // A peer may start processes of its own, which end with it: see `drop`.
        command.envs(variables.iter().copied()).stdout(Stdio::null()).process_group(0);
        let begin = Instant::now();
        let mut process = Process::spawn(command)?;
        let address = match address {
            Some(address) => {
                wait_for(&mut process, address)?;
                address
            }
            None => process.address(),
        };
        ask(&mut Connection::open(address)?, &predict())?;
        let start = begin.elapsed();
        process.read_on(drop);
        Ok(Server { kind, address, start, process, folder })
    }

    pub fn action(&self) -> Result<f64> {
        let answer = ask(&mut Connection::open(self.address)?, &predict())?;
        answer.json()["action"].as_f64().context("no action")
    }

    pub fn checkpoint(&self) -> PathBuf {
        let file = self.folder.path().join("model_bench");
        file.with_extension(self.kind.checkpoint().extension().unwrap_or_default())
    }

    /// Replaces the checkpoint with a copy of itself, by a rename.
    pub fn swap(&self) -> Result<()> {
        let next = self.folder.path().join("next.tmp");
        fs::copy(self.kind.checkpoint(), &next)?;
        Ok(fs::rename(next, self.checkpoint())?)
    }

    /// The resident memory, and the anonymous part of it, in bytes.
    pub fn memory(&self) -> Result<(u64, u64)> {
        program::memory(self.process.id())
    }
}

/// Waits until a server that does not print its address listens.
fn wait_for(process: &mut Process, address: SocketAddr) -> Result<()> {
    while TcpStream::connect(address).is_err() {
        ensure!(process.child.try_wait()?.is_none(), "it ended before it listened at {address}");
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn python() -> String {
    env::var("SAC_BENCH_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}
