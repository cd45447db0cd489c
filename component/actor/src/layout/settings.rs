//! What stands in a file beside the tensors: bounds, activation, normalisation, dimensions.

use anyhow::{Context, Result, bail, ensure};

use crate::file::contents::{Contents, Leaf};
use crate::layout::{LogStd, is_foreign};
use crate::model::mlp::Activation;
use crate::model::policy::{Bounds, Normalisation};

/// The settings of a file, for the actor under a prefix such as `actor.`.
pub struct Settings<'a> {
    contents: &'a Contents,
    scope: &'a str,
    /// Where settings of the actor may stand and something stands, the surest place first.
    places: Vec<String>,
}

impl<'a> Settings<'a> {
    pub fn new(contents: &'a Contents, scope: &'a str) -> Self {
        let mut places = places(scope);
        places.retain(|place| contents.has_below(place));
        Settings { contents, scope, places }
    }

    /// Checks a dimension of the network against what the file says of it, under any of these names.
    pub fn check_dimension(&self, names: &[&str], found: usize) -> Result<()> {
        let said = names.iter().filter_map(|name| self.numbers(&[name]).transpose()).collect::<Result<Vec<_>>>()?;
        match said.first() {
            Some((name, first)) if !said.iter().any(|(_, said)| *said == [found as f64]) => {
                let said = if let [said] = first[..] { said.to_string() } else { format!("{first:?}") };
                bail!("`{name}` says {said}, but the network has {found}")
            }
            _ => Ok(()),
        }
    }

    pub fn activation(&self) -> Result<Option<Activation>> {
        if let Some(activation) = self.activation_of_modules()? {
            return Ok(Some(activation));
        }
        let names =
            ["activation", "activation_fn", "activation_function", "act_fn", "hidden_activation", "nonlinearity"];
        match self.find(&names) {
            Some((name, Leaf::Text(text) | Leaf::Class(text))) => {
                Activation::named(text).map(Some).with_context(|| format!("`{name}`"))
            }
            Some((name, _)) => bail!("`{name}` is no name of an activation"),
            None => Ok(None),
        }
    }

    /// A whole module says it by what it is made of.
    fn activation_of_modules(&self) -> Result<Option<Activation>> {
        let mut found = None;
        for (name, leaf) in self.contents.iter() {
            let Leaf::Class(class) = leaf else { continue };
            let inside = name.strip_prefix(self.scope).is_some_and(|name| !name.split('.').any(is_foreign));
            let Some(class) = class.strip_prefix("torch.nn.modules.").filter(|_| inside) else { continue };
            // What a config says is no part of the network.
            if CONFIGS.contains(&name.split('.').next().unwrap_or_default()) || !self.is_module(name) {
                continue;
            }
            match class.split_once('.') {
                Some(("activation", class)) => {
                    self.check_parameters(name, class)?;
                    let activation = Activation::named(class)?;
                    let one = found.is_none_or(|found| found == activation);
                    ensure!(one, "the network has the activations {found:?} and {activation:?}: one is expected");
                    found = Some(activation);
                }
                Some(("linear", _) | ("container", _) | ("dropout", _) | ("flatten", _)) | None => {}
                Some(_) => bail!("the network has the layer `{name}`, a {class}, which is not served"),
            }
        }
        Ok(found)
    }

    /// An object of a class has attributes; a class that is named in a config has none.
    fn is_module(&self, name: &str) -> bool {
        self.contents.has_below(&format!("{name}."))
    }

    /// Only the usual ones are served.
    fn check_parameters(&self, name: &str, class: &str) -> Result<()> {
        for (parameter, usual) in [("negative_slope", Activation::LEAKY_SLOPE), ("alpha", 1.0)] {
            let said = self.contents.get(&format!("{name}.{parameter}")).map(Leaf::numbers).transpose()?.flatten();
            let said = said.unwrap_or_else(|| vec![usual.into()]);
            let is_usual = matches!(said[..], [said] if said as f32 == usual);
            ensure!(is_usual, "`{name}.{parameter}` is {said:?}: {usual} is expected of a {class}");
        }
        match self.contents.get(&format!("{name}.approximate")) {
            Some(Leaf::Text(text)) if text != "none" => {
                bail!("`{name}.approximate` is {text}: the exact GELU is served")
            }
            _ => Ok(()),
        }
    }

