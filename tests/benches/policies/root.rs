//! The root folder: policies that differ in one bias, of which the actions are known, and folders with broken files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use sac_tests::{Answer, Golden, checkpoint, publish, request};
use serde_json::json;
use tempfile::TempDir;

pub const POLICIES: usize = 1000;
pub const BROKEN: usize = 100;

const NAME: &str = "stat_pair_03000";
/// The end of the tensor's name and the field that holds the bias of the mean, of four bytes, in the ONNX file.
const BIAS: &[u8] = b"mean.biasJ\x04";
/// The difference of the biases of two policies with neighbouring numbers, whose actions are farther apart than [`TOLERANCE`].
const STEP: f32 = 0.002;
const TOLERANCE: f64 = 1e-5;

pub struct Root {
    folder: TempDir,
    checkpoint: Vec<u8>,
    /// The position of the bias in the checkpoint.
    bias: usize,
    state: Vec<f64>,
    /// The mean that PyTorch computes for the state with the bias of the file.
    mean: f64,
}

impl Root {
    pub fn new() -> Result<Root> {
        let checkpoint = checkpoint(NAME);
        let found = checkpoint.windows(BIAS.len()).position(|window| window == BIAS);
        let bias = found.with_context(|| format!("{NAME} holds no bias of the mean"))? + BIAS.len();
        let golden = Golden::read();
        let policy = golden.policy(NAME);
        let (state, mean) = (policy.states().swap_remove(0), policy.rows("mean")[0][0]);
        let root = Root { folder: tempfile::tempdir()?, checkpoint, bias, state, mean };
        for number in 0..POLICIES {
            fs::create_dir(root.folder.path().join(name(number)))?;
            root.publish(number, 0)?;
        }
        for number in 0..BROKEN {
            let folder = root.folder.path().join(broken(number));
            fs::create_dir(&folder)?;
            fs::write(folder.join("model_a.onnx"), &root.checkpoint[..number * 1000])?;
        }
        Ok(root)
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn file(&self, number: usize) -> PathBuf {
        self.folder.path().join(name(number)).join("model_a.onnx")
    }

    /// Publishes a version of a policy's checkpoint by a rename.
    pub fn publish(&self, number: usize, version: usize) -> Result<()> {
        let mut bytes = self.checkpoint.clone();
        let field = bytes.get_mut(self.bias..self.bias + 4).context("the file ends in the bias")?;
        let own = f32::from_le_bytes(field.try_into()?);
        field.copy_from_slice(&(own + shift(number, version)).to_le_bytes());
        publish(&self.file(number), &bytes);
        Ok(())
    }

    pub fn predict(&self, path: &str) -> Vec<u8> {
        request("POST", path, "", json!({ "state": self.state }).to_string())
    }

    /// Checks that a version of a policy computed an answer.
    pub fn check(&self, number: usize, version: usize, answer: &Answer) -> Result<()> {
        ensure!(answer.status == 200, "{}: {}: {}", name(number), answer.status, answer.text());
        let action = answer.json()["action"].as_f64().context("no action")?;
        let expected = (self.mean + f64::from(shift(number, version))).tanh();
        ensure!((action - expected).abs() < TOLERANCE, "{} has the action {expected}, not {action}", name(number));
        Ok(())
    }
}

/// The amount by which the bias of a policy differs from that of the file. Two versions alternate, which no other policy has.
fn shift(number: usize, version: usize) -> f32 {
    let place = number + version % 2 * POLICIES;
    (place as f32 - POLICIES as f32 / 2.0) * STEP
}

pub fn name(number: usize) -> String {
    format!("policy_{number}")
}

pub fn broken(number: usize) -> String {
    format!("broken_{number}")
}
