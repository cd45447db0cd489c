//! A part of a file in which an actor may lie.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};

use crate::file::contents::Contents;
use crate::file::tensor::Tensor;
use crate::model::mlp::Linear;

/// What an actor lies under, the surest first.
const ACTORS: &[&str] = &["actor", "actor_state_dict", "pi", "policy", "policy_net", "actor_net"];
/// What says nothing about it.
const CONTAINERS: &[&str] = &["state_dict", "model_state_dict", "model", "agent", "net", "params", "0"];

/// Tensors of an actor that are none of its layers.
const SETTINGS: &[&str] = &[
    "action_scale",
    "action_bias",
    "action_low",
    "action_high",
    "act_limit",
    "action_limit",
    "max_action",
    "obs_mean",
    "obs_var",
    "obs_std",
    "log_std_min",
    "log_std_max",
];
const SETTING_SCOPES: &[&str] =
    &["obs_rms.", "config.", "args.", "action_space.", "observation_space.", "features_extractor._observation_space."];

/// The tensors whose names start with a prefix, by the rest of their names.
pub struct Scope<'a> {
    prefix: String,
    tensors: Vec<(&'a str, &'a Tensor)>,
    /// How many layers lie outside of it that are of no critic.
    others: usize,
}

/// Whether a part of a name belongs to something beside the actor: a critic, a target network, an optimizer.
pub fn is_foreign(part: &str) -> bool {
    let part = part.to_lowercase();
    let is_foreign = |word: &str| FOREIGN.contains(&word.trim_end_matches(|c: char| c.is_ascii_digit()));
    part.contains("ent_coef") || part.split('_').any(is_foreign)
}

const FOREIGN: &[&str] = &[
    "critic",
    "critics",
    "target",
    "targets",
    "optim",
    "optimizer",
    "optimizers",
    "value",
    "values",
    "alpha",
    "q",
    "qf",
    "qs",
    "v",
    "vf",
    "ret",
];

/// Whether a tensor of a scope is of something else in it. Within what is named an actor, that is only a network of its
/// own: anything smaller is a part of the actor, by whatever name, and is to be explained.
fn is_beside(prefix: &str, name: &str) -> bool {
    let mut parts = name.split('.');
    let first = parts.next().unwrap_or_default();
    let of_actor = prefix.split_terminator('.').next_back().is_some_and(|last| ACTORS.contains(&last));
    let is_temperature = ["log_alpha", "log_ent_coef"].contains(&name);
    is_temperature || is_foreign(first) && (!of_actor || parts.count() >= 2)
}

impl<'a> Scope<'a> {
    /// Every place that the name of a tensor leads through, but those of critics and optimizers.
    pub fn all(contents: &'a Contents) -> Vec<Self> {
        let mut prefixes = BTreeSet::from([String::new()]);
        for (name, _) in contents.tensors() {
            let ends = name.match_indices('.').map(|(at, _)| &name[..=at]);
            prefixes.extend(ends.take(MAX_DEPTH).filter(|p| !p.split('.').any(is_foreign)).map(str::to_owned));
            if prefixes.len() > MAX_SCOPES {
                break;
            }
        }
        let scope = |prefix: String| {
            let inside = contents.tensors().filter_map(|(name, tensor)| Some((name.strip_prefix(&prefix)?, tensor)));
            let tensors = inside.filter(|(name, _)| !is_beside(&prefix, name)).collect();
            let outside = contents.tensors().filter(|(name, _)| !name.starts_with(&prefix));
            let matrices = outside.filter(|(name, tensor)| name.ends_with(".weight") && tensor.shape.len() == 2);
            let others = matrices.filter(|(name, _)| !name.split('.').any(is_foreign) && !is_setting(name)).count();
            Scope { prefix, tensors, others }
        };
        prefixes.into_iter().map(scope).collect()
    }

    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    pub fn name(&self) -> String {
        if self.prefix.is_empty() { "the root".to_owned() } else { format!("`{}`", self.prefix.trim_end_matches('.')) }
    }

    /// How sure it is that this is the actor; less is surer.
    pub fn rank(&self) -> usize {
        let parts = self.prefix.split_terminator('.').collect::<Vec<_>>();
        let actor = ACTORS.iter().position(|name| parts.contains(name));
        match actor {
            Some(rank) => rank,
            None if parts.iter().all(|part| CONTAINERS.contains(part)) => ACTORS.len(),
            None => ACTORS.len() + 1,
        }
    }

    /// Whether it bears no other names than actors do, and what they lie in.
    pub fn is_usual(&self) -> bool {
        self.rank() <= ACTORS.len()
            && self.prefix.split_terminator('.').all(|part| ACTORS.contains(&part) || CONTAINERS.contains(&part))
    }

