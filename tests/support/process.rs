//! Starts programs, reads what they say, and ends them. It knows no program in particular.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

/// A running program, killed when it is dropped.
pub struct Process {
    pub child: Child,
    /// The part of its stderr that has been read.
    pub seen: String,
    /// `None` once a thread reads it.
    log: Option<BufReader<Box<dyn Read + Send + Sync>>>,
}

impl Process {
    /// Starts a program whose stderr is read from here.
    pub fn spawn(mut command: Command) -> io::Result<Process> {
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let log = child.stderr.take().map(|log| BufReader::new(Box::new(log) as Box<dyn Read + Send + Sync>));
        Ok(Process { child, seen: String::new(), log })
    }

    /// Starts a program whose stdout and stderr are read from here, as one log.
    pub fn spawn_with_output(mut command: Command) -> io::Result<Process> {
        let (reader, writer) = io::pipe()?;
        let child = command.stdout(writer.try_clone()?).stderr(writer).spawn()?;
        // The command holds the ends that are written to.
        drop(command);
        Ok(Process { child, seen: String::new(), log: Some(BufReader::new(Box::new(reader))) })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Reads the log up to and including the first line that contains `text`, and returns that line. Panics if the log
    /// ends before.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) -> String {
        let log = self.log.as_mut().expect("no thread reads the log");
        loop {
            let mut line = String::new();
            let read = log.read_line(&mut line).expect("the log is UTF-8");
            self.seen += &line;
            assert!(read > 0, "the log ended without {text:?}:\n{}", self.seen);
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Waits until `sac-serving` listens, and returns the address that it prints.
    #[track_caller]
    pub fn address(&mut self) -> SocketAddr {
        let line = self.wait_for("listening on http");
        let address = line.split_once("://").map(|(_, address)| address.trim().trim_end_matches(['"', '}']));
        address.and_then(|address| address.parse().ok()).unwrap_or_else(|| panic!("no address in {line}"))
    }

    /// Reads the rest of the log in a thread, since a full pipe would stop the program.
    pub fn read_on(&mut self, mut line: impl FnMut(String) + Send + 'static) {
        let log = self.log.take().expect("no thread reads the log");
        thread::spawn(move || log.lines().map_while(Result::ok).for_each(&mut line));
    }

    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// Waits until the program ends, and returns its status and its whole log.
    pub fn end(mut self) -> (ExitStatus, String) {
        if let Some(log) = &mut self.log {
            log.read_to_string(&mut self.seen).expect("the log is UTF-8");
        }
        (self.child.wait().expect("it is a child of this process"), std::mem::take(&mut self.seen))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address with a port that was free a moment ago, for programs that cannot choose a port and say which.
pub fn free_port(ip: IpAddr) -> io::Result<SocketAddr> {
    TcpListener::bind((ip, 0))?.local_addr()
}

/// A field of `/proc/PROCESS/status` that is given in kB, in bytes: `VmRSS`, `RssAnon`, `VmHWM`.
pub fn memory(process: u32, field: &str) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kilobytes = line.and_then(|value| value.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kilobytes.ok_or(io::ErrorKind::InvalidData)? << 10)
}
