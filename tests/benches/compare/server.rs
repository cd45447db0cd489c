use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::client::{Connection, predict};
use crate::program;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Native,
    SacServing,
    Eager,
    Jit,
}

/// The process of a server, with a folder of its own for its checkpoint.
pub struct Server {
    pub kind: Kind,
    pub address: SocketAddr,
    /// From its beginning to its first answer, with all caches filled.
    pub start: Duration,
    process: Child,
    folder: TempDir,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Native, Kind::SacServing, Kind::Eager, Kind::Jit];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Native => "native hyper + tract",
            Kind::SacServing => "sac-serving",
            Kind::Eager => "FastAPI + PyTorch",
            Kind::Jit => "FastAPI + torch.jit",
        }
    }

    pub fn is_installed(self) -> bool {
        let imports =
            || Command::new(python()).args(["-c", "import torch, fastapi, uvicorn"]).stderr(Stdio::null()).status();
        matches!(self, Kind::Native | Kind::SacServing) || imports().is_ok_and(|status| status.success())
    }

    /// The same policy, in the format that the server reads.
    pub fn checkpoint(self) -> PathBuf {
        let format = if matches!(self, Kind::Eager | Kind::Jit) { "state_dict.pt" } else { "onnx" };
        program::workspace().join("tests/data").join(format!("stat_pair_03000.{format}"))
    }

    /// And the port that it will listen on, where it does not tell.
    fn command(self, checkpoint: &Path) -> Result<(Command, Option<u16>)> {
        let mut port = None;
        let mut command = match self {
            Kind::Native => Command::new(env::current_exe()?),
            Kind::SacServing => Command::new(program::path()?),
            Kind::Eager | Kind::Jit => Command::new(python()),
        };
        match self {
            Kind::Native => command.arg("native").arg(checkpoint),
            Kind::SacServing => command.args(["serve", "--listen", "127.0.0.1:0", "--model"]).arg(checkpoint),
            Kind::Eager | Kind::Jit => {
                command.env("STAT_PAIR_RL_JIT", if self == Kind::Jit { "1" } else { "0" });
                // uvicorn does not tell which port it was given.
                let chosen = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
                port = Some(chosen);
                command.arg(program::workspace().join("tests/benches/peer.py")).arg(checkpoint).arg(chosen.to_string())
            }
        };
        Ok((command, port))
    }
}

impl Server {
    /// The second start of two: the first fills the caches.
    pub fn start(kind: Kind) -> Result<Self> {
        drop(Server::start_once(kind, &[])?);
        Server::start_once(kind, &[])
    }

    /// As it starts with nothing in its cache.
    pub fn first_start(kind: Kind) -> Result<Duration> {
        let cache = tempfile::tempdir()?;
        Ok(Server::start_once(kind, &[("SAC_CACHE_DIR", cache.path())])?.start)
    }

    fn start_once(kind: Kind, variables: &[(&str, &Path)]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let checkpoint =
            folder.path().join("model_bench").with_extension(kind.checkpoint().extension().unwrap_or_default());
        fs::copy(kind.checkpoint(), &checkpoint)?;
        let (mut command, port) = kind.command(&checkpoint)?;
        let begin = Instant::now();
        let process = command.envs(variables.iter().copied()).stderr(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        let mut server = Server { kind, address: ([127, 0, 0, 1], 0).into(), start: Duration::ZERO, process, folder };
        server.address = match port {
            Some(port) => server.await_port(port)?,
            None => server.await_address()?,
        };
        Connection::open(server.address)?.ask(&predict())?;
        server.start = begin.elapsed();
        Ok(server)
    }

    /// Read from its log.
    fn await_address(&mut self) -> Result<SocketAddr> {
        let mut log = BufReader::new(self.process.stderr.take().context("a log")?).lines();
        let address = loop {
            let line = log.next().context("the server ended before it listened")??;
            if let Some((_, address)) = line.split_once("listening on http://") {
                break address.trim().parse()?;
            }
        };
        thread::spawn(move || log.for_each(drop));
        Ok(address)
    }

    fn await_port(&mut self, port: u16) -> Result<SocketAddr> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let log = self.process.stderr.take().context("a log")?;
        thread::spawn(move || BufReader::new(log).lines().for_each(drop));
        while TcpStream::connect(address).is_err() {
            ensure!(self.process.try_wait()?.is_none(), "{} ended before it listened", self.kind.name());
            thread::sleep(Duration::from_millis(5));
        }
        Ok(address)
    }

    pub fn action(&self) -> Result<f64> {
        let answer = Connection::open(self.address)?.json(&predict())?;
        answer["action"].as_f64().context("no action")
    }

    pub fn checkpoint(&self) -> PathBuf {
        let file = self.folder.path().join("model_bench");
        file.with_extension(self.kind.checkpoint().extension().unwrap_or_default())
    }

    /// Puts the checkpoint in anew, under its name, as a whole.
    pub fn swap(&self) -> Result<()> {
        let next = self.folder.path().join("next.tmp");
        fs::copy(self.kind.checkpoint(), &next)?;
        Ok(fs::rename(next, self.checkpoint())?)
    }

    /// Resident, and the anonymous part of it, in bytes.
    pub fn memory(&self) -> Result<(u64, u64)> {
        program::memory(self.process.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn python() -> String {
    env::var("SAC_BENCH_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}
