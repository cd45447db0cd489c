//! The process that is measured.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, Result};
use sac_tests::{Connection, Process, request};

use crate::program;
use crate::root::{BROKEN, POLICIES, Root};

/// More than the instances of all policies take together, so that none is evicted.
const MEMORY: &str = "17179869184";

pub struct Server {
    process: Process,
    address: SocketAddr,
}

impl Server {
    /// Serves all policies. A folder with a broken file takes a place too.
    pub fn start(root: &Root) -> Result<Server> {
        let mut command = command()?;
        command.arg("--root").arg(root.path());
        command.args(["--max-policies", &(POLICIES + BROKEN).to_string(), "--max-memory", MEMORY]);
        Server::of(command)
    }

    /// Serves the first policy alone.
    pub fn of_one(root: &Root) -> Result<Server> {
        let mut command = command()?;
        command.arg("--model").arg(root.file(0));
        Server::of(command)
    }

    fn of(command: Command) -> Result<Server> {
        let mut process = Process::spawn(command)?;
        let address = process.address();
        process.read_on(drop);
        Ok(Server { process, address })
    }

    pub fn connect(&self) -> Result<Connection> {
        Ok(Connection::open(self.address)?)
    }

    /// The resident memory, and the anonymous part of it, in bytes.
    pub fn memory(&self) -> Result<(u64, u64)> {
        program::memory(self.process.id())
    }

    pub fn threads(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/task", self.process.id()))?.count())
    }

    pub fn metric(&self, name: &str) -> Result<f64> {
        let answer = self.connect()?.ask(&request("GET", "/metrics", "", ""))?;
        let value = answer.text().lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.with_context(|| format!("no {name}"))
    }
}

fn command() -> Result<Command> {
    let mut command = Command::new(program::path()?);
    // A request waits for the new checkpoint, however busy the machine is.
    command.args(["serve", "--listen", "127.0.0.1:0", "--reload-wait", "30s"]);
    Ok(command)
}
