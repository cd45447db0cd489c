//! The program, run by a test.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Once;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::{TempDir, tempdir};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_sac-serving");
pub const STATE: &str = r#"{"state": [0.3, -0.4, 0.5]}"#;

/// A running program, killed when it is dropped.
pub struct Program {
    pub child: Child,
    pub log: BufReader<Box<dyn Read>>,
    pub seen: String,
}

impl Program {
    /// `sac-serving serve` on a free port, with nothing in its environment but what is given.
    pub fn serve(folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> Program {
        let mut command = Command::new(PROGRAM);
        command.arg("serve").args(args).current_dir(folder).env_clear();
        command.env("SAC_LISTEN", "127.0.0.1:0").env("SAC_CACHE_DIR", cache()).envs(variables.iter().copied());
        Program::spawn(command)
    }

    pub fn spawn(mut command: Command) -> Program {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log: Box<dyn Read> = Box::new(child.stderr.take().unwrap());
        Program { child, log: BufReader::new(log), seen: String::new() }
    }

    /// Reads the log as far as a line that has this in it.
    pub fn wait_for(&mut self, word: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.log.read_line(&mut line).unwrap();
            self.seen += &line;
            assert!(read > 0, "the log ended without {word:?}:\n{}", self.seen);
            if line.contains(word) {
                return line;
            }
        }
    }

    /// The address that it prints.
    pub fn address(&mut self) -> String {
        let line = self.wait_for("listening on http");
        let (_, address) = line.split_once("://").unwrap();
        address.trim().trim_end_matches(['"', '}']).to_owned()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end, and reads the rest of the log.
    pub fn end(mut self) -> (ExitStatus, String) {
        self.log.read_to_string(&mut self.seen).unwrap();
        (self.child.wait().unwrap(), std::mem::take(&mut self.seen))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command that ends: its exit code, and what it printed to stdout and to stderr.
pub fn run(args: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new(PROGRAM);
    let command = command.args(args).env_clear().env("SAC_CACHE_DIR", cache()).envs(variables.iter().copied());
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A folder for compiled components, with the one in it that all tests use.
pub fn cache() -> PathBuf {
    static COMPILED: Once = Once::new();
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    COMPILED.call_once(|| {
        let empty = tempdir().unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--listen", "127.0.0.1:0"]).current_dir(&empty).env_clear().env("SAC_CACHE_DIR", &cache);
        Program::spawn(command).address();
    });
    cache
}

pub fn data(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data").join(name)).unwrap()
}

/// A folder with one good checkpoint.
pub fn folder() -> TempDir {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("model_a.onnx"), data("pendulum_00500.onnx")).unwrap();
    folder
}

/// Status and body of an answer.
pub fn ask(address: &str, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n");
    stream.write_all(format!("{head}{headers}\r\n{body}").as_bytes()).unwrap();
    let mut stream = BufReader::new(stream);
    let (mut head, mut body) = (String::new(), String::new());
    while !head.ends_with("\r\n\r\n") {
        assert!(stream.read_line(&mut head).unwrap() > 0, "cut short: {head}");
    }
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    // Some keep the connection open all the same.
    stream.take(length.unwrap_or(u64::MAX)).read_to_string(&mut body).unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
}

pub fn predict(address: &str) -> (u16, String) {
    ask(address, "POST", "/sac/predict", "", STATE)
}

/// Where a file of `tests/data` is.
pub fn path(name: &str) -> String {
    format!("{}/../tests/data/{name}", env!("CARGO_MANIFEST_DIR"))
}