    /// The bounds that actions are scaled to, by whatever the file has to say about them in one place.
    pub fn bounds(&self, action_dim: usize) -> Result<Option<Bounds>> {
        for place in &self.places {
            let values = |name: &str| self.values_at(place, &[name], action_dim);
            for (low, high) in [("action_low", "action_high"), ("action_space.low", "action_space.high")] {
                match (values(low)?, values(high)?) {
                    (Some(low), Some(high)) => return Bounds::between(&low, &high).map(Some),
                    (None, None) => {}
                    _ => bail!("of `{place}{low}` and `{place}{high}` there is only one: both bounds are expected"),
                }
            }
            if let Some(scale) = values("action_scale")? {
                let bias = values("action_bias")?.unwrap_or_else(|| vec![0.0; action_dim]);
                return Bounds::scaled(&scale, &bias).map(Some);
            }
            if let Some(limit) = self.values_at(place, &["act_limit", "action_limit", "max_action"], action_dim)? {
                let low = limit.iter().map(|limit| -limit).collect::<Vec<_>>();
                return Bounds::between(&low, &limit).map(Some);
            }
        }
        Ok(None)
    }

    /// Bounds that are told and not applied.
    pub fn observation_bounds(&self) -> Result<Option<(Vec<f64>, Vec<f64>)>> {
        let of = |name| Ok::<_, anyhow::Error>(self.numbers(&[name])?.map(|(_, numbers)| numbers));
        Ok(of("observation_low")?.zip(of("observation_high")?))
    }

    pub fn normalisation(&self, state_dim: usize) -> Result<Option<Normalisation>> {
        for (place, group) in self.places.iter().flat_map(|place| GROUPS.map(|group| (place, group))) {
            let values = |what: &str| self.values_at(place, &[&format!("{group}{what}")], state_dim);
            let Some(mean) = values("mean")? else { continue };
            let epsilon = self.numbers(&["obs_epsilon", "obs_rms.epsilon"])?;
            let epsilon = epsilon.map_or(Normalisation::EPSILON, |(_, numbers)| numbers[0]);
            let clip = self.numbers(&["clip_obs", "obs_clip"])?.map(|(_, numbers)| numbers[0]);
            let std = match (values("var")?, values("std")?) {
                (Some(var), _) => var.iter().map(|var| (var + epsilon).sqrt()).collect(),
                (None, Some(std)) => std,
                (None, None) => bail!("there is a `{place}{group}mean`, and neither its var nor its std"),
            };
            return Normalisation::new(&mean, &std, clip).map(Some);
        }
        self.check_unknown_normalisation(state_dim).map(|()| None)
    }

    /// A mean of as many numbers as a state has, by a name that speaks of normalisation, must not be left out.
    fn check_unknown_normalisation(&self, state_dim: usize) -> Result<()> {
        for (name, leaf) in self.contents.iter().filter(|(name, _)| !name.split('.').any(is_foreign)) {
            let lower = name.to_lowercase();
            let speaks = ["norm", "rms", "running"].iter().any(|word| lower.contains(word));
            let of_rewards = ["ret", "rew"].iter().any(|word| lower.contains(word));
            let count = match leaf {
                Leaf::Tensor(tensor) => tensor.numel(),
                Leaf::Numbers(numbers) => numbers.len(),
                Leaf::Text(_) | Leaf::Class(_) => continue,
            };
            let is_mean = lower.ends_with("mean") && speaks && !of_rewards && count == state_dim;
            ensure!(
                !is_mean,
                "`{name}` looks like a normalisation of observations: it is taken as obs_mean, with obs_var"
            );
        }
        Ok(())
    }

