//! The folder of checkpoints: publishes good and hostile files, and knows the action of each good one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sac_tests::{Connection, card, card_of, file};
use serde_json::Value;
use tempfile::TempDir;

use crate::Soak;
use crate::server::{Server, request};

pub const STATE: &str = r#"{"state":[0.3,-0.4,0.5]}"#;

const GOOD: [&str; 7] = [
    "pendulum_00500.onnx",
    "pendulum_08000.state_dict.pt",
    "pendulum_02000.onnx",
    "pendulum_00500.sb3.zip",
    "pendulum_08000.cleanrl.pt",
    "pendulum_00500.spinningup.pt",
    "torch/actor.safetensors",
];
const HOSTILE: [&str; 9] = [
    "torch/bomb.pt",
    "torch/bomb.zip",
    "torch/bomb_pickle.pt",
    "torch/billion_laughs.pt",
    "torch/deep_nesting.pt",
    "torch/absurd_shape.pt",
    "torch/executes.pt",
    "odd/panics_at_load.onnx",
    "odd/nan_weights.onnx",
];
/// After how many good files one is hostile, and a reload is forced; and how many of the last files are kept.
const HOSTILE_EACH: u64 = 4;
const RELOAD_EACH: u64 = 7;
const KEPT: u64 = 3;

/// The folder that is swapped in, and the action of each file.
pub struct Folder {
    folder: TempDir,
    actions: [OnceLock<f64>; GOOD.len()],
    /// The number of the newest good checkpoint whose rename is done.
    published: AtomicU64,
}

impl Folder {
    pub fn new() -> Result<Self> {
        let folder = Folder { folder: tempfile::tempdir()?, actions: Default::default(), published: 0.into() };
        folder.publish(0)?;
        Ok(folder)
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn published(&self) -> u64 {
        self.published.load(Ordering::SeqCst)
    }

    /// Learns the action of each checkpoint, while no other client asks.
    pub fn learn(&self, server: &Server) -> Result<()> {
        let mut connection = Connection::open(server.address)?;
        for (number, action) in self.actions.iter().enumerate() {
            self.publish(number as u64)?;
            let answer = connection.ask(&request("POST", "/sac/predict", "", STATE))?;
            let json = serde_json::from_str::<Value>(answer.text())?;
            ensure!(self.number(&json)? == number as u64, "{} is not served: {}", GOOD[number], answer.text());
            action.get_or_init(|| json["action"].as_f64().unwrap_or(f64::NAN));
        }
        Ok(())
    }

    /// Checks that an answer is the one of the checkpoint that it names, which has to be `newest_before` or a newer one.
    pub fn check(&self, answer: &Value, action: &Value, newest_before: u64) -> Result<()> {
        let number = self.number(answer)?;
        ensure!(number >= newest_before, "answered by checkpoint {number} when {newest_before} was there");
        let expected = self.actions[number as usize % GOOD.len()].get().context("not learnt")?;
        let found = action.as_f64().context("no action")?;
        ensure!((found - expected).abs() < 1e-5, "checkpoint {number} answers {expected}, not {found}");
        Ok(())
    }

    fn number(&self, answer: &Value) -> Result<u64> {
        let path = answer["model_path"].as_str().context("no model_path")?;
        let name = Path::new(path).file_name().and_then(|name| name.to_str()).context("no name")?;
        let number = name.strip_prefix("model_").and_then(|name| name.split('.').next()).context("another name")?;
        Ok(number.parse()?)
    }

    pub fn swap_until_over(&self, soak: &Soak) -> Result<()> {
        while soak.goes_on() {
            let number = self.published() + 1;
            self.publish(number)?;
            if number > KEPT {
                let old = self.good(number - KEPT - 1);
                // Its card goes last, so that the file is never without it.
                fs::remove_file(&old)?;
                let _ = fs::remove_file(card_of(&old));
            }
            thread::sleep(Duration::from_millis(700));
            if number.is_multiple_of(HOSTILE_EACH) {
                self.be_hostile(number / HOSTILE_EACH)?;
            }
            if number.is_multiple_of(RELOAD_EACH) {
                let reload = Connection::open(soak.server.address)
                    .and_then(|mut connection| connection.ask(&request("POST", "/sac/model/reload", "", "")));
                soak.record.count(format!("reload {}", reload.map_or(0, |answer| answer.status)));
            }
        }
        Ok(())
    }

    /// A file that is refused, or a folder with a checkpoint's name, for a while.
    fn be_hostile(&self, number: u64) -> Result<()> {
        let kinds = HOSTILE.len() as u64 + 2;
        let pause = || thread::sleep(Duration::from_millis(300));
        let kind = number % kinds;
        if let Some(name) = HOSTILE.get(kind as usize) {
            let hostile = self.path().join(format!("model_hostile.{}", extension(name)));
            self.rename(&file(name), &hostile)?;
            pause();
            return Ok(fs::remove_file(hostile)?);
        }
        let hostile = self.path().join("model_hostile.onnx");
        if kind + 1 == kinds {
            fs::create_dir(&hostile)?;
            pause();
            return Ok(fs::remove_dir(hostile)?);
        }
        let whole = file(GOOD[0]);
        self.rename(&whole[..whole.len() / 2], &hostile)?;
        pause();
        Ok(fs::remove_file(hostile)?)
    }

    fn publish(&self, number: u64) -> Result<()> {
        let (name, path) = (GOOD[number as usize % GOOD.len()], self.good(number));
        if let Some(card) = card(name) {
            self.rename(&card, &card_of(&path))?;
        }
        self.rename(&file(name), &path)?;
        self.published.store(number, Ordering::SeqCst);
        Ok(())
    }

    fn good(&self, number: u64) -> PathBuf {
        let extension = extension(GOOD[number as usize % GOOD.len()]);
        self.path().join(format!("model_{number:09}.{extension}"))
    }

    fn rename(&self, bytes: &[u8], to: &Path) -> Result<()> {
        let temporary = self.path().join("next.tmp");
        fs::write(&temporary, bytes)?;
        Ok(fs::rename(temporary, to)?)
    }
}

fn extension(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or_default()
}
