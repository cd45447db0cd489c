//! Reads the pickles that Python itself writes: nested dicts of numpy's arrays or of tensors, and d3rlpy's files.

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use serde_json::Value;

use super::archive::Archive;
use super::contents::Contents;
use super::names::name;
use super::pickle::{Node, Pickle, read};
use super::{ZIP_MAGIC, torch};

/// The largest config of a d3rlpy file, in bytes.
const MAX_CONFIG: usize = 1 << 20;

/// Returns `true` if a file is a pickle. Protocols 0 and 1 have no mark of their own, so that the whole file decides.
pub fn is_pickle(bytes: &Bytes) -> bool {
    match bytes[..] {
        [0x80, version, ..] => (2..=5).contains(&version),
        [b'(' | b'c' | b'}' | b']', ..] => read(bytes).is_ok(),
        _ => false,
    }
}

/// Reads a pickle.
///
/// # Errors
///
/// Fails if it is damaged, or is something else than a checkpoint.
pub fn read_pickle(bytes: &Bytes) -> Result<Contents> {
    ensure!(
        !bytes[..bytes.len().min(4096)].windows(20).any(|at| at == b"joblib.numpy_pickle."),
        "the file is of joblib.dump, which is not read: save the state_dict by torch.save"
    );
    let pickle = read(bytes).context("the file is a pickle that cannot be read: save the state_dict by torch.save")?;
    if let Some(contents) = d3rlpy(&pickle)? {
        return Ok(contents);
    }
    if pickle.instance(pickle.root).is_some() {
        refuse_others(&name(&pickle, pickle.root))?;
    }
    let contents = torch::read_plain(&pickle)?;
    if contents.tensors().next().is_none() {
        let what = match pickle.node(pickle.root) {
            Node::Dict(_) => "a dict".to_owned(),
            Node::Sequence(_) => "a list".to_owned(),
            Node::Instance(_) | Node::Global(_) => format!("`{}`", name(&pickle, pickle.root)),
            _ => "a single value".to_owned(),
        };
        bail!("the file is a pickle of {what} without any tensor: a checkpoint of an actor is expected");
    }
    Ok(contents)
}

/// Refuses what trainers save beside checkpoints.
fn refuse_others(class: &str) -> Result<()> {
    let last = class.rsplit('.').next().unwrap_or(class);
    ensure!(
        !last.ends_with("ReplayBuffer") && !last.ends_with("RolloutBuffer") && !last.ends_with("ReplayMemory"),
        "the file is a replay buffer ({class}), not a checkpoint: give the model that was saved with it"
    );
    ensure!(
        last != "VecNormalize",
        "the file holds the statistics of VecNormalize, not a checkpoint: give the model that was saved with it"
    );
    Ok(())
}

/// Reads d3rlpy's `save`: a dict of `torch`, the bytes of a `torch.save`, and of `config`, text that is JSON. Its parameters
/// become settings such as `config.actor_encoder_factory.params.activation`. Returns `None` if the pickle is something else.
fn d3rlpy(pickle: &Pickle) -> Result<Option<Contents>> {
    let item = |key: &str| pickle.item(pickle.root, key);
    let tensors = item("torch").and_then(|tensors| pickle.bytes(tensors));
    let (Some(tensors), Some(config)) = (tensors, item("config").and_then(|config| pickle.text(config))) else {
        return Ok(None);
    };
    ensure!(tensors.starts_with(ZIP_MAGIC), "the `torch` of the file is not an archive of torch.save");
    let archive = Archive::open(&tensors).context("the `torch` of the file")?;
    let folder = torch::folder(&archive).context("the `torch` of the file is not an archive of torch.save")?;
    let mut contents = torch::read_archive(&archive, &folder).context("the `torch` of the file")?;
    ensure!(config.len() <= MAX_CONFIG, "the config of the file has more than {MAX_CONFIG} bytes");
    let config = serde_json::from_str::<Value>(config).context("the config of the file is not JSON")?;
    add_config(config, &mut contents)?;
    Ok(Some(contents))
}

/// Adds `{"observation_shape": …, "action_size": …, "config": {"type": …, "params": {…}}}` without the outer names.
fn add_config(mut config: Value, contents: &mut Contents) -> Result<()> {
    let mut algorithm = config.get_mut("config").map(Value::take).unwrap_or_default();
    let parameters = algorithm.get_mut("params").map(Value::take).unwrap_or_default();
    [config, algorithm, parameters].iter().try_for_each(|part| contents.insert_json("config", part))
}
