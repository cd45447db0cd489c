//! A scope: the tensors of a file under one prefix, among which an actor may be.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};

use super::batch_norm::BatchNorm;
use crate::file::{Contents, Tensor};
use crate::model::{LayerNorm, Linear};

/// Names under which trainers keep an actor, the surest first.
const ACTORS: &[&str] = &[
    "actor",
    "actor_state_dict",
    "pi",
    "policy",
    "policy_net",
    "actor_net",
    "policy_state_dict",
    "actor_local",
    "_actor",
    "actor_network_params",
    "actor_network",
    "policy_network",
    "action_model",
];
/// Names that do not say whether an actor is below.
const CONTAINERS: &[&str] = &[
    "state_dict",
    "model_state_dict",
    "model",
    "agent",
    "net",
    "params",
    "0",
    "network",
    "mlp",
    "layers",
    "_det_part",
];

/// Tensors of an actor that are settings and not layers.
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
    "action_range",
    "n_averaged",
    "state_avg",
    "state_std",
    "state_mean",
    "state_var",
];
const SETTING_SCOPES: &[&str] = &[
    "obs_rms.",
    "obs_normalizer.",
    "actor_obs_normalizer.",
    "config.",
    "args.",
    "action_space.",
    "observation_space.",
    "features_extractor._observation_space.",
    "action_dist.",
    "policy_kwargs.",
    "data.",
];
/// Names of a parameter with one standard deviation, or its logarithm, for each number of an action.
const STD_PARAMETERS: &[&str] = &[
    "log_std_parameter",
    "log_std",
    "logstd",
    "actor_logstd",
    "actor_log_std",
    "std",
    "sigma",
    "distribution.std_param",
    "distribution.log_std_param",
    "module.1.state_independent_scale",
];

/// The tensors whose names start with a prefix, by the rest of their names.
pub struct Scope<'a> {
    prefix: String,
    tensors: Vec<(&'a str, &'a Tensor)>,
    /// The number of layers outside of the scope that belong to no critic.
    others: usize,
}

/// Returns `true` if a part of a name belongs to something beside the actor: a critic, a target network, an optimizer.
pub fn is_foreign(part: &str) -> bool {
    let part = part.to_lowercase();
    let is_foreign = |word: &str| FOREIGN.contains(&word.trim_end_matches(|c: char| c.is_ascii_digit()));
    // MushroomRL has a network for log_std beside that of the mean.
    part.contains("ent_coef") || part == "_sigma_approximator" || part.split('_').any(is_foreign)
}

const FOREIGN: &[&str] = &[
    "critic",
    "critics",
    "target",
    "targets",
    "targ",
    "twin",
    "optim",
    "optimizer",
    "optimizers",
    "value",
    "values",
    "alpha",
    "q",
    "qf",
    "qs",
    "qvalue",
    "qnet",
    "temp",
    "temperature",
    "v",
    "vf",
    "ret",
];

/// Returns `true` if a tensor of a scope belongs to something beside the actor. If the scope is named as an actor, only a
/// whole network does; anything smaller is a part of the actor, whatever its name, and must be explained.
fn is_beside(prefix: &str, name: &str, tensor: &Tensor) -> bool {
    let mut parts = name.split('.');
    let first = parts.next().unwrap_or_default();
    let of_actor = prefix.split_terminator('.').next_back().is_some_and(|last| ACTORS.contains(&last));
    let is_temperature = ["log_alpha", "log_ent_coef"].contains(&name);
    // A lone layer is a head for one value, or a part of the actor by a misleading name.
    let depth = parts.count();
    let is_head = tensor.shape.first().is_none_or(|outputs| *outputs == 1);
    is_temperature || is_foreign(first) && (depth >= 2 || !of_actor && is_head)
}

impl<'a> Scope<'a> {
    /// Returns a scope for each prefix of a tensor's name, except those of critics and optimizers.
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
            let tensors = inside.filter(|(name, tensor)| !is_beside(&prefix, name, tensor)).collect();
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

    /// Returns the name of the scope for an error.
    pub fn name(&self) -> String {
        if self.prefix.is_empty() { "the root".to_owned() } else { format!("`{}`", self.prefix.trim_end_matches('.')) }
    }

