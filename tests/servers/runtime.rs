//! The application of spin.toml in a runtime that is a program of its own: Spin, or `wasmtime serve`.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use sac_test_support::{Process, Signal, workspace};
use tempfile::{NamedTempFile, TempDir, tempdir};

use crate::composed::{self, Mount};
use crate::manifest::Manifest;
use crate::server::{Settings, cache_dir};

/// A runtime that a variable names.
pub(crate) enum Runtime {
    /// `SAC_SPIN`: the program of Spin.
    Spin(OsString),
    /// `SAC_WASMTIME`: the program of Wasmtime.
    Wasmtime(OsString),
}

/// A runtime that serves the application, until it is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    process: Process,
    _files: TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Spin serves from another process, and ends it only at a signal that it can catch.
        let _ = self.process.signal(Signal::INT);
        let _ = self.process.child.wait();
    }
}

impl Runtime {
    /// Returns the runtime that tests use instead of the handler in their own process.
    pub(crate) fn named() -> Option<Self> {
        let named = |variable: &str| std::env::var_os(variable).filter(|program| !program.is_empty());
        named("SAC_SPIN").map(Runtime::Spin).or_else(|| named("SAC_WASMTIME").map(Runtime::Wasmtime))
    }

    /// Starts it on a port of its own. Blocks until it listens.
    pub(crate) fn start(&self, settings: &Settings) -> Running {
        let files = tempdir().expect("a temporary folder");
        let mut command = match self {
            Runtime::Spin(program) => spin(program, settings, files.path()),
            Runtime::Wasmtime(program) => wasmtime(program, settings),
        };
        // Both print the address where they listen, one to stdout.
        command.env("RUST_LOG", "error");
        let mut process = Process::spawn_with_output(command).expect("the runtime starts");
        let line = process.wait_for("http://");
        let address = line.split_once("http://").map(|(_, rest)| rest.trim().trim_end_matches('/'));
        let address = address.and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("no address in {line}"));
        process.read_on(|_| ());
        Running { address, process, _files: files }
    }
}

/// Returns `true` if [`Owner::Composed`](crate::Owner::Composed) runs in Spin.
pub fn is_spin() -> bool {
    matches!(Runtime::named(), Some(Runtime::Spin(_)))
}

fn wasmtime(program: &OsString, settings: &Settings) -> Command {
    static COMPILED: OnceLock<PathBuf> = OnceLock::new();
    let compiled = COMPILED.get_or_init(|| {
        fs::create_dir_all(cache_dir()).expect("the folder of the cache");
        let composed = NamedTempFile::new_in(cache_dir()).expect("a temporary file");
        fs::write(composed.path(), composed::bytes()).expect("written");
        let compiled = NamedTempFile::new_in(cache_dir()).expect("a temporary file");
        let mut command = Command::new(program);
        command.arg("compile").arg(composed.path()).arg("-o").arg(compiled.path());
        assert!(command.status().expect("wasmtime runs").success(), "wasmtime does not compile the application");
        let path = cache_dir().join("sac.cwasm");
        compiled.persist(&path).expect("renamed");
        path
    });
    let mut command = Command::new(program);
    command.args(["serve", "-S", "cli", "--allow-precompiled", "--addr", "127.0.0.1:0"]);
    for (name, value) in composed::variables(settings) {
        command.arg("--env").arg(format!("{name}={value}"));
    }
    let Mount { folder, name } = composed::mount(settings);
    if folder.is_dir() {
        command.arg("--dir").arg(format!("{}::{name}", folder.display()));
    }
    command.arg(compiled);
    command
}

/// Spin reads the mount from a manifest, so it gets one of its own.
fn spin(program: &OsString, settings: &Settings, place: &Path) -> Command {
    let manifest = Manifest::read().expect("spin.toml");
    let Mount { folder, name } = composed::mount(settings);
    let path = place.join("spin.toml");
    fs::write(&path, manifest.with_mount(&folder, &name)).expect("written");
    let mut command = Command::new(program);
    command.arg("up").arg("--from").arg(path).args(["--direct-mounts", "--listen", "127.0.0.1:0"]);
    for (name, value) in composed::variables(settings) {
        command.arg("--env").arg(format!("{name}={value}"));
    }
    command.envs(settings.spin_variables.iter().map(|(name, value)| (format!("SPIN_VARIABLE_{name}"), value)));
    command.current_dir(workspace());
    command
}
