//! Starts, kills and stops the program, and reads its log.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use sac_owner::settings::variables;
use sac_tests::{Process, Signal};

use crate::{Soak, program};

pub const TOKEN: &str = "soak";

/// How long a start takes at most when everything is compiled, on a machine that the soak keeps busy.
const USUAL_START: Duration = Duration::from_secs(5);

/// The program, and what its log says.
pub struct Server {
    pub address: SocketAddr,
    folder: PathBuf,
    process: Mutex<Process>,
    /// Odd while it is down. A request that fails then, or while this changes, is no fault.
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
        // The first start may compile the component, and does not count.
        drop(spawn(folder, "127.0.0.1:0", &log)?);
        let (process, address) = spawn(folder, "127.0.0.1:0", &log)?;
        Ok(Server { address, folder: folder.to_owned(), process: process.into(), lives: AtomicU64::new(0), log })
    }

    pub fn process(&self) -> u32 {
        self.child().id()
    }

    /// Even while the program is up.
    pub fn life(&self) -> u64 {
        self.lives.load(Ordering::SeqCst)
    }

    /// Kills the program, as a lack of memory or of power would.
    pub fn kill(&self, soak: &Soak) -> Result<()> {
        self.lives.fetch_add(1, Ordering::SeqCst);
        {
            let mut process = self.child();
            process.child.kill()?;
            process.child.wait()?;
        }
        soak.record.count("killed, and started again");
        self.start_again(soak)
    }

    /// Stops the program as a supervisor does, so that it finishes the requests in flight.
    pub fn stop(&self, soak: &Soak) -> Result<()> {
        self.lives.fetch_add(1, Ordering::SeqCst);
        let status = {
            let mut process = self.child();
            process.signal(Signal::TERM)?;
            process.child.wait()?
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

    fn child(&self) -> std::sync::MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request with the server's token.
pub fn request(method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
    sac_tests::request(method, path, &format!("authorization: Bearer {TOKEN}\r\n{headers}"), body)
}

fn spawn(folder: &Path, listen: &str, log: &Arc<Log>) -> Result<(Process, SocketAddr)> {
    let mut command = Command::new(program::path()?);
    command.args(["serve", "--listen", listen, "--dir"]).arg(folder).env(variables::API_TOKEN, TOKEN);
    // A request waits for the new checkpoint, however busy the machine is, and slow clients are cut off soon.
    command.args(["--reload-wait", "30s", "--idle-time", "3s", "--body-time", "3s"]);
    let mut process = Process::spawn(command)?;
    let address = process.address();
    ensure!(!process.seen.contains("ERROR"), "{}", process.seen);
    let log = log.clone();
    process.read_on(move |line| log.read(line));
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
