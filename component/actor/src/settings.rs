//! What stands in a file beside the tensors: bounds, activation, normalisation, dimensions.

use anyhow::{Context, Result, bail, ensure};

use crate::contents::{Contents, Leaf};
use crate::dense::Activation;
use crate::layout::{LogStd, is_foreign};
use crate::policy::{Bounds, Normalisation};

/// The settings of a file, for the actor under a prefix such as `actor.`.
pub struct Settings<'a> {
    contents: &'a Contents,
    scope: &'a str,
}

impl<'a> Settings<'a> {
    pub fn new(contents: &'a Contents, scope: &'a str) -> Self {
        Settings { contents, scope }
    }

    /// Checks a dimension of the network against what the file says of it.
    pub fn check_dimension(&self, names: &[&str], found: usize) -> Result<()> {
        match self.numbers(names)? {
            Some((name, said)) if said != [found as f64] => {
                let said = if let [said] = said[..] { said.to_string() } else { format!("{said:?}") };
                bail!("`{name}` says {said}, but the network has {found}")
            }
            _ => Ok(()),
        }
    }

    pub fn activation(&self) -> Result<Option<Activation>> {
        // A whole module says it by what it is made of.
        let classes = self.contents.iter().filter_map(|(name, leaf)| match leaf {
            Leaf::Class(class) if name.starts_with(self.scope) && !name.split('.').any(is_foreign) => {
                class.strip_prefix("torch.nn.modules.activation.")
            }
            _ => None,
        });
        let mut classes = classes.collect::<Vec<_>>();
        classes.sort_unstable();
        classes.dedup();
        match (classes[..].first(), classes.len()) {
            (Some(class), 1) => return Activation::named(class).map(Some),
            (Some(_), _) => bail!("the network has the activations {}: one is expected", classes.join(" and ")),
            _ => {}
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

    /// The bounds that actions are scaled to, by whatever the file has to say about them.
    pub fn bounds(&self, action_dim: usize) -> Result<Option<Bounds>> {
        let pair = |low: &str, high: &str| -> Result<Option<Bounds>> {
            match (self.values(&[low], action_dim)?, self.values(&[high], action_dim)?) {
                (Some(low), Some(high)) => Bounds::between(&low, &high).map(Some),
                (None, None) => Ok(None),
                _ => bail!("of `{low}` and `{high}` there is only one: both bounds are expected"),
            }
        };
        let scale = self.values(&["action_scale"], action_dim)?;
        if let Some(scale) = scale {
            let bias = self.values(&["action_bias"], action_dim)?.unwrap_or_else(|| vec![0.0; action_dim]);
            return Bounds::scaled(&scale, &bias).map(Some);
        }
        for (low, high) in [("action_low", "action_high"), ("action_space.low", "action_space.high")] {
            if let Some(bounds) = pair(low, high)? {
                return Ok(Some(bounds));
            }
        }
        let limit = self.values(&["act_limit", "action_limit", "max_action"], action_dim)?;
        let limit = limit.map(|limit| Bounds::between(&limit.iter().map(|limit| -limit).collect::<Vec<_>>(), &limit));
        limit.transpose()
    }

    /// Bounds that are told and not applied.
    pub fn observation_bounds(&self) -> Result<Option<(Vec<f64>, Vec<f64>)>> {
        let of = |name| Ok::<_, anyhow::Error>(self.numbers(&[name])?.map(|(_, numbers)| numbers));
        Ok(of("observation_low")?.zip(of("observation_high")?))
    }

    pub fn normalisation(&self, state_dim: usize) -> Result<Option<Normalisation>> {
        let names = ["obs_mean", "obs_rms.mean"];
        let Some(mean) = self.values(&names, state_dim)? else { return Ok(None) };
        let epsilon = self.numbers(&["obs_epsilon"])?.or(self.beside(&names, "epsilon")?);
        let epsilon = epsilon.map_or(Normalisation::EPSILON, |(_, numbers)| numbers[0]);
        let clip = self.numbers(&["clip_obs", "obs_clip"])?.map(|(_, numbers)| numbers[0]);
        let std = match (
            self.values(&["obs_var", "obs_rms.var"], state_dim)?,
            self.values(&["obs_std", "obs_rms.std"], state_dim)?,
        ) {
            (Some(var), _) => var.iter().map(|var| (var + epsilon).sqrt()).collect(),
            (None, Some(std)) => std,
            (None, None) => bail!("there is an `obs_mean` and neither `obs_var` nor `obs_std`"),
        };
        Normalisation::new(&mean, &std, clip).map(Some)
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
    fn values(&self, names: &[&str], dimensions: usize) -> Result<Option<Vec<f64>>> {
        let Some((name, numbers)) = self.numbers(names)? else { return Ok(None) };
        match numbers[..] {
            [number] => Ok(Some(vec![number; dimensions])),
            _ if numbers.len() == dimensions => Ok(Some(numbers)),
            _ => bail!("`{name}` has {} numbers, {dimensions} are expected", numbers.len()),
        }
    }

    fn numbers(&self, names: &[&str]) -> Result<Option<(&'a str, Vec<f64>)>> {
        self.find(names).map(|(name, leaf)| numbers(name, leaf)).transpose()
    }

    /// A setting whose name alone would say too little, next to one that was found.
    fn beside(&self, names: &[&str], other: &str) -> Result<Option<(&'a str, Vec<f64>)>> {
        let Some((found, _)) = self.find(names) else { return Ok(None) };
        let before = names.iter().find_map(|name| found.strip_suffix(name)).unwrap_or_default();
        let name = format!("{before}{other}");
        let found = self.contents.iter().find(|(candidate, _)| *candidate == name);
        found.map(|(name, leaf)| numbers(name, leaf)).transpose()
    }

    /// The first of these names that is in the file: within the actor, or else as near to the root as there is one.
    fn find(&self, names: &[&str]) -> Option<(&'a str, &'a Leaf)> {
        names.iter().find_map(|wanted| {
            let is_it = |name: &str| {
                name.strip_suffix(wanted).is_some_and(|before| before.is_empty() || before.ends_with('.'))
                    && !name.split('.').any(is_foreign)
            };
            let found = self.contents.iter().filter(|(name, _)| is_it(name));
            found.min_by_key(|(name, _)| (!name.starts_with(self.scope), name.matches('.').count()))
        })
    }
}

/// Of a state or an action.
const MOST_NUMBERS: usize = 1 << 20;

fn numbers<'a>(name: &'a str, leaf: &Leaf) -> Result<(&'a str, Vec<f64>)> {
    if let Leaf::Tensor(tensor) = leaf {
        ensure!(tensor.numel() <= MOST_NUMBERS, "`{name}` is of shape {:?}: too much for a setting", tensor.shape);
    }
    let numbers = leaf.numbers().with_context(|| format!("`{name}`"))?.filter(|numbers| !numbers.is_empty());
    Ok((name, numbers.with_context(|| format!("`{name}` is no number"))?))
}
