use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;

/// What PyTorch computes for the trained policies.
pub struct Golden(Value);

/// One of them.
pub struct Policy<'a> {
    pub name: &'a str,
    values: &'a Value,
}

impl Golden {
    pub fn read() -> Golden {
        Golden(serde_json::from_slice(&file("golden.json")).expect("JSON"))
    }

    pub fn policies(&self) -> impl Iterator<Item = Policy<'_>> {
        self.0.as_object().expect("an object").iter().map(|(name, values)| Policy { name, values })
    }

    pub fn policy(&self, name: &str) -> Policy<'_> {
        self.policies().find(|policy| policy.name == name).expect("a policy of golden.json")
    }
}

impl Policy<'_> {
    pub fn states(&self) -> Vec<Vec<f64>> {
        self.rows("states")
    }

    pub fn rows(&self, key: &str) -> Vec<Vec<f64>> {
        serde_json::from_value(self.values[key].clone()).expect("rows of numbers")
    }
}

/// A trained policy's ONNX file, such as `pendulum_00500`.
pub fn checkpoint(name: &str) -> Vec<u8> {
    file(&format!("{name}.onnx"))
}

/// A file of `tests/data`, such as `torch/legacy.pt`.
pub fn file(name: &str) -> Vec<u8> {
    fs::read(data(name)).expect("a file of tests/data")
}

/// One of the files that `tests/data/make_odd.py` writes.
pub fn odd(name: &str) -> Vec<u8> {
    checkpoint(&format!("odd/{name}"))
}

/// Writes a file as a trainer should: whole, under its name, by a rename.
pub fn publish(path: &Path, bytes: &[u8]) {
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, bytes).expect("written");
    fs::rename(&temporary, path).expect("renamed");
}

/// A time so many seconds into a day long gone.
pub fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

pub fn set_modified(path: &Path, time: SystemTime) {
    File::open(path).and_then(|file| file.set_modified(time)).expect("a file of this user");
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}
