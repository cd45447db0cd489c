//! The settings of a policy: what a file contains beside the actor's tensors. A setting that is ambiguous or cannot be
//! honoured is an error, never a guess.

mod activation;
mod bounds;
mod code;
mod lost_statistics;
mod normalisation;

use anyhow::{Context, Result, bail, ensure};

use crate::file::{Contents, Leaf};
use crate::model::{Bounds, LogStd, Squash};
pub use activation::Named;
pub use lost_statistics::{Check, LostStatistics};
pub use normalisation::{Unexplained, refuse};

/// The settings that a file contains for the actor under a prefix such as `actor.`.
pub struct PolicySettings<'a> {
    contents: &'a Contents,
    scope: &'a str,
    /// The prefixes under which settings are looked up, in this order.
    prefixes: Vec<String>,
}

impl<'a> PolicySettings<'a> {
    pub fn new(contents: &'a Contents, scope: &'a str) -> Self {
        let mut prefixes = prefixes(scope);
        prefixes.retain(|prefix| contents.has_below(prefix));
        PolicySettings { contents, scope, prefixes }
    }

    /// Checks a dimension of the network against the setting that has any of these names.
    pub fn check_dimension(&self, names: &[&str], found: usize) -> Result<()> {
        let set = names.iter().filter_map(|name| self.numbers(&[name]).transpose()).collect::<Result<Vec<_>>>()?;
        match set.first() {
            Some((name, first)) if !set.iter().any(|(_, numbers)| *numbers == [found as f64]) => {
                let set = if let [number] = first[..] { number.to_string() } else { format!("{first:?}") };
                bail!("`{name}` says {set}, but the network has {found}")
            }
            _ => Ok(()),
        }
    }

    /// Returns the bounds of observations in training, which are reported and not applied.
    pub fn observation_bounds(&self) -> Result<Option<Bounds>> {
        let bound = |name| anyhow::Ok(self.numbers(&[name])?.map(|(_, numbers)| numbers));
        let bounds = bound("observation_low")?.zip(bound("observation_high")?);
        Ok(bounds.map(|(low, high)| Bounds { low, high }))
    }

    /// Returns `true` if the file is a checkpoint of an agent of skrl, which keeps the networks of SAC under these names.
    pub fn is_of_skrl(&self) -> bool {
        let has = |name: &str| self.contents.has_below(name);
        self.scope == "policy." && ["critic_1.", "target_critic_1.", "entropy_optimizer."].into_iter().all(has)
    }

    /// Returns the first class whose name in the file ends with `suffix`, such as `distribution_class`, with that name.
    pub fn class_at(&self, suffix: &str) -> Option<(&'a str, &'a str)> {
        self.contents.iter().find_map(|(name, leaf)| match leaf {
            Leaf::Class(class) if name.ends_with(suffix) => Some((name, class.as_str())),
            _ => None,
        })
    }

