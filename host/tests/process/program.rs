//! Runs `sac-serving` as the tests need it. How processes and HTTP work is in `sac-test-support`.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Once;

use sac_test_support::{Connection, request};
pub use sac_test_support::{Process, Signal, file};
use tempfile::{TempDir, tempdir};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_sac-serving");
pub const STATE: &str = r#"{"state": [0.3, -0.4, 0.5]}"#;

/// Limits that end nothing only because the machine is busy. With the first, the next request after a change is always
/// answered by the new file.
const PATIENCE: [(&str, &str); 7] = [
    ("SAC_RELOAD_WAIT", "10min"),
    ("SAC_LOAD_TIME", "10min"),
    ("SAC_CALL_TIME", "10min"),
    ("SAC_LONG_CALL_TIME", "10min"),
    ("SAC_IDLE_TIME", "10min"),
    ("SAC_BODY_TIME", "10min"),
    ("SAC_DRAIN_TIME", "10min"),
];

/// `sac-serving COMMAND` in a folder, with an environment that holds a cache, a free port and patient limits.
pub fn command(command: &str, folder: &Path, cache: &Path) -> Command {
    command_of(Path::new(PROGRAM), command, folder, cache)
}

/// The same, of a copy of the program.
pub fn command_of(program: &Path, command: &str, folder: &Path, cache: &Path) -> Command {
    let mut program = Command::new(program);
    program.arg(command);
    prepare(&mut program, folder, cache);
    program
}

/// Gives a command a folder, and an environment as that of [`command`].
pub fn prepare(program: &mut Command, folder: &Path, cache: &Path) {
    program.current_dir(folder).env_clear().envs(PATIENCE);
    program.env("SAC_LISTEN", "127.0.0.1:0").env("SAC_CACHE_DIR", cache);
}

/// Runs `sac-serving serve` in a folder.
pub fn serve(folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> Process {
    let mut serve = command("serve", folder, &cache());
    serve.args(args).envs(variables.iter().copied());
    Process::spawn(serve).unwrap()
}

/// Runs a command that ends: its exit code, and what it printed to stdout and to stderr.
pub fn run(args: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new(PROGRAM);
    let command = command.args(args).env_clear().env("SAC_CACHE_DIR", cache()).envs(variables.iter().copied());
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A cache folder that holds the compiled component.
pub fn cache() -> PathBuf {
    static COMPILED: Once = Once::new();
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    COMPILED.call_once(|| {
        let empty = tempdir().unwrap();
        Process::spawn(command("serve", empty.path(), &cache)).unwrap().address();
    });
    cache
}

/// Makes an executable copy in a process of its own. A file that this process has open for writing could not be executed
/// while a child that another test has just forked holds it open too.
pub fn install(from: &Path, to: &Path) {
    let status = Command::new("install").args(["-m", "755"]).args([from, to]).status();
    assert!(status.unwrap().success());
}

/// A folder with one good checkpoint.
pub fn folder() -> TempDir {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("model_a.onnx"), file("pendulum_00500.onnx")).unwrap();
    folder
}

/// Status and body of the answer to a request on a connection of its own.
pub fn ask(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
    let headers = format!("host: {address}\r\nconnection: close\r\n{headers}");
    let answer = Connection::open(address).unwrap().ask(&request(method, path, &headers, body)).unwrap();
    (answer.status, answer.text().to_owned())
}

pub fn predict(address: SocketAddr) -> (u16, String) {
    ask(address, "POST", "/sac/predict", "", STATE)
}

/// Where a file of `tests/data` or of the demo is.
pub fn path(name: &str) -> String {
    sac_test_support::path(name).to_str().unwrap().to_owned()
}
