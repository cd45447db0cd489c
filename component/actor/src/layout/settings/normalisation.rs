//! The normalisation of observations that a file contains.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

use super::PolicySettings;
use crate::file::Leaf;
use crate::layout::scope::is_foreign;
use crate::model::Normalisation;

/// The normalisation of a library: clip((state - mean) / spread, -clip, clip).
struct Known {
    /// The beginning of the names.
    group: &'static str,
    mean: &'static str,
    spread: Spread,
    /// The limit that the library's code fixes.
    clip: Option<f64>,
    /// A name of the group that tells the library from others with the same names.
    evidence: Option<&'static str>,
}

/// The divisor, by the names of what it is computed from.
enum Spread {
    /// sqrt(var + epsilon).
    Variance(&'static str, f64),
    /// sqrt(var) + epsilon.
    RootPlus(&'static str, f64),
    /// std + epsilon.
    Deviation(&'static str, f64),
    /// sqrt(sum / count).
    MeanSquare(&'static str, &'static str),
    /// sqrt(sum / (count - 1)) + 1e-8.
    SampleRoot(&'static str, &'static str),
}

const KNOWN: [Known; 10] = [
    // rl_games/algos_torch/running_mean_std.py.
    known("running_mean_std.", "running_mean", Spread::Variance("running_var", 1e-5), Some(5.0)),
    // skrl/resources/preprocessors/torch/running_standard_scaler.py. Version 2 calls states observations.
    known("observation_preprocessor.", "running_mean", Spread::RootPlus("running_variance", 1e-8), Some(5.0)),
    known("state_preprocessor.", "running_mean", Spread::RootPlus("running_variance", 1e-8), Some(5.0)),
    // omnisafe/common/normalizer.py: `_clip` is a buffer.
    Known { evidence: Some("_sumsq"), ..known("obs_normalizer.", "_mean", Spread::Deviation("_std", 0.0), None) },
    // rsl_rl/networks/normalization.py, as version 5 names it, versions 3 and 4, and the runner of versions 1 and 2.
    known("obs_normalizer.", "_mean", Spread::Deviation("_std", 1e-2), None),
    known("actor_obs_normalizer.", "_mean", Spread::Deviation("_std", 1e-2), None),
    known("obs_norm_state_dict.", "_mean", Spread::Deviation("_std", 1e-2), None),
    // elegantrl/agents/net.py.
    known("", "state_avg", Spread::Deviation("state_std", 1e-4), None),
    // mlagents/trainers/torch_entities/encoders.py.
    known(
        "network_body.observation_encoder.processors.0.normalizer.",
        "running_mean",
        Spread::MeanSquare("running_variance", "normalization_steps"),
        Some(5.0),
    ),
    // ZFilter of modular_rl and its descendants.
    known("running_state.rs.", "_M", Spread::SampleRoot("_S", "_n"), Some(10.0)),
];

const fn known(group: &'static str, mean: &'static str, spread: Spread, clip: Option<f64>) -> Known {
    Known { group, mean, spread, clip, evidence: None }
}

/// Beginnings of the names of `mean`, `var` and `std`.
const GROUPS: [&str; 8] =
    ["obs_", "obs_rms.", "ob_rms.", "state_", "state_rms.", "obs_normalizer.", "obs_norm.", "running_mean_std."];

/// Flags of a config that turn the normalisation of observations on and off.
pub(super) const FLAGS: [&str; 6] =
    ["norm_obs", "normalize_obs", "obs_norm", "normalize_observations", "normalise_obs", "normalize_state"];

/// A normalisation, and the name under which the file has it.
pub type NamedNormalisation = (Normalisation, String);

impl PolicySettings<'_> {
    /// Returns the normalisation of states that is known by its names, or `None` if neither the file nor one beside it has any.
    pub fn normalisation(&self, state_dim: usize) -> Result<Option<NamedNormalisation>> {
        let Some(beside) = &self.contents.statistics else { return self.of_any_name(state_dim) };
        let found = self.of_any_name(state_dim).with_context(|| format!("`{}` beside it", beside.name))?;
        let Some((normalisation, name)) = found else { return Ok(None) };
        ensure!(
            name == "`obs_mean`",
            "both {name} of the file and `{}` beside it normalise states: one is expected",
            beside.name
        );
        Ok(Some((normalisation, format!("`{}`", beside.name))))
    }

    fn of_any_name(&self, state_dim: usize) -> Result<Option<NamedNormalisation>> {
        if let Some(found) = self.observation_scaler(state_dim)? {
            return Ok(Some(found));
        }
        for prefix in &self.prefixes {
            for known in &KNOWN {
                if let Some(found) = self.known(prefix, known, state_dim)? {
                    return Ok(Some(found));
                }
            }
        }
        for (prefix, group) in self.prefixes.iter().flat_map(|prefix| GROUPS.map(|group| (prefix, group))) {
            if let Some(found) = self.of_group(prefix, group, state_dim)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Returns the normalisation of d3rlpy's observation scaler.
    fn observation_scaler(&self, state_dim: usize) -> Result<Option<NamedNormalisation>> {
        let values = |name: &str| {
            let values = self.values_at("config.observation_scaler.params.", &[name], state_dim)?;
            values.with_context(|| format!("the observation scaler has no `{name}`"))
        };
        let pairs =
            |a: Vec<f64>, b: Vec<f64>, f: fn((f64, f64)) -> f64| a.into_iter().zip(b).map(f).collect::<Vec<_>>();
        let (mean, std) = match self.text(&["config.observation_scaler.type"]) {
            None | Some("none") => return Ok(None),
            Some("standard") => {
                (values("mean")?, pairs(values("std")?, values("eps")?, |(std, epsilon)| std + epsilon))
            }
            // From -1 to 1.
            Some("min_max") => {
                let (low, high) = (values("minimum")?, values("maximum")?);
                let mean = pairs(low.clone(), high.clone(), |(low, high)| (low + high) / 2.0);
                (mean, pairs(low, high, |(low, high)| (high - low) / 2.0))
            }
            Some(kind) => bail!("`config.observation_scaler.type` is {kind}: standard or min_max is expected"),
        };
        Ok(Some((Normalisation::new(&mean, &std, None)?, "`config.observation_scaler`".to_owned())))
    }

    fn known(&self, prefix: &str, known: &Known, state_dim: usize) -> Result<Option<NamedNormalisation>> {
        let name = |part: &str| format!("{}{part}", known.group);
        let has = |part: &str| self.at(prefix, &name(part)).is_some();
        let (Spread::Variance(spread, _)
        | Spread::RootPlus(spread, _)
        | Spread::Deviation(spread, _)
        | Spread::MeanSquare(spread, _)
        | Spread::SampleRoot(spread, _)) = known.spread;
        if !has(known.mean) || !has(spread) || known.evidence.is_some_and(|evidence| !has(evidence)) {
            return Ok(None);
        }
        let values = |part: &str| self.values_at(prefix, &[&name(part)], state_dim).map(Option::unwrap_or_default);
        let (mean, values_of_spread) = (values(known.mean)?, values(spread)?);
        let map = |f: &dyn Fn(f64) -> f64| values_of_spread.iter().map(|value| f(*value)).collect::<Vec<_>>();
        let std = match known.spread {
            Spread::Variance(_, epsilon) => map(&|var| (var + epsilon).sqrt()),
            Spread::RootPlus(_, epsilon) => map(&|var| var.sqrt() + epsilon),
            Spread::Deviation(_, epsilon) => map(&|std| std + epsilon),
            Spread::MeanSquare(_, count) => {
                let count = values(count)?.first().copied().unwrap_or(1.0).max(1.0);
                map(&|sum| (sum / count).sqrt())
            }
            Spread::SampleRoot(_, count) => {
                let count = values(count)?.first().copied().unwrap_or(2.0).max(2.0);
                map(&|sum| (sum / (count - 1.0)).sqrt() + 1e-8)
            }
        };
        let clip = values("_clip")?.first().copied().or(known.clip);
        Ok(Some((Normalisation::new(&mean, &std, clip)?, format!("`{prefix}{}`", name(known.mean)))))
    }

    fn of_group(&self, prefix: &str, group: &str, state_dim: usize) -> Result<Option<NamedNormalisation>> {
        let values = |name: &str| self.values_at(prefix, &[&format!("{group}{name}")], state_dim);
        let Some(mean) = values("mean")? else { return Ok(None) };
        self.check_statistics(prefix, group)?;
        let number = |names: &[&str]| anyhow::Ok(self.numbers(names)?.map(|(_, numbers)| numbers[0]));
        let epsilon =
            number(&["obs_epsilon", "obs_eps", "obs_rms.epsilon", "obs_rms.eps"])?.unwrap_or(Normalisation::EPSILON);
        let clip = number(&["clip_obs", "obs_clip", "obs_rms.clip_max"])?;
        let std = match (values("var")?, values("std")?) {
            (Some(var), _) => var.iter().map(|var| (var + epsilon).sqrt()).collect(),
            (None, Some(std)) => std,
            // Another statistic stands in for them, which `unexplained` finds.
            (None, None) if self.at(prefix, &format!("{group}M2")).is_some() => return Ok(None),
            (None, None) => {
                bail!("`{prefix}{group}mean` stands alone: `{prefix}{group}var` or `{prefix}{group}std` is expected")
            }
        };
        Ok(Some((Normalisation::new(&mean, &std, clip)?, format!("`{prefix}{group}mean`"))))
    }

    /// Refuses a clip beside statistics by a name that is not read, and a flag that turns them off.
    fn check_statistics(&self, prefix: &str, group: &str) -> Result<()> {
        const READ: [&str; 1] = ["clip_max"];
        let inside = format!("{prefix}{group}");
        let clip = self.contents.iter().map(|(name, _)| name).find(|name| {
            let rest = name.strip_prefix(&inside).filter(|_| group.ends_with('.'));
            rest.is_some_and(|rest| rest.contains("clip") && !READ.contains(&rest))
        });
        ensure!(clip.is_none(), "`{}` is not read: save it as clip_obs", clip.unwrap_or_default());
        let off = FLAGS.iter().find(|name| self.number(&[name]) == Some(0.0));
        ensure!(
            off.is_none(),
            "`{}` is off, and `{inside}mean` is there: which counts is not certain",
            off.unwrap_or(&"")
        );
        Ok(())
    }

    /// Returns statistics of state_dim numbers whose names are not known, with the normalisations that they could stand
    /// for. To ignore them would change the actions.
    pub fn unexplained(&self, state_dim: usize) -> Result<Option<Unexplained>> {
        let mut groups = BTreeMap::<&str, Vec<(&str, &Leaf)>>::new();
        for (name, leaf) in self.contents.iter().filter(|(name, _)| !is_known(name)) {
            let count = match leaf {
                Leaf::Tensor(tensor) if tensor.is_matrix() || !tensor.dtype.is_float() => continue,
                Leaf::Tensor(tensor) => tensor.numel(),
                Leaf::Numbers(numbers) => numbers.len(),
                Leaf::Text(_) | Leaf::Class(_) => continue,
            };
            if count == state_dim {
                let (group, name) = name.rsplit_once('.').unwrap_or(("", name));
                groups.entry(group).or_default().push((name, leaf));
            }
        }
        let lone = |group: &str, name: &str| {
            let lower = format!("{group}.{name}").to_lowercase();
            let is_of_states = lower.split(['.', '_']).any(|word| OF_STATES.contains(&word));
            let is_running = ["norm", "rms", "running"].iter().any(|word| lower.contains(word));
            name.to_lowercase().ends_with("mean") && (is_of_states || is_running)
        };
        for (group, leaves) in groups {
            let is_pair = state_dim > 1 && leaves.len() >= 2 || leaves.iter().any(|(name, _)| lone(group, name));
            if is_pair && !self.is_layer(group) {
                return self.explain(group, &leaves).map(Some);
            }
        }
        Ok(None)
    }

    /// Returns `true` if the group is that of a layer, or of a batch normalisation.
    fn is_layer(&self, group: &str) -> bool {
        ["weight", "ra_mean"].iter().any(|part| self.contents.get(&format!("{group}.{part}")).is_some())
    }

    fn explain(&self, group: &str, leaves: &[(&str, &Leaf)]) -> Result<Unexplained> {
        let names = leaves.iter().map(|(name, _)| format!("`{group}.{name}`")).collect::<Vec<_>>().join(" and ");
        let is_mean = |name: &str| ["mean", "loc", "avg", "mu", "center"].iter().any(|word| name.contains(word));
        let count = ["count", "n", "_n", "step"].iter().find_map(|name| self.contents.get(&format!("{group}.{name}")));
        let count = count.map(Leaf::numbers).transpose()?.flatten().and_then(|count| count.first().copied());
        let mut candidates = vec![];
        for (name, mean) in leaves.iter().filter(|(name, _)| is_mean(name)) {
            for (_, spread) in leaves.iter().filter(|(other, _)| other != name) {
                let (Some(mean), Some(spread)) = (mean.numbers()?, spread.numbers()?) else { continue };
                let mut add = |f: &dyn Fn(f64) -> f64| {
                    let std = spread.iter().map(|value| f(*value)).collect::<Vec<_>>();
                    candidates.extend(Normalisation::new(&mean, &std, None).ok());
                };
                add(&|value| value);
                add(&|value| (value + Normalisation::EPSILON).sqrt());
                for count in count.iter().flat_map(|count| [*count, count - 1.0]) {
                    add(&|value| (value / count).sqrt());
                }
            }
        }
        Ok(Unexplained { names, candidates })
    }
}

/// Statistics of as many numbers as a state has, which no known name explains.
pub struct Unexplained {
    /// Their names, for an error.
    pub names: String,
    /// The normalisations that they could stand for.
    pub candidates: Vec<Normalisation>,
}

/// Returns `true` for names of something else than statistics of states.
fn is_known(name: &str) -> bool {
    const LIMITS: [&str; 4] = ["low", "high", "bounded", "shape"];
    const OTHERS: [&str; 13] = [
        "action",
        "actions",
        "act",
        "dist",
        "distribution",
        "rew",
        "reward",
        "rewards",
        "ret",
        "return",
        "returns",
        "log",
        "logits",
    ];
    const PARTS: [&str; 3] = ["log_std", "std_param", "exp_avg"];
    let lower = name.to_lowercase();
    let words = lower.split(['.', '_']).collect::<Vec<_>>();
    let has = |known: &[&str]| words.iter().any(|word| known.contains(word));
    let is_limit = has(&LIMITS) && !is_statistic(&lower);
    name.split('.').any(is_foreign)
        || is_limit
        || has(&OTHERS) && !has(&OF_STATES)
        || PARTS.iter().any(|part| lower.contains(part))
        || lower.ends_with(".weight")
        || lower.ends_with(".bias")
        || lower.starts_with("config.") && !is_statistic(&lower)
}

/// The words for states in names.
const OF_STATES: [&str; 6] = ["obs", "observation", "observations", "state", "states", "input"];

/// Returns `true` if a name in lower case ends as those of means and deviations do.
fn is_statistic(lower: &str) -> bool {
    const ENDS: [&str; 12] =
        ["mean", "std", "var", "variance", "avg", "mu", "sigma", "loc", "scale", "center", "shift", "offset"];
    lower.rsplit(['.', '_']).next().is_some_and(|end| ENDS.contains(&end))
}

/// Fails for statistics that nothing explains.
pub fn refuse(unexplained: &Unexplained) -> anyhow::Error {
    anyhow::anyhow!(
        "statistics of observations stand under names that are not known, {}: save them as obs_mean and obs_var, or write \
         \"obs_mean\" and \"obs_std\" into the card",
        unexplained.names
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::Contents;

    #[test]
    fn statistics_of_states_are_told_from_others_by_their_names() {
        for name in [
            "config.state_normalizer_mean",
            "config.normalizer.std",
            "pretrain_mean",
            "distance_std",
            "flow_mean",
            "obs_low_mean",
            "obs_space_std",
            "obs_distribution.mean",
            "retrieved.observation_std",
        ] {
            assert!(!is_known(name), "{name}");
        }
        for name in [
            "config.hidden_sizes",
            "action_mean",
            "reward_rms.mean",
            "ret_rms.var",
            "observation_space.low",
            "observation_space.bounded_below",
            "actor_log_std",
            "critic.obs_mean",
            "net.0.bias",
        ] {
            assert!(is_known(name), "{name}");
        }
    }

    #[test]
    fn a_mean_of_observations_without_a_deviation_is_not_passed_over() {
        for (name, is_found) in [("observation_mean", true), ("config.state_mean_mean", true), ("target_mean", false)] {
            let mut contents = Contents::default();
            contents.insert(name, Leaf::Numbers(vec![0.1, 0.2, 0.3])).unwrap();
            let found = PolicySettings::new(&contents, "").unexplained(3).unwrap();
            assert_eq!(found.is_some(), is_found, "{name}");
        }
    }
}
