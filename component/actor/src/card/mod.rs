//! The card: the facts of a policy that its trainer writes beside a checkpoint, in JSON. Nothing here reads a checkpoint.

mod examples;
mod template;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Map, Value};

pub use examples::{Example, is_near};
pub use template::{Missing, template};

use crate::model::{Activation, LogStd, Normalisation, Squash};
use crate::wit::{Sidecar, SidecarKind};

/// The facts that the cards of a checkpoint give.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// One activation for all hidden layers, or one for each.
    activation: Option<OneOrMany<String>>,
    action_low: Option<OneOrMany<f64>>,
    action_high: Option<OneOrMany<f64>>,
    action_bounds: Option<Unit>,
    squash: Option<SquashName>,
    log_std_min: Option<f32>,
    log_std_max: Option<f32>,
    obs_mean: Option<OneOrMany<f64>>,
    obs_std: Option<OneOrMany<f64>>,
    clip_obs: Option<f64>,
    #[serde(alias = "normalization")]
    normalisation: Option<String>,
    pub kind: Option<Kind>,
    /// The name of a graph's input.
    pub input: Option<String>,
    /// The names of a graph's outputs: the action, or the mean and the log_std.
    pub outputs: Option<Vec<String>>,
    /// Pairs of a state and the action that the trainer computes.
    #[serde(default)]
    pub examples: Vec<Example>,
}