    /// Ranks the scope by its prefix: the lower, the surer it is that this is the actor.
    pub fn rank(&self) -> usize {
        let parts = self.prefix.split_terminator('.').collect::<Vec<_>>();
        let actor = ACTORS.iter().position(|name| parts.contains(name));
        match actor {
            Some(rank) => rank,
            None if parts.iter().all(|part| CONTAINERS.contains(part)) => ACTORS.len(),
            None => ACTORS.len() + 1,
        }
    }

    /// Returns `true` if the prefix consists of names for actors and for what contains them.
    pub fn is_usual(&self) -> bool {
        self.rank() <= ACTORS.len()
            && self.prefix.split_terminator('.').all(|part| ACTORS.contains(&part) || CONTAINERS.contains(&part))
    }

    /// Returns `true` if the file has no other layers than these and those of critics.
    pub fn is_all(&self) -> bool {
        self.others == 0
    }

    pub fn has(&self, name: &str) -> bool {
        self.tensor(name).is_some()
    }

    /// Returns `true` if the scope has a parameter of one dimension.
    pub fn has_vector(&self, name: &str) -> bool {
        self.tensor(name).is_some_and(|tensor| !tensor.is_matrix())
    }

    fn tensor(&self, name: &str) -> Option<&'a Tensor> {
        self.tensors.iter().find(|(found, _)| *found == name).map(|(_, tensor)| *tensor)
    }

    /// Returns the names of the linear layers, which are those with a matrix of weights.
    pub fn layers(&self) -> Vec<String> {
        let matrices = self.tensors.iter().filter(|(_, tensor)| tensor.shape.len() == 2);
        matrices
            .filter_map(|(name, _)| name.strip_suffix(".weight").or((*name == "weight").then_some("")))
            .map(str::to_owned)
            .collect()
    }

    /// Returns the shape of a layer's weight, [outputs, inputs].
    pub fn shape(&self, layer: &str) -> Option<(usize, usize)> {
        let [outputs, inputs] = self.tensor(&format!("{layer}.weight"))?.shape[..] else { return None };
        Some((outputs, inputs))
    }

    /// Returns the name of a parameter for the standard deviation, if there is one.
    pub fn std_parameter(&self) -> Option<String> {
        STD_PARAMETERS.iter().find(|name| self.has_vector(name)).map(|name| (*name).to_owned())
    }

    /// Reads a parameter of one dimension, if there is one.
    pub fn vector(&self, name: &str) -> Option<Result<Vec<f64>>> {
        let tensor = self.tensor(name).filter(|tensor| tensor.shape.len() == 1)?;
        Some(tensor.numbers().with_context(|| format!("`{name}`")))
    }

    /// Reads the normalisation of a layer's outputs at this name, if there is one: a weight and a bias of one dimension.
    pub fn norm(&self, name: &str) -> Result<Option<LayerNorm>> {
        let part = |part: &str| self.tensor(&format!("{name}.{part}")).filter(|tensor| tensor.shape.len() == 1);
        let (Some(weight), Some(bias), None) = (part("weight"), part("bias"), part("running_mean")) else {
            return Ok(None);
        };
        let (weight, bias) = (floats(weight, &format!("{name}.weight"))?, floats(bias, &format!("{name}.bias"))?);
        Ok(Some(LayerNorm { name: name.to_owned(), weight, bias }))
    }

    /// Returns the tensors that are neither a part of these layers nor a setting.
    pub fn unexplained(&self, hidden: &[String], heads: &[&str]) -> Vec<&str> {
        let layers = hidden.iter().map(String::as_str).chain(heads.iter().copied()).collect::<Vec<_>>();
        let is_part = |name: &str, layer: &str| {
            name.strip_prefix(layer).is_some_and(|rest| ["", ".weight", ".bias"].contains(&rest))
        };
        // A normalisation stands in the series of a hidden layer, after it.
        let is_norm = |name: &String| matches!(self.norm(name), Ok(Some(_)));
        let norms = hidden.iter().flat_map(|layer| after(layer, &layers)).filter(is_norm).collect::<Vec<_>>();
        let of_layer = |name: &str| {
            layers.iter().any(|layer| is_part(name, layer)) || norms.iter().any(|norm| is_part(name, norm))
        };
        // A counter, or a dimension that was kept as a number.
        let is_number = |tensor: &Tensor| tensor.shape.is_empty() && !tensor.dtype.is_float();
        let unexplained = self.tensors.iter().filter(|(name, tensor)| {
            let known = of_layer(name) || is_setting(name) || is_number(tensor);
            !known && !BatchNorm::explains(self, hidden, heads, name)
        });
        unexplained.map(|(name, _)| *name).collect()
    }

    /// Counts the weights of layers and parameters.
    pub fn numel(&self, names: &[&str]) -> usize {
        let of = |name: &&str| self.tensor(name).or(self.tensor(&format!("{name}.weight"))).map_or(0, Tensor::numel);
        names.iter().map(of).fold(0, usize::saturating_add)
    }

    /// Reads a linear layer. If it has no bias, the bias is zero.
    pub fn linear(&self, name: &str) -> Result<Linear> {
        let weight = self.tensor(&format!("{name}.weight")).with_context(|| format!("`{name}` has no weight"))?;
        let [outputs, inputs] = weight.shape[..] else {
            anyhow::bail!("`{name}.weight` has the shape {:?}: [outputs, inputs] is expected", weight.shape);
        };
        let bias = match self.tensor(&format!("{name}.bias")) {
            None => vec![0.0; outputs],
            Some(bias) => {
                ensure!(
                    bias.shape == [outputs],
                    "`{name}.bias` has the shape {:?}: [{outputs}] is expected beside weights of {:?}",
                    bias.shape,
                    weight.shape
                );
                floats(bias, &format!("{name}.bias"))?
            }
        };
        let weight = floats(weight, &format!("{name}.weight"))?;
        Ok(Linear { name: name.to_owned(), inputs, outputs, weight, bias })
    }

    /// Reads a log_std that does not depend on the state, as a layer beside the mean's whose weights are zero.
    pub fn parameter(&self, name: &str, mean: &Linear) -> Result<Linear> {
        let tensor = self.tensor(name).with_context(|| format!("there is no parameter `{name}`"))?;
        let values = floats(tensor, name)?;
        ensure!(
            values.len() == mean.outputs,
            "`{name}` has the shape {:?}: one number for each of the {} of an action is expected",
            tensor.shape,
            mean.outputs
        );
        let weight = vec![0.0; mean.weight.len()];
        Ok(Linear { name: name.to_owned(), inputs: mean.inputs, outputs: mean.outputs, weight, bias: values })
    }
}