    /// Returns the name of the first object whose class ends with `suffix`, such as `NormalParamExtractor`.
    pub fn object_of(&self, suffix: &str) -> Option<&'a str> {
        self.contents.iter().find_map(|(name, leaf)| match leaf {
            Leaf::Class(class) if class.ends_with(suffix) => Some(name),
            _ => None,
        })
    }

    /// Returns the class of the object that the file is, if it is one.
    pub fn root_class(&self) -> Option<&'a str> {
        self.contents.root_class()
    }

    /// Returns the keys of a Dict observation space in the order in which its library concatenates them.
    pub fn observation_keys(&self) -> Vec<&'a str> {
        self.contents.observation_keys()
    }

    /// Fails for observations that are images: of uint8, in three dimensions. Stable-Baselines3 divides those by 255, and takes
    /// the numbers of any other space as they are (`stable_baselines3/common/preprocessing.py`).
    pub fn check_observations(&self) -> Result<()> {
        let image = self.contents.iter().find(|(name, leaf)| {
            let space = name.strip_suffix("dtype").filter(|space| self.is_of_observations(space));
            let is_uint8 = matches!(leaf, Leaf::Text(text) | Leaf::Class(text) if text.ends_with("uint8"));
            is_uint8 && space.is_some_and(|space| self.shape(space).is_none_or(|shape| shape.len() == 3))
        });
        ensure!(
            image.is_none(),
            "the policy takes images (`{}` is uint8, in three dimensions), which are not served",
            image.map_or("", |(name, _)| name)
        );
        Ok(())
    }

    /// Returns `true` if a name is that of the actor's observation space, of one around it, or of a part of it.
    /// `model.policy.save` keeps it below `data`.
    fn is_of_observations(&self, space: &str) -> bool {
        let names = ["observation_space.", "_observation_space."];
        let mut starts = names.iter().flat_map(|name| space.match_indices(name)).map(|(at, _)| &space[..at]);
        let is_path = |before: &str| before.is_empty() || before.ends_with('.');
        let is_near =
            |before: &str| before == "data." || self.scope.starts_with(before) || before.starts_with(self.scope);
        starts.any(|before| is_path(before) && is_near(before))
    }

    /// Returns the shape of a space of gymnasium, as a model names it or as the attribute of the object.
    fn shape(&self, space: &str) -> Option<Vec<f64>> {
        ["shape", "_shape"].iter().find_map(|name| self.contents.get(&format!("{space}{name}"))?.numbers().ok()?)
    }

    /// Returns the squash that a config names, and its name there: a text, or a flag.
    pub fn squash_setting(&self) -> Option<(Squash, String)> {
        let named = |name: &str| format!("`{name}`");
        let text = match self.text(&["squash", "squash_fn"]) {
            Some("tanh") => Some(Squash::Tanh),
            Some("none" | "identity") => Some(Squash::None),
            _ => None,
        };
        if let Some(squash) = text {
            return Some((squash, named("squash")));
        }
        const FLAGS: [&str; 6] =
            ["squash", "squash_output", "tanh_squash", "use_tanh", "squash_action", "squash_actions"];
        let flag = FLAGS.iter().find_map(|name| Some((self.number(&[name])?, named(name))));
        flag.map(|(flag, name)| (if flag == 0.0 { Squash::None } else { Squash::Tanh }, name))
    }

    /// Returns the name of a setting that says that the policy is no SAC, TD3 or DDPG: a Gaussian, or another algorithm.
    pub fn other_algorithm(&self) -> Option<String> {
        const OTHERS: [&str; 9] = ["gaussian", "ppo", "a2c", "a3c", "trpo", "reinforce", "vpg", "dqn", "categorical"];
        ["kind", "algo", "algorithm", "algo_name", "agent", "agent_type", "policy_type"].iter().find_map(|name| {
            let text = self.text(&[name])?.to_lowercase();
            let is_other = text.split(|c: char| !c.is_alphanumeric()).any(|word| OTHERS.contains(&word));
            is_other.then(|| format!("`{name}`"))
        })
    }

    /// Refuses the algorithms of d3rlpy whose policies are discrete, or correct the action of another network.
    pub fn check_d3rlpy(&self) -> Result<()> {
        const SERVED: [&str; 12] =
            ["sac", "cql", "cal_ql", "awac", "iql", "crr", "td3", "ddpg", "td3_plus_bc", "rebrac", "bc", "prdc"];
        let is_d3rlpy = self.contents.has_below("config.actor_encoder_factory.")
            || self.contents.has_below("config.encoder_factory.");
        match self.text(&["config.type"]) {
            Some(kind) if is_d3rlpy && !SERVED.contains(&kind) => {
                bail!("the model is of d3rlpy's `{kind}`, which is not served: export it by save_policy")
            }
            _ => Ok(()),
        }
    }

    /// Refuses settings that change a state before it reaches the network and are not read.
    pub fn check_scaling(&self) -> Result<()> {
        const SCALARS: [&str; 8] = [
            "obs_scale",
            "obs_scales",
            "state_scale",
            "input_scale",
            "state_shift",
            "input_shift",
            "obs_shift",
            "temperature",
        ];
        const VECTORS: [&str; 4] = ["input_mean", "input_std", "state_offset", "obs_offset"];
        for name in SCALARS.iter().chain(&VECTORS) {
            if let Some((name, numbers)) = self.numbers(&[name])? {
                let is_neutral = numbers.iter().all(|number| *number == 1.0);
                ensure!(
                    is_neutral,
                    "`{name}` is {numbers:?}, which nothing here applies: fold it into obs_mean and obs_std of a card"
                );
            }
        }
        const FLAGS: [&str; 3] = ["layer_norm", "use_layer_norm", "layernorm"];
        let flag = FLAGS.iter().find(|name| self.number(&[name]).is_some_and(|flag| flag != 0.0));
        let has_norm = self
            .contents
            .tensors()
            .any(|(name, tensor)| name.starts_with(self.scope) && name.ends_with(".weight") && tensor.shape.len() == 1);
        ensure!(
            flag.is_none() || has_norm,
            "`{}` is set, and the actor has no weights of a LayerNorm: one without weights is not served",
            flag.unwrap_or(&"")
        );
        Ok(())
    }

    /// Returns the first setting with one of these names, as text.
    pub fn text(&self, names: &[&str]) -> Option<&'a str> {
        match self.find(names)? {
            (_, Leaf::Text(text) | Leaf::Class(text)) => Some(text),
            _ => None,
        }
    }

    /// Returns the first setting with one of these names, as one number. `true` is 1.
    pub fn number(&self, names: &[&str]) -> Option<f64> {
        self.numbers(names).ok().flatten().and_then(|(_, numbers)| numbers.first().copied())
    }

    /// Returns the layout's rule for log_std, with the bounds that the file sets.
    pub fn log_std(&self, rule: LogStd) -> Result<LogStd> {
        if let Some((name, bounds)) = self.numbers(&["log_std_bounds"])? {
            let [low, high] = bounds[..] else { bail!("`{name}` is {bounds:?}: two numbers are expected") };
            return Ok(rule.within(low as f32, high as f32));
        }
        let bound = |name| anyhow::Ok(self.numbers(&[name])?.map(|(_, numbers)| numbers[0] as f32));
        let (LogStd::Clamped { low, high } | LogStd::Squashed { low, high }) = rule;
        let (low, high) = (bound("log_std_min")?.unwrap_or(low), bound("log_std_max")?.unwrap_or(high));
        ensure!(low < high, "log_std is bounded by {low} and {high}: the first must be below the second");
        Ok(rule.within(low, high))
    }

    /// Returns the first setting with one of these names under a prefix, as `dimensions` numbers. A single number stands
    /// for all of them.
    fn values_at(&self, prefix: &str, names: &[&str], dimensions: usize) -> Result<Option<Vec<f64>>> {
        let Some((name, leaf)) = names.iter().find_map(|name| self.at(prefix, name)) else { return Ok(None) };
        if let Leaf::Text(_) = leaf {
            return Ok(None);
        }
        let (name, numbers) = numbers(name, leaf)?;
        match numbers[..] {
            [number] => Ok(Some(vec![number; dimensions])),
            _ if numbers.len() == dimensions => Ok(Some(numbers)),
            _ => bail!("`{name}` has {} numbers: {dimensions} are expected", numbers.len()),
        }
    }

    fn numbers(&self, names: &[&str]) -> Result<Option<(&'a str, Vec<f64>)>> {
        self.find(names).map(|(name, leaf)| numbers(name, leaf)).transpose()
    }

    /// Returns the first of these names under the first prefix that has any.
    fn find(&self, names: &[&str]) -> Option<(&'a str, &'a Leaf)> {
        self.prefixes.iter().find_map(|prefix| names.iter().find_map(|name| self.at(prefix, name)))
    }

    fn at(&self, prefix: &str, name: &str) -> Option<(&'a str, &'a Leaf)> {
        self.contents.entry(&format!("{prefix}{name}"))
    }
}

