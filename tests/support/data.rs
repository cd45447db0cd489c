//! The checkpoints of `tests/data` and of the demo, what PyTorch computes for them, and how a trainer publishes one.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;

/// The values that PyTorch computes for the trained policies.
pub struct Golden(Value);

/// One of the trained policies.
pub struct Policy<'a> {
    pub name: &'a str,
    values: &'a Value,
}

impl Golden {
    pub fn read() -> Golden {
        Golden(serde_json::from_slice(&file("golden.json")).expect("golden.json is JSON"))
    }

    pub fn policies(&self) -> impl Iterator<Item = Policy<'_>> {
        self.0.as_object().expect("golden.json is an object").iter().map(|(name, values)| Policy { name, values })
    }

    #[track_caller]
    pub fn policy(&self, name: &str) -> Policy<'_> {
        self.policies().find(|policy| policy.name == name).unwrap_or_else(|| panic!("golden.json has no {name}"))
    }
}

impl Policy<'_> {
    pub fn states(&self) -> Vec<Vec<f64>> {
        self.rows("states")
    }

    /// One row for each of [`states`](Policy::states), such as `action_squashed` or `log_std`.
    pub fn rows(&self, key: &str) -> Vec<Vec<f64>> {
        serde_json::from_value(self.values[key].clone()).expect("golden.json has rows of numbers")
    }
}

/// The ONNX file of a trained policy, such as `pendulum_00500`.
#[track_caller]
pub fn checkpoint(name: &str) -> Vec<u8> {
    file(&format!("{name}.onnx"))
}

/// The content of [`path`].
#[track_caller]
pub fn file(name: &str) -> Vec<u8> {
    let path = path(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Where a file of `tests/data` is, such as `torch/legacy.pt`, or one of the policies that the demo embeds.
pub fn path(name: &str) -> PathBuf {
    let of_the_demo = workspace().join("host/demo").join(name);
    if of_the_demo.exists() { of_the_demo } else { workspace().join("tests/data").join(name) }
}

/// The top folder of the repository. Cargo names the package that it runs, which is asked first: worktrees may share a
/// target folder, and a checkout may have been moved since it was built.
pub fn workspace() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let top = Path::new(&package).ancestors().find(|folder| folder.join("spin.toml").exists());
    top.unwrap_or_else(|| panic!("no spin.toml above {}", Path::new(&package).display())).to_owned()
}

/// One of the files that `tests/data/make_odd.py` writes.
#[track_caller]
pub fn odd(name: &str) -> Vec<u8> {
    checkpoint(&format!("odd/{name}"))
}

/// The card that stands beside a file of `tests/data`, if the file does not contain all facts.
pub fn card(name: &str) -> Option<Vec<u8>> {
    fs::read(path(&format!("{name}.policy.json"))).ok()
}

/// Publishes a file of `tests/data` at a path, after its card.
pub fn publish_named(path: &Path, name: &str) {
    if let Some(card) = card(name) {
        publish(&card_of(path), &card);
    }
    publish(path, &file(name));
}

/// The path of a checkpoint's own card.
pub fn card_of(checkpoint: &Path) -> PathBuf {
    let mut path = checkpoint.as_os_str().to_owned();
    path.push(".policy.json");
    path.into()
}

/// Writes a file as a trainer should: under a temporary name, which is then renamed.
pub fn publish(path: &Path, bytes: &[u8]) {
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, bytes).expect("the folder can be written");
    fs::rename(&temporary, path).expect("the folder can be written");
}

/// A time, given in seconds after a fixed one in the past.
pub fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

pub fn set_modified(path: &Path, time: SystemTime) {
    File::open(path).and_then(|file| file.set_modified(time)).expect("the file belongs to this user");
}