    /// The clamp on log_std, where the file has another than usual.
    pub fn log_std(&self, of_layout: LogStd) -> Result<LogStd> {
        let bound = |name| Ok::<_, anyhow::Error>(self.numbers(&[name])?.map(|(_, numbers)| numbers[0] as f32));
        let (low, high) = match of_layout {
            LogStd::Clamped { low, high } | LogStd::Squashed { low, high } => (low, high),
        };
        let (low, high) = (bound("log_std_min")?.unwrap_or(low), bound("log_std_max")?.unwrap_or(high));
        ensure!(low < high, "log_std is bounded by {low} and {high}: the first must be the lesser");
        Ok(match of_layout {
            LogStd::Clamped { .. } => LogStd::Clamped { low, high },
            LogStd::Squashed { .. } => LogStd::Squashed { low, high },
        })
    }

    /// As many numbers as there are dimensions; one for all stands for each.
    fn values_at(&self, place: &str, names: &[&str], dimensions: usize) -> Result<Option<Vec<f64>>> {
        let Some((name, leaf)) = names.iter().find_map(|name| self.at(place, name)) else { return Ok(None) };
        if let Leaf::Text(_) = leaf {
            return Ok(None);
        }
        let (name, numbers) = numbers(name, leaf)?;
        match numbers[..] {
            [number] => Ok(Some(vec![number; dimensions])),
            _ if numbers.len() == dimensions => Ok(Some(numbers)),
            _ => bail!("`{name}` has {} numbers, {dimensions} are expected", numbers.len()),
        }
    }

    fn numbers(&self, names: &[&str]) -> Result<Option<(&'a str, Vec<f64>)>> {
        self.find(names).map(|(name, leaf)| numbers(name, leaf)).transpose()
    }

    /// The first of these names, in the first place that has one.
    fn find(&self, names: &[&str]) -> Option<(&'a str, &'a Leaf)> {
        self.places.iter().find_map(|place| names.iter().find_map(|name| self.at(place, name)))
    }

    fn at(&self, place: &str, name: &str) -> Option<(&'a str, &'a Leaf)> {
        self.contents.entry(&format!("{place}{name}"))
    }
}

/// Within the actor, in a part of a config that is the actor's, in a config, around the actor, at the root. Anywhere
/// else settings are of something else.
fn places(scope: &str) -> Vec<String> {
    let configs = CONFIGS.iter().map(|config| format!("{config}."));
    let own = configs.clone().flat_map(|config| OWN.map(|own| format!("{config}{own}.")));
    let around = scope.match_indices('.').map(|(at, _)| scope[..=at].to_owned()).rev();
    let mut places = vec![scope.to_owned()];
    places.extend(own.chain(configs).chain(around).chain([String::new()]));
    places
}

/// What trainers call their settings, and the part of them that is the actor's.
const CONFIGS: [&str; 8] =
    ["config", "cfg", "args", "hparams", "hyper_parameters", "hyperparameters", "kwargs", "params"];
const OWN: [&str; 6] = ["actor", "policy", "pi", "agent", "network", "model"];

/// What the statistics of observations lie in, or their names start with.
const GROUPS: [&str; 8] =
    ["obs_", "obs_rms.", "ob_rms.", "state_", "state_rms.", "obs_normalizer.", "obs_norm.", "running_mean_std."];

/// Of a state or an action.
const MOST_NUMBERS: usize = 1 << 20;

fn numbers<'a>(name: &'a str, leaf: &Leaf) -> Result<(&'a str, Vec<f64>)> {
    if let Leaf::Tensor(tensor) = leaf {
        ensure!(tensor.numel() <= MOST_NUMBERS, "`{name}` is of shape {:?}: too much for a setting", tensor.shape);
    }
    let numbers = leaf.numbers().with_context(|| format!("`{name}`"))?.filter(|numbers| !numbers.is_empty());
    Ok((name, numbers.with_context(|| format!("`{name}` is no number"))?))
}
