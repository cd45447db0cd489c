//! Reads the models of Stable-Baselines3: a zip archive of `policy.pth`, which `torch.save` wrote, and of `data`, JSON
//! that contains pickles in base64 for what JSON cannot express.

use anyhow::{Context, Result, bail, ensure};
use base64::prelude::{BASE64_STANDARD, Engine};
use serde::Deserialize;

use super::archive::Archive;
use super::contents::{Contents, Leaf};
use super::flatten::{CALLS, flatten};
use super::pickle::read;
use super::torch;

const POLICY: &str = "policy.pth";
const DATA: &str = "data";

/// The modules of the libraries' policies with SAC's actor. A policy of the user's own is accepted if its tensors fit.
const ACTORS: &[&str] = &["stable_baselines3.sac.", "sb3_contrib.tqc."];
const LIBRARIES: &[&str] = &["stable_baselines3.", "sb3_contrib."];

/// The fields of `data` that are used. serde skips the others without storing them.
#[derive(Deserialize)]
struct Data {
    policy_class: Option<Class>,
    use_sde: Option<bool>,
    action_space: Option<Space>,
    observation_space: Option<Space>,
    policy_kwargs: Option<Kwargs>,
}

#[derive(Deserialize)]
struct Class {
    #[serde(rename = "__module__")]
    module: Option<String>,
}

#[derive(Deserialize)]
struct Space {
    #[serde(rename = ":type:")]
    kind: Option<String>,
    dtype: Option<String>,
    #[serde(rename = ":serialized:")]
    serialized: Option<String>,
}

/// `policy_kwargs`. If JSON can express them, they are plain and name neither an activation nor an extractor.
#[derive(Deserialize)]
struct Kwargs {
    #[serde(rename = ":serialized:")]
    serialized: Option<String>,
}

/// Returns `true` if the archive is a model of Stable-Baselines3.
pub fn is_model(archive: &Archive) -> bool {
    archive.entry(POLICY).is_some() && archive.entry(DATA).is_some()
}

/// Reads the tensors of `policy.pth`, and the settings of `data` under their usual names.
pub fn read_model(archive: &Archive) -> Result<Contents> {
    let entry = |name: &str| archive.entry(name).with_context(|| format!("the zip archive has no `{name}`"));
    let data = serde_json::from_slice::<Data>(&entry(DATA)?.read()?)
        .context("`data` is not the JSON that Stable-Baselines3 writes")?;
    check_algorithm(&data)?;
    let policy = Archive::nested(entry(POLICY)?).context("`policy.pth`")?;
    let folder = torch::folder(&policy).context("`policy.pth` is not an archive of torch.save")?;
    let mut contents = torch::read_archive(&policy, &folder).context("`policy.pth`")?;
    take_space(data.action_space.as_ref(), "action_space", ["action_low", "action_high"], &mut contents)?;
    let bounds = ["observation_low", "observation_high"];
    take_space(data.observation_space.as_ref(), "observation_space", bounds, &mut contents)?;
    contents.insert("activation", Leaf::Class(activation(&data)?))?;
    Ok(contents)
}

fn check_algorithm(data: &Data) -> Result<()> {
    let policy = data.policy_class.as_ref().context("`data` names no policy_class")?;
    let policy = policy.module.as_deref().context("the policy_class of `data` has no module")?;
    let is_of = |modules: &[&str]| modules.iter().any(|module| policy.starts_with(module));
    ensure!(
        is_of(ACTORS) || !is_of(LIBRARIES),
        "the model of Stable-Baselines3 has the policy of `{policy}`: SAC's or TQC's is expected"
    );
    ensure!(
        data.use_sde != Some(true),
        "the model explores by gSDE (use_sde=True), which is not served: its actions need more than a log_std"
    );
    Ok(())
}

fn take_space(space: Option<&Space>, name: &str, names: [&str; 2], contents: &mut Contents) -> Result<()> {
    let in_space = |problem: &str| format!("the {name} of `data` {problem}");
    let space = space.with_context(|| in_space("is missing"))?;
    let kind = space.kind.as_deref().unwrap_or_default();
    ensure!(kind.contains(".box.Box"), "{}", in_space(&format!("is {kind}: a Box is expected")));
    ensure!(space.dtype.as_deref() != Some("uint8"), "{}", in_space("is of images, which are not served"));
    let serialized = space.serialized.as_deref().with_context(|| in_space("has no pickle"))?;
    let mut leaves = unpickle(serialized).with_context(|| in_space("cannot be read"))?;
    for (bound, name) in ["low", "high"].into_iter().zip(names) {
        let leaf = leaves.remove(bound).with_context(|| in_space(&format!("has no `{bound}`")))?;
        contents.insert(name, leaf)?;
    }
    Ok(())
}

/// Returns the class of `policy_kwargs["activation_fn"]`, or SACPolicy's default.
fn activation(data: &Data) -> Result<String> {
    const DEFAULT: &str = "torch.nn.modules.activation.ReLU";
    let Some(serialized) = data.policy_kwargs.as_ref().and_then(|kwargs| kwargs.serialized.as_deref()) else {
        return Ok(DEFAULT.to_owned());
    };
    let mut kwargs = unpickle(serialized).context("the policy_kwargs of `data` cannot be read")?;
    if let Some(Leaf::Class(extractor)) = kwargs.get("features_extractor_class") {
        ensure!(
            extractor.ends_with(".FlattenExtractor"),
            "the model has the features extractor {extractor}: a FlattenExtractor is expected"
        );
    }
    match kwargs.remove("activation_fn") {
        Some(Leaf::Class(class)) => Ok(class),
        Some(_) => bail!("the activation_fn of `data` is no class"),
        None => Ok(DEFAULT.to_owned()),
    }
}

fn unpickle(serialized: &str) -> Result<Contents> {
    let bytes = BASE64_STANDARD.decode(serialized).context("the pickle is not base64")?;
    flatten(&read(&bytes, CALLS)?, &|_, _| Ok(None))
}