/// The most parts of a name that are tried as a prefix.
const MAX_DEPTH: usize = 16;
/// The most scopes that are tried.
const MAX_SCOPES: usize = 256;

fn floats(tensor: &Tensor, name: &str) -> Result<Vec<f32>> {
    ensure!(tensor.dtype.is_float(), "`{name}` is of {:?}, floating-point weights are expected", tensor.dtype);
    tensor.floats().with_context(|| format!("`{name}`"))
}

/// Returns the names that follow a layer in its series, as far as a normalisation of its outputs may stand: just after it, or with
/// the activation between, and before the next of the layers.
pub fn after(layer: &str, layers: &[&str]) -> Vec<String> {
    let Some((start, end)) = last_number(layer) else { return vec![] };
    let number = number(layer);
    let names = [1, 2].map(|step| format!("{}{}{}", &layer[..start], number + step, &layer[end..]));
    names.into_iter().take_while(|name| !layers.contains(&name.as_str())).collect()
}

fn is_setting(name: &str) -> bool {
    SETTINGS.contains(&name) || SETTING_SCOPES.iter().any(|scope| name.starts_with(scope))
}

/// Returns the name with its last number left open: `net.{n}` for `net.2`.
pub fn series(name: &str) -> String {
    match last_number(name) {
        Some((start, end)) => format!("{}{{n}}{}", &name[..start], &name[end..]),
        None => name.to_owned(),
    }
}

/// Returns the last number of a name, by which the layers of a trunk are in order.
pub fn number(name: &str) -> u64 {
    last_number(name).and_then(|(start, end)| name[start..end].parse().ok()).unwrap_or(0)
}

/// Returns the start and the end of the last number in a name.
fn last_number(name: &str) -> Option<(usize, usize)> {
    let end = name.rfind(|c: char| c.is_ascii_digit())? + 1;
    let start = name[..end]
        .rfind(|c: char| !c.is_ascii_digit())
        .map_or(0, |at| at + name[at..].chars().next().map_or(1, char::len_utf8));
    Some((start, end))
}
