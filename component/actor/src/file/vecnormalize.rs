//! Reads the pickle that Stable-Baselines3's `VecNormalize.save` writes beside a model.

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;

use super::contents::{Contents, Leaf, Statistics};
use super::flatten::flatten_values;
use super::pickle::read;

/// The name of each statistic of states in the pickle, and of the setting that it becomes.
const STATISTICS: [(&str, &str); 2] = [("mean", "obs_mean"), ("var", "obs_var")];
/// The same for the numbers that all of them share.
const NUMBERS: [(&str, &str); 2] = [("clip_obs", "clip_obs"), ("epsilon", "obs_epsilon")];

/// Adds the statistics of observations to the content of a file, which must have none of its own. A file that does not
/// normalise observations adds nothing.
pub fn add(name: &str, bytes: &[u8], contents: &mut Contents) -> Result<()> {
    let bytes = Bytes::copy_from_slice(bytes);
    let mut found = flatten_values(&read(&bytes)?)?;
    let normalises = found.get("norm_obs").and_then(|flag| flag.numbers().ok().flatten());
    if normalises == Some(vec![0.0]) {
        return Ok(());
    }
    let count = found.iter().find(|(name, _)| name.starts_with("obs_rms.") && name.ends_with("count"));
    let count = count.map(|(_, leaf)| leaf.numbers()).transpose()?.flatten().and_then(|count| count.first().copied());
    contents.statistics = Some(Statistics { name: name.to_owned(), count: count.unwrap_or(f64::INFINITY) });
    let keys = contents.observation_keys().into_iter().map(str::to_owned).collect::<Vec<_>>();
    for (statistic, name) in STATISTICS {
        let value = match found.remove(&format!("obs_rms.{statistic}")) {
            Some(_) if !keys.is_empty() => bail!(
                "its statistics are those of one vector, and the model takes a Dict of {}: they are another model's",
                keys.join(", ")
            ),
            Some(value) => value,
            None => by_key(&found, statistic, &keys)?,
        };
        insert(name, value, contents)?;
    }
    for (path, name) in NUMBERS {
        insert(name, found.remove(path).with_context(|| format!("it holds no `{path}`"))?, contents)?;
    }
    Ok(())
}

fn insert(name: &str, value: Leaf, contents: &mut Contents) -> Result<()> {
    ensure!(contents.get(name).is_none(), "the checkpoint has an `{name}` of its own");
    contents.insert(name, value)
}

/// Returns a statistic of all keys of a Dict, in the order in which the model concatenates them.
fn by_key(found: &Contents, statistic: &str, keys: &[String]) -> Result<Leaf> {
    let of = |key: &str| found.get(&format!("obs_rms.{key}.{statistic}"));
    ensure!(found.has_below("obs_rms."), "it holds no `obs_rms`: a file that VecNormalize.save wrote is expected");
    ensure!(
        !keys.is_empty(),
        "its statistics are those of a Dict, and the checkpoint does not say the order of the keys: save the model by \
         model.save, or write obs_mean and obs_std into FILE.policy.json"
    );
    // One clip is applied to the whole state, and VecNormalize clips only what it normalises.
    let missing = keys.iter().filter(|key| of(key).is_none()).map(String::as_str).collect::<Vec<_>>();
    ensure!(
        missing.is_empty(),
        "it does not normalise {} of the Dict, and all keys or none are served: leave out norm_obs_keys, or save a program or \
         an ONNX graph that normalises",
        missing.join(", ")
    );
    let mut all = vec![];
    for key in keys {
        let numbers = of(key).map(Leaf::numbers).transpose()?.flatten();
        all.extend(numbers.with_context(|| format!("`obs_rms.{key}.{statistic}` is no array"))?);
    }
    Ok(Leaf::Numbers(all))
}
