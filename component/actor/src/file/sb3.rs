//! Reads the models of Stable-Baselines3: a zip archive of `policy.pth`, which `torch.save` wrote, and of `data`, JSON
//! that contains pickles in base64 for what JSON cannot express. Which policies and spaces are served is decided elsewhere.

use anyhow::{Context, Result, bail, ensure};
use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::archive::Archive;
use super::contents::{Contents, Leaf};
use super::flatten::flatten_values;
use super::last_observation::{self, LastObservation};
use super::names::name;
use super::pickle::{Id, Pickle, read};
use super::torch;

const POLICY: &str = "policy.pth";
const DATA: &str = "data";

/// The modules of the policies whose networks have ReLU between their layers unless `policy_kwargs` say otherwise.
const RELU: &[&str] = &[
    "sb3_contrib.crossq.policies.",
    "sb3_contrib.tqc.policies.",
    "stable_baselines3.sac.policies.",
    "stable_baselines3.td3.policies.",
];

/// The fields of `data` that are used. serde skips the others without storing them.
#[derive(Deserialize)]
struct Data<'a> {
    policy_class: Option<Class>,
    use_sde: Option<bool>,
    action_space: Option<Space>,
    observation_space: Option<Space>,
    /// Plain JSON, or a pickle if JSON cannot express them.
    #[serde(borrow)]
    policy_kwargs: Option<&'a RawValue>,
    /// The two parts of [`LastObservation`].
    #[serde(borrow, rename = "_last_obs")]
    observation_taken: Option<&'a RawValue>,
    #[serde(borrow, rename = "_last_original_obs")]
    observation_given: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Class {
    #[serde(rename = ":serialized:")]
    serialized: Option<String>,
    #[serde(rename = "__module__")]
    module: Option<String>,
}

#[derive(Deserialize)]
struct Space {
    /// `<class 'gymnasium.spaces.box.Box'>`.
    #[serde(rename = ":type:")]
    kind: Option<String>,
    #[serde(rename = ":serialized:")]
    serialized: Option<String>,
}

/// The most bytes of `policy_kwargs`. Real ones have some hundred, or some thousand if they define a class.
const MAX_KWARGS: usize = 1 << 20;

/// Returns `true` if the archive is a model of Stable-Baselines3.
pub fn is_model(archive: &Archive) -> bool {
    archive.entry(DATA).is_some() && (archive.entry(POLICY).is_some() || archive.entry("system_info.txt").is_some())
}

/// Reads the tensors of `policy.pth`, and the settings of `data` under their usual names: `policy_class`, `use_sde`,
/// `policy_kwargs.…`, `activation`, and of each space `….kind`, `….dtype` and `….shape`. The bounds of a Box are
/// `action_low`, `action_high`, `observation_low` and `observation_high`. Of a Dict, each part has them as
/// `observation_space.KEY.low` and `….high`, and its place in the order of the library as `….index`.
pub fn read_model(archive: &Archive) -> Result<Contents> {
    let entry = |name: &str| archive.entry(name).with_context(|| format!("the zip archive has no `{name}`"));
    ensure!(
        archive.entry(POLICY).is_some(),
        "the model is one of sbx, whose parameters only JAX reads: export the actor to ONNX"
    );
    let data = entry(DATA)?.read()?;
    let data = serde_json::from_slice::<Data>(&data).context("`data` is not the JSON that Stable-Baselines3 writes")?;
    let mut contents = torch::read_entry(entry(POLICY)?).context("`policy.pth`")?;
    add_policy(&data, &mut contents)?;
    add_space(data.action_space.as_ref(), "action", &mut contents)?;
    add_space(data.observation_space.as_ref(), "observation", &mut contents)?;
    let last = observation(data.observation_taken).zip(observation(data.observation_given));
    contents.last_observation = last.map(|(taken, given)| Box::new(LastObservation { taken, given }));
    Ok(contents)
}

fn add_policy(data: &Data, contents: &mut Contents) -> Result<()> {
    let class = data.policy_class.as_ref().context("`data` names no policy_class")?;
    let pickled = class.serialized.as_deref().and_then(|serialized| unpickle(serialized, class_name).ok()).flatten();
    let class = pickled.or_else(|| class.module.as_ref().map(|module| format!("{module}.?")));
    let class = class.context("the policy_class of `data` has no name")?;
    if let Some(use_sde) = data.use_sde {
        contents.insert("use_sde", Leaf::Numbers(vec![f64::from(use_sde)]))?;
    }
    let kwargs = kwargs(data.policy_kwargs).context("the policy_kwargs of `data` cannot be read")?;
    match kwargs.get("activation_fn") {
        Some(Leaf::Class(class)) => contents.insert("activation", Leaf::Class(class.clone()))?,
        Some(_) => bail!("the activation_fn of `data` is no class"),
        None if RELU.iter().any(|module| class.starts_with(module)) => {
            contents.insert("activation", Leaf::Class("torch.nn.modules.activation.ReLU".to_owned()))?;
        }
        None => {}
    }
    contents.insert("policy_class", Leaf::Class(class))?;
    contents.insert_all("policy_kwargs", kwargs)
}

