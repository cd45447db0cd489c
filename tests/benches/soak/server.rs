use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::{Soak, program};

pub const TOKEN: &str = "soak";

/// A start with everything compiled; the machine is busy.
const USUAL_START: Duration = Duration::from_secs(5);

/// The program, and what its log said.
pub struct Server {
    pub address: SocketAddr,
    folder: PathBuf,
    process: Mutex<Child>,
    /// Odd while it is down: what fails then, or across a change of it, is no fault.
    lives: AtomicU64,
    pub log: Arc<Log>,
}

#[derive(Default)]
pub struct Log {
    pub swaps: AtomicU64,
    pub refusals: AtomicU64,
    /// Lines of level ERROR, the first hundred.
    pub errors: Mutex<Vec<String>>,
}

impl Server {
    pub fn start(folder: &Path) -> Result<Server> {
        let log = Arc::new(Log::default());
        // Once more, for the first start of all may compile.
        let (mut first, _) = spawn(folder, "127.0.0.1:0", &log)?;
        first.kill()?;
        first.wait()?;
        let (process, address) = spawn(folder, "127.0.0.1:0", &log)?;
        Ok(Server { address, folder: folder.to_owned(), process: process.into(), lives: AtomicU64::new(0), log })
    }

    pub fn process(&self) -> u32 {
        self.child().id()
    }

    /// Even: it is up.
    pub fn life(&self) -> u64 {
        self.lives.load(Ordering::SeqCst)
    }

    /// As the machine's lack of memory, or its power, would.
    pub fn kill(&self, soak: &Soak) -> Result<()> {
        self.lives.fetch_add(1, Ordering::SeqCst);
        {
            let mut process = self.child();
            process.kill()?;
            process.wait()?;
        }
        soak.record.count("killed, and started again");
        self.start_again(soak)
    }

    /// As a supervisor does: requests in flight are finished.
    pub fn stop(&self, soak: &Soak) -> Result<()> {
        self.lives.fetch_add(1, Ordering::SeqCst);
        let status = {
            let mut process = self.child();
            kill_process(Pid::from_child(&process), Signal::TERM)?;
            process.wait()?
        };
        soak.record.count("stopped, and started again");
        if !status.success() {
            soak.record.unexpected(format!("SIGTERM ended it with {status}"));
        }
        self.start_again(soak)
    }

    fn start_again(&self, soak: &Soak) -> Result<()> {
        let start = Instant::now();
        let (process, _) = spawn(&self.folder, &self.address.to_string(), &self.log)?;
        *self.child() = process;
        if start.elapsed() > USUAL_START {
            soak.record.unexpected(format!("it took {:?} to start again", start.elapsed()));
        }
        self.lives.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn child(&self) -> std::sync::MutexGuard<'_, Child> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut process = self.child();
        let _ = process.kill();
        let _ = process.wait();
    }
}

fn spawn(folder: &Path, listen: &str, log: &Arc<Log>) -> Result<(Child, SocketAddr)> {
    let mut command = Command::new(program::path()?);
    command.args(["serve", "--listen", listen, "--dir"]).arg(folder).env("SAC_API_TOKEN", TOKEN);
    // A request waits for the new checkpoint, however busy the machine is; who is slow is cut off soon.
    command.args(["--reload-wait", "30s", "--idle-time", "3s", "--body-time", "3s"]);
    let mut process = command.stderr(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(process.stderr.take().context("a log")?).lines();
    let address = loop {
        let line = lines.next().context("the server ended before it listened")??;
        ensure!(!line.contains("ERROR"), "{line}");
        if let Some((_, address)) = line.split_once("listening on http://") {
            break address.trim().parse()?;
        }
    };
    let log = log.clone();
    thread::spawn(move || lines.map_while(Result::ok).for_each(|line| log.read(line)));
    Ok((process, address))
}

impl Log {
    fn read(&self, line: String) {
        if line.contains("checkpoint in service") {
            self.swaps.fetch_add(1, Ordering::Relaxed);
        } else if line.contains("checkpoint refused") {
            self.refusals.fetch_add(1, Ordering::Relaxed);
        } else if line.contains("ERROR") {
            let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
            if errors.len() < 100 {
                errors.push(line);
            }
        }
    }
}