/// The kind of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// tanh of a Gaussian whose mean and log_std depend on the state.
    Sac,
    /// One action for each state.
    Deterministic,
    /// A Gaussian whose mean is the action.
    Gaussian,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Sac => "sac",
            Kind::Deterministic => "deterministic",
            Kind::Gaussian => "gaussian",
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "one value or a list of values without null is expected")]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Unit {
    /// Actions stay within -1 and 1.
    Unit,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SquashName {
    Tanh,
    Clip,
    None,
}

impl<T> From<OneOrMany<T>> for Vec<T> {
    fn from(values: OneOrMany<T>) -> Self {
        match values {
            OneOrMany::One(value) => vec![value],
            OneOrMany::Many(values) => values,
        }
    }
}

/// The `normalisation` by the VecNormalize file beside the checkpoint.
const VECNORMALIZE: &str = "vecnormalize";

/// The bounds that a card or a flag gives.
#[derive(Debug, Clone, PartialEq)]
pub enum GivenBounds {
    /// -1 and 1.
    Unit,
    /// One number for each dimension, or one for all of them.
    Between(Vec<f64>, Vec<f64>),
}

/// The normalisation of states that a card gives.
#[derive(Debug, Clone)]
pub enum GivenNormalisation {
    /// States reach the network as they are: they were not normalised in training, or come normalised.
    None,
    /// By the VecNormalize file beside the checkpoint.
    Vecnormalize,
    By(Normalisation),
}

impl Card {
    /// Reads the cards beside a checkpoint. Its own card outranks that of the folder, fact by fact.
    ///
    /// # Errors
    ///
    /// Fails if a card is not JSON, has an unknown key, or contradicts itself.
    pub fn read(sidecars: &[Sidecar]) -> Result<Self> {
        let card = |kind: SidecarKind| {
            let sidecar = sidecars.iter().find(|sidecar| sidecar.kind == kind);
            sidecar.map(|sidecar| Card::parse(&sidecar.bytes).with_context(|| format!("the card `{}`", sidecar.name)))
        };
        let folder = card(SidecarKind::FolderCard).transpose()?.unwrap_or_default();
        ensure!(
            folder.examples.is_empty(),
            "the card of the folder has examples, which are those of one checkpoint: write them into FILE.policy.json"
        );
        Ok(card(SidecarKind::Card).transpose()?.unwrap_or_default().over(folder))
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let card = serde_json::from_slice::<Card>(bytes).map_err(|error| explain(error, bytes))?;
        ensure!(
            card.action_low.is_some() == card.action_high.is_some(),
            "it has only one of `action_low` and `action_high`: both are expected"
        );
        ensure!(
            card.action_bounds.is_none() || card.action_low.is_none(),
            "it has both `action_bounds` and `action_low`: one is expected"
        );
        ensure!(
            card.obs_mean.is_some() == card.obs_std.is_some(),
            "it has only one of `obs_mean` and `obs_std`: both are expected"
        );
        ensure!(
            card.clip_obs.is_none() || card.obs_mean.is_some(),
            "it has a `clip_obs` without an `obs_mean` and an `obs_std`"
        );
        // A string, because an enum would add 1 kB of code.
        let normalisation = card.normalisation.as_deref().unwrap_or("none");
        ensure!(
            ["none", VECNORMALIZE].contains(&normalisation),
            "`normalisation`: unknown value `{normalisation}`, expected `none` or `{VECNORMALIZE}`"
        );
        ensure!(
            card.normalisation.is_none() || card.obs_mean.is_none(),
            "its `normalisation` is {normalisation}, and it has an `obs_mean`: one of them is expected"
        );
        ensure!(
            card.log_std_min.is_some() == card.log_std_max.is_some(),
            "it has only one of `log_std_min` and `log_std_max`: both are expected"
        );
        card.activation()?;
        examples::check(&card.examples)?;
        Ok(card)
    }

    /// Returns the facts of this card, and those of another where this one has none. Facts that belong together are taken
    /// from one card.
    fn over(self, other: Card) -> Card {
        let has_bounds = self.action_low.is_some() || self.action_bounds.is_some();
        let bounds = if has_bounds { &self } else { &other };
        let (low, high, unit) = (bounds.action_low.clone(), bounds.action_high.clone(), bounds.action_bounds);
        let statistics = if self.gives_normalisation() { &self } else { &other };
        let (mean, std, clip) = (statistics.obs_mean.clone(), statistics.obs_std.clone(), statistics.clip_obs);
        let normalisation = statistics.normalisation.clone();
        Card {
            activation: self.activation.or(other.activation),
            action_low: low,
            action_high: high,
            action_bounds: unit,
            squash: self.squash.or(other.squash),
            log_std_min: self.log_std_min.or(other.log_std_min),
            log_std_max: self.log_std_max.or(other.log_std_max),
            obs_mean: mean,
            obs_std: std,
            clip_obs: clip,
            normalisation,
            kind: self.kind.or(other.kind),
            input: self.input.or(other.input),
            outputs: self.outputs.or(other.outputs),
            examples: self.examples,
        }
    }

    /// Returns the activations: one for all hidden layers, or one for each.
    pub fn activation(&self) -> Result<Option<Vec<Activation>>> {
        let names = match &self.activation {
            None => return Ok(None),
            Some(OneOrMany::One(name)) => std::slice::from_ref(name),
            Some(OneOrMany::Many(names)) => names,
        };
        ensure!(!names.is_empty(), "`activation` is an empty list");
        names.iter().map(|name| Activation::parse(name)).collect::<Result<_>>().map(Some)
    }

    /// Returns the bounds of actions.
    pub fn bounds(&self) -> Option<GivenBounds> {
        let list = |values: &OneOrMany<f64>| values.clone().into();
        match (&self.action_low, &self.action_high, self.action_bounds) {
            (Some(low), Some(high), _) => Some(GivenBounds::Between(list(low), list(high))),
            (_, _, Some(Unit::Unit)) => Some(GivenBounds::Unit),
            _ => None,
        }
    }

    /// Returns the normalisation of states of so many numbers.
    pub fn normalisation(&self, state_dim: usize) -> Result<Option<GivenNormalisation>> {
        let (Some(mean), Some(std)) = (&self.obs_mean, &self.obs_std) else {
            return Ok(self.normalisation.as_ref().map(|_| match self.uses_statistics() {
                true => GivenNormalisation::Vecnormalize,
                false => GivenNormalisation::None,
            }));
        };
        let all = |values: &OneOrMany<f64>| match values {
            OneOrMany::One(value) => vec![*value; state_dim],
            OneOrMany::Many(values) => values.clone(),
        };
        let (mean, std) = (all(mean), all(std));
        ensure!(
            mean.len() == state_dim && std.len() == state_dim,
            "`obs_mean` and `obs_std` of the card have {} and {} numbers: {state_dim} are expected",
            mean.len(),
            std.len()
        );
        Ok(Some(GivenNormalisation::By(Normalisation::new(&mean, &std, self.clip_obs)?)))
    }

    /// Returns `true` if the card says what is done to states first.
    pub fn gives_normalisation(&self) -> bool {
        self.obs_mean.is_some() || self.normalisation.is_some()
    }

    /// Returns `true` if the card says that the VecNormalize file beside the checkpoint counts.
    pub fn uses_statistics(&self) -> bool {
        self.normalisation.as_deref() == Some(VECNORMALIZE)
    }

    pub fn squash(&self) -> Option<Squash> {
        self.squash.map(|squash| match squash {
            SquashName::Tanh => Squash::Tanh,
            SquashName::Clip => Squash::Clamp,
            SquashName::None => Squash::None,
        })
    }

    /// Returns the layout's rule for log_std with the card's bounds, or a clamp to them if the layout has none.
    pub fn log_std(&self, rule: Option<LogStd>) -> Result<Option<LogStd>> {
        let (Some(low), Some(high)) = (self.log_std_min, self.log_std_max) else { return Ok(None) };
        if low >= high {
            bail!("log_std is bounded by {low} and {high}: the first must be below the second");
        }
        Ok(Some(rule.unwrap_or(LogStd::DEFAULT).within(low, high)))
    }
}

/// Names the key whose value is wrong, since a line and a column do not.
fn explain(error: serde_json::Error, bytes: &[u8]) -> anyhow::Error {
    if bytes.trim_ascii().is_empty() {
        return anyhow::anyhow!("it is empty: a JSON object of facts is expected");
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return anyhow::anyhow!("it is not UTF-8, as JSON is") };
    let entries = match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(entries)) => entries,
        Ok(_) => return anyhow::anyhow!("it is no JSON object"),
        Err(error) => return anyhow::anyhow!("it is not JSON: {error}"),
    };
    let alone = |(key, value): (String, Value)| {
        // Read from bytes, because reading it from a `Value` would add 20 kB of code.
        let entry = Value::Object(Map::from_iter([(key.clone(), value)])).to_string();
        let error = serde_json::from_slice::<Card>(entry.as_bytes()).err()?.to_string();
        // Its line and column are those of the entry alone.
        let error = error.split(" at line ").next().unwrap_or_default();
        Some(if error.starts_with("unknown field") {
            anyhow::anyhow!("{error}")
        } else {
            anyhow::anyhow!("`{key}`: {error}")
        })
    };
    entries.into_iter().find_map(alone).unwrap_or_else(|| error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sidecar(kind: SidecarKind, json: &str) -> Sidecar {
        Sidecar { kind, name: "policy.json".to_owned(), bytes: json.as_bytes().to_vec() }
    }

    fn refused(json: &str) -> String {
        format!("{:#}", Card::read(&[sidecar(SidecarKind::Card, json)]).expect_err(json))
    }

    #[test]
    fn the_checkpoints_own_card_outranks_the_folders_fact_by_fact() {
        let own = sidecar(SidecarKind::Card, r#"{"activation": "tanh"}"#);
        let folder = sidecar(SidecarKind::FolderCard, r#"{"activation": "relu", "action_bounds": "unit"}"#);
        let card = Card::read(&[folder, own]).unwrap();
        assert_eq!(card.activation().unwrap(), Some(vec![Activation::Tanh]));
        assert_eq!(card.bounds(), Some(GivenBounds::Unit));
    }

    #[test]
    fn bounds_are_numbers_or_lists() {
        let card = Card::read(&[sidecar(SidecarKind::Card, r#"{"action_low": -2, "action_high": [2, 1]}"#)]).unwrap();
        assert_eq!(card.bounds(), Some(GivenBounds::Between(vec![-2.0], vec![2.0, 1.0])));
    }

    #[test]
    fn a_card_that_is_not_understood_is_refused_in_words() {
        assert!(refused(r#"{"activatoin": "relu"}"#).contains("unknown field `activatoin`"));
        assert!(refused(r#"{"activation": "snake"}"#).contains("`snake` is none of relu"));
        assert!(refused(r#"{"action_low": -1}"#).contains("both are expected"));
        assert!(
            refused(r#"{"action_low": -1, "action_high": 1, "action_bounds": "unit"}"#).contains("one is expected")
        );
        assert!(!refused(r#"{"activaton": "relu"}"#).contains("line"));
        assert!(refused(r#"{"action_low": [null], "action_high": [1]}"#).contains("without null is expected"));
        assert!(refused("[1").contains("the card `policy.json`: it is not JSON"));
        assert_eq!(refused("\n"), "the card `policy.json`: it is empty: a JSON object of facts is expected");
        assert!(refused("[1]").contains("it is no JSON object"));
        let squash = refused("{\n  \"activation\": \"relu\",\n  \"squash\": \"tahn\"\n}");
        assert!(
            squash.contains("`squash`: unknown variant `tahn`, expected one of `tanh`, `clip`, `none`"),
            "{squash}"
        );
        let both = refused(r#"{"normalisation": "none", "obs_mean": [0], "obs_std": [1]}"#);
        assert!(both.contains("one of them is expected"), "{both}");
        let examples = r#"{"examples": [{"state": [1], "action": 2}]}"#;
        let folder = Card::read(&[sidecar(SidecarKind::FolderCard, examples)]).unwrap_err().to_string();
        assert!(folder.contains("FILE.policy.json"), "{folder}");
    }
}
