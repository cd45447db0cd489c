//! Reads the pickle that Stable-Baselines3's `VecNormalize.save` writes beside a model.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;

use super::contents::Contents;
use super::flatten::flatten_values;
use super::pickle::read;

/// The name of each statistic in the pickle, and the name of the setting that it becomes.
const VALUES: [(&str, &str); 4] =
    [("obs_rms.mean", "obs_mean"), ("obs_rms.var", "obs_var"), ("clip_obs", "clip_obs"), ("epsilon", "obs_epsilon")];

/// Adds the statistics of observations to the content of a file, which must have none of its own. A file that does not
/// normalise observations adds nothing.
pub fn add(bytes: &[u8], contents: &mut Contents) -> Result<()> {
    let bytes = Bytes::copy_from_slice(bytes);
    let mut found = flatten_values(&read(&bytes)?)?;
    let normalises = found.get("norm_obs").and_then(|flag| flag.numbers().ok().flatten());
    if normalises == Some(vec![0.0]) {
        return Ok(());
    }
    for (path, name) in VALUES {
        ensure!(contents.get(name).is_none(), "the checkpoint has an `{name}` of its own");
        let value = found.remove(path).with_context(|| format!("it holds no `{path}`"))?;
        contents.insert(name, value)?;
    }
    Ok(())
}