/// Returns the prefixes of settings in the order in which they count: the actor itself, the actor's part of a config, a
/// config, whatever contains the actor, and the root. A setting anywhere else belongs to something else.
fn prefixes(scope: &str) -> Vec<String> {
    let configs = CONFIGS.iter().map(|config| format!("{config}."));
    let actors = configs.clone().flat_map(|config| ACTORS.map(|actor| format!("{config}{actor}.")));
    let around = scope.match_indices('.').map(|(at, _)| scope[..=at].to_owned()).rev();
    let mut prefixes = vec![scope.to_owned()];
    prefixes.extend(actors.chain(configs).chain(around).chain([String::new()]));
    prefixes
}

/// Names that trainers give to a config.
const CONFIGS: [&str; 9] =
    ["config", "cfg", "args", "hparams", "hyper_parameters", "hyperparameters", "kwargs", "params", "data"];
/// Names that trainers give to the actor's part of a config.
const ACTORS: [&str; 6] = ["actor", "policy", "pi", "agent", "network", "model"];

/// The most numbers that a setting may have.
const MAX_NUMBERS: usize = 1 << 20;

fn numbers<'a>(name: &'a str, leaf: &Leaf) -> Result<(&'a str, Vec<f64>)> {
    if let Leaf::Tensor(tensor) = leaf {
        ensure!(tensor.numel() <= MAX_NUMBERS, "`{name}` has the shape {:?}: too large for a setting", tensor.shape);
    }
    let numbers = leaf.numbers().with_context(|| format!("`{name}`"))?.filter(|numbers| !numbers.is_empty());
    Ok((name, numbers.with_context(|| format!("`{name}` is not a number"))?))
}