    pub fn is_all(&self) -> bool {
        self.others == 0
    }

    pub fn has(&self, name: &str) -> bool {
        self.tensor(name).is_some()
    }

    fn tensor(&self, name: &str) -> Option<&'a Tensor> {
        self.tensors.iter().find(|(found, _)| *found == name).map(|(_, tensor)| *tensor)
    }

    /// The names of the linear layers: those with a matrix of weights.
    pub fn layers(&self) -> Vec<String> {
        let matrices = self.tensors.iter().filter(|(_, tensor)| tensor.shape.len() == 2);
        matrices
            .filter_map(|(name, _)| name.strip_suffix(".weight").or((*name == "weight").then_some("")))
            .map(str::to_owned)
            .collect()
    }

    /// The tensors that are no part of these layers, and no setting.
    pub fn unexplained(&self, layers: &[&str]) -> Vec<&str> {
        let of_layer = |name: &str| {
            layers
                .iter()
                .any(|layer| name.strip_prefix(layer).is_some_and(|rest| ["", ".weight", ".bias"].contains(&rest)))
        };
        self.tensors.iter().map(|(name, _)| *name).filter(|name| !of_layer(name) && !is_setting(name)).collect()
    }

    /// How many numbers layers or parameters hold, together.
    pub fn numel(&self, names: &[&str]) -> usize {
        let of = |name: &&str| self.tensor(name).or(self.tensor(&format!("{name}.weight"))).map_or(0, Tensor::numel);
        names.iter().map(of).fold(0, usize::saturating_add)
    }

    /// A linear layer; one without a bias has one of zeros.
    pub fn linear(&self, name: &str) -> Result<Linear> {
        let weight = self.tensor(&format!("{name}.weight")).context("a layer without weights")?;
        let [outputs, inputs] = weight.shape[..] else {
            anyhow::bail!("`{name}.weight` is of shape {:?}, [outputs, inputs] is expected", weight.shape);
        };
        let bias = match self.tensor(&format!("{name}.bias")) {
            None => vec![0.0; outputs],
            Some(bias) => {
                ensure!(
                    bias.shape == [outputs],
                    "`{name}.bias` is of shape {:?}, [{outputs}] is expected beside weights of {:?}",
                    bias.shape,
                    weight.shape
                );
                floats(bias, &format!("{name}.bias"))?
            }
        };
        let weight = floats(weight, &format!("{name}.weight"))?;
        Ok(Linear { name: name.to_owned(), inputs, outputs, weight, bias })
    }

    /// A log_std that does not depend on the state, as a layer beside the mean's.
    pub fn parameter(&self, name: &str, mean: &Linear) -> Result<Linear> {
        let tensor = self.tensor(name).context("no such parameter")?;
        let values = floats(tensor, name)?;
        ensure!(
            values.len() == mean.outputs,
            "`{name}` is of shape {:?}, a number for each of the {} of the action is expected",
            tensor.shape,
            mean.outputs
        );
        let weight = vec![0.0; mean.weight.len()];
        Ok(Linear { name: name.to_owned(), inputs: mean.inputs, outputs: mean.outputs, weight, bias: values })
    }
}

/// Names lie no deeper in a file that a trainer wrote.
const MAX_DEPTH: usize = 16;
const MAX_SCOPES: usize = 256;

fn floats(tensor: &Tensor, name: &str) -> Result<Vec<f32>> {
    ensure!(tensor.dtype.is_float(), "`{name}` is of {:?}, floating-point weights are expected", tensor.dtype);
    tensor.floats().with_context(|| format!("`{name}`"))
}

fn is_setting(name: &str) -> bool {
    SETTINGS.contains(&name) || SETTING_SCOPES.iter().any(|scope| name.starts_with(scope))
}

/// The name with its last number left open: `net.{n}` of `net.2`.
pub fn series(name: &str) -> String {
    match last_number(name) {
        Some((start, end)) => format!("{}{{n}}{}", &name[..start], &name[end..]),
        None => name.to_owned(),
    }
}

/// That number; numbers order as numbers do.
pub fn number(name: &str) -> u64 {
    last_number(name).and_then(|(start, end)| name[start..end].parse().ok()).unwrap_or(0)
}

fn last_number(name: &str) -> Option<(usize, usize)> {
    let end = name.rfind(|c: char| c.is_ascii_digit())? + 1;
    let start = name[..end]
        .rfind(|c: char| !c.is_ascii_digit())
        .map_or(0, |at| at + name[at..].chars().next().map_or(1, char::len_utf8));
    Some((start, end))
}
