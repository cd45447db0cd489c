//! The program of other platforms, under emulators. `.github/CONTRIBUTING.md` says how to build it.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use sac_test_support::{Golden, checkpoint, publish};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::program::{Process, Signal, ask, prepare};

/// The largest difference from what PyTorch computes.
const TOLERANCE: f64 = 1e-5;

/// A platform, and what runs its programs here.
struct Platform {
    name: &'static str,
    /// The variable that holds the path of the program.
    variable: &'static str,
    emulator: &'static str,
    /// The arguments of the emulator.
    settings: Vec<(&'static str, OsString)>,
}

impl Platform {
    /// Returns the command `serve`, or says why there is none.
    fn serve(&self, folder: &Path) -> Option<Command> {
        let Platform { name, variable, emulator, .. } = self;
        let Some(program) = env::var_os(variable) else {
            println!("{variable} names no program: that for {name} is not tested");
            return None;
        };
        if Command::new(emulator).arg("--version").output().is_err() {
            println!("there is no {emulator}: the program for {name} is not tested");
            return None;
        }
        let mut command = Command::new(emulator);
        command.arg(program).args(["serve", "--dir", "."]);
        prepare(&mut command, folder, &kept("cache"));
        for shared in ["PATH", "HOME"] {
            command.envs(env::var_os(shared).map(|value| (shared, value)));
        }
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        Some(command)
    }

    /// Serves, swaps and ends. Each checkpoint answers the next request, with the actions of PyTorch.
    fn does_its_main_job(&self, prepare: impl Fn(&mut Command)) {
        let place = tempdir().unwrap();
        let Some(mut command) = self.serve(place.path()) else { return };
        prepare(&mut command);
        publish(&place.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
        let mut program = Process::spawn(command).unwrap();
        let address = program.address();
        let golden = Golden::read();
        // The second is a new file, and the third takes its place.
        for (file, name) in
            [("model_a", "pendulum_00500"), ("model_b", "pendulum_02000"), ("model_b", "pendulum_08000")]
        {
            let file = format!("{file}.onnx");
            publish(&place.path().join(&file), &checkpoint(name));
            let policy = golden.policy(name);
            let body = json!({ "states": policy.states() }).to_string();
            let (status, answer) = ask(address, "POST", "/sac/predict/batch", "", &body);
            assert_eq!(status, 200, "{answer}");
            let answer = serde_json::from_str::<Value>(&answer).unwrap();
            let path = answer["model_path"].as_str().unwrap();
            assert!(path.ends_with(&file) && !path.contains('?'), "{path}");
            let actions = answer["actions"].as_array().unwrap();
            let expected = policy.rows("action_squashed").concat();
            assert_eq!(actions.len(), expected.len());
            for (action, expected) in actions.iter().zip(expected) {
                let action = action.as_f64().unwrap();
                assert!((action - expected).abs() < TOLERANCE, "{name}: {action} instead of {expected}");
            }
        }
        program.signal(Signal::INT).unwrap();
        let (status, log) = program.end();
        assert!(status.success() && log.contains("shutting down"), "{status}: {log}");
        for line in log.lines().filter(|line| line.contains("WARN") || line.contains("compiled")) {
            println!("{}: {line}", self.name);
        }
    }
}

/// Returns the path of a folder that later runs find again, since emulators compile slowly.
fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("platforms").join(name)
}

#[test]
fn the_program_for_windows_serves_a_new_file_on_the_next_request_and_ends_on_ctrl_c() {
    let wine = Platform {
        name: "Windows",
        variable: "SAC_TEST_WINDOWS",
        emulator: "wine",
        settings: vec![("WINEPREFIX", kept("wine").into()), ("WINEDEBUG", "-all".into())],
    };
    std::fs::create_dir_all(kept("")).unwrap();
    // Only a folder in the profile is private there, as the default is.
    wine.does_its_main_job(|command| {
        command.env_remove("SAC_CACHE_DIR");
    });
}

#[test]
fn the_program_for_arm64_serves_a_new_file_on_the_next_request_and_ends_on_ctrl_c() {
    let qemu = Platform {
        name: "arm64",
        variable: "SAC_TEST_ARM64",
        emulator: "qemu-aarch64",
        // Debian's folder of libraries for it. A static program needs none.
        settings: vec![("QEMU_LD_PREFIX", "/usr/aarch64-linux-gnu".into())],
    };
    qemu.does_its_main_job(|_| {});
}