fn kwargs(json: Option<&RawValue>) -> Result<Contents> {
    let mut kwargs = Contents::default();
    let Some(json) = json else { return Ok(kwargs) };
    ensure!(json.get().len() <= MAX_KWARGS, "they have more than {MAX_KWARGS} bytes");
    let json = serde_json::from_str::<Value>(json.get())?;
    match json.get(":serialized:") {
        Some(Value::String(serialized)) => unpickle(serialized, flatten_values),
        _ => kwargs.insert_json("", &json).map(|()| kwargs),
    }
}

/// Reads an observation under [`last_observation::NAME`]. One that cannot be read is no evidence.
fn observation(json: Option<&RawValue>) -> Option<Contents> {
    let json = json.filter(|json| json.get().len() <= last_observation::MAX_BYTES)?;
    let json = serde_json::from_str::<Value>(json.get()).ok()?;
    let read = unpickle(json.get(":serialized:")?.as_str()?, flatten_values).ok()?;
    let mut observation = Contents::default();
    observation.insert_all(last_observation::NAME, read).ok()?;
    Some(observation)
}

/// Adds what is known about a space. What cannot be read is left out.
fn add_space(space: Option<&Space>, which: &str, contents: &mut Contents) -> Result<()> {
    let name = format!("{which}_space");
    let space = space.with_context(|| format!("the {name} of `data` is missing"))?;
    let kind = space.kind.as_deref().unwrap_or_default().trim_start_matches("<class '").trim_end_matches("'>");
    contents.insert(&format!("{name}.kind"), Leaf::Class(kind.to_owned()))?;
    let Some(serialized) = &space.serialized else { return Ok(()) };
    let found = unpickle(serialized, |pickle| Ok((flatten_values(pickle)?, keys(pickle))));
    let (mut leaves, keys) = found.with_context(|| format!("the {name} of `data` cannot be read"))?;
    for bound in ["low", "high"] {
        if let Some(leaf) = leaves.remove(bound) {
            contents.insert(&format!("{which}_{bound}"), leaf)?;
        }
    }
    add_facts(&mut leaves, "", &name, contents)?;
    for (index, key) in keys.iter().enumerate() {
        let (from, to) = (format!("spaces.{key}."), format!("{name}.{key}"));
        if let Some(Leaf::Class(kind)) = leaves.remove(&format!("spaces.{key}")) {
            contents.insert(&format!("{to}.kind"), Leaf::Class(kind))?;
        }
        contents.insert(&format!("{to}.index"), Leaf::Numbers(vec![index as f64]))?;
        add_facts(&mut leaves, &from, &to, contents)?;
    }
    Ok(())
}

/// Adds the bounds, the type and the shape of a space.
fn add_facts(leaves: &mut Contents, from: &str, to: &str, contents: &mut Contents) -> Result<()> {
    for (fact, names) in
        [("low", &["low"][..]), ("high", &["high"]), ("dtype", &["dtype"]), ("shape", &["shape", "_shape"])]
    {
        let found = names.iter().find_map(|name| leaves.remove(&format!("{from}{name}")));
        let leaf = match found {
            // Old versions of gym keep numpy's class.
            Some(Leaf::Class(class)) => Leaf::Text(class.trim_start_matches("numpy.").to_owned()),
            Some(leaf) => leaf,
            None => continue,
        };
        contents.insert(&format!("{to}.{fact}"), leaf)?;
    }
    Ok(())
}

/// Returns the keys of a Dict space in its own order, which is that of the library's networks.
fn keys(pickle: &Pickle) -> Vec<String> {
    let state = pickle.instance(pickle.root).and_then(|space| space.state);
    let Some(spaces) = state.and_then(|state| pickle.item(state, "spaces")) else { return vec![] };
    let items = match pickle.instance(spaces) {
        Some(dict) => dict.items.as_slice(),
        None => pickle.dict(spaces).unwrap_or_default(),
    };
    items.iter().filter_map(|(key, _): &(Id, Id)| pickle.text(*key)).map(str::to_owned).collect()
}

/// Returns the name of the class that a pickle is.
fn class_name(pickle: &Pickle) -> Result<Option<String>> {
    let is_class = pickle.global(pickle.root).is_some() || pickle.instance(pickle.root).is_some();
    Ok(is_class.then(|| name(pickle, pickle.root)))
}

fn unpickle<T>(serialized: &str, read_as: impl Fn(&Pickle) -> Result<T>) -> Result<T> {
    let bytes = Bytes::from(BASE64_STANDARD.decode(serialized).context("the pickle is not base64")?);
    read_as(&read(&bytes)?)
}
