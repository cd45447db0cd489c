//! The evidence that states were normalised in training by statistics that neither the file nor one beside it has.

use super::PolicySettings;
use super::normalisation::FLAGS;
use crate::file::Leaf;
use crate::layout::Layout;
use crate::model::Normalisation;

/// Statistics of states that a file lacks.
pub struct LostStatistics {
    /// The evidence, for an error.
    pub evidence: String,
    /// The way to supply the statistics, for an error.
    pub remedy: Option<&'static str>,
    /// True if a file beside the checkpoint has others.
    pub are_beside: bool,
    /// True if the file proves that states were normalised.
    pub is_proven: bool,
}

const VECNORMALIZE: &str = "save its statistics by env.save(…) as FILE.vecnormalize.pkl, or have CheckpointCallback save \
                            them (save_vecnormalize=True), or name them by --vecnormalize FILE";

/// The result of comparing the statistics of a VecNormalize file with the last observation of a training.
pub enum Check {
    /// They make of it what the network took.
    Proven,
    /// They are those of another training, or of another moment of it.
    Another(LostStatistics),
}

/// The difference, in standard deviations, that counts as none. Saved together, model and statistics differ by 1e-7.
const EXACT: f64 = 1e-3;
/// The difference that one more observation makes, times the number of observations that the statistics count. A callback saves
/// statistics that count one observation of each environment more than the model has taken. The difference was 0.1 to 19 in trainings
/// of Pendulum, MountainCarContinuous, and MuJoCo's Hopper, Ant and Humanoid.
const ONE_OBSERVATION: f64 = 60.0;

impl PolicySettings<'_> {
    /// Returns how it is known that states were normalised in training, for a file without statistics. Served as they are,
    /// they would give other actions.
    pub fn lost_statistics(&self, layout: &Layout) -> Option<LostStatistics> {
        let last = self.contents.last_observation.as_ref();
        if let Some(how) = last.and_then(|last| last.is_normalised(self.contents)) {
            let evidence = format!("the model was trained in VecNormalize, since its last observation {how}");
            return Some(LostStatistics { evidence, remedy: Some(VECNORMALIZE), are_beside: false, is_proven: true });
        }
        let evidence = layout.normalised.map(str::to_owned);
        let evidence = evidence.or_else(|| self.flag()).or_else(|| self.filter()).or_else(|| self.preprocessors())?;
        Some(LostStatistics { evidence, remedy: None, are_beside: false, is_proven: false })
    }

    /// Returns the evidence that the statistics of a VecNormalize file are those of another training.
    pub fn statistics_of_another(&self, by: &Normalisation) -> Option<LostStatistics> {
        match self.check_of_statistics(by)? {
            Check::Another(lost) => Some(lost),
            Check::Proven => None,
        }
    }

    /// Compares the statistics of a VecNormalize file with the last observation of the training. Returns `None` if there is no
    /// such file or observation.
    pub fn check_of_statistics(&self, by: &Normalisation) -> Option<Check> {
        let (file, last) = (self.contents.statistics.as_ref()?, self.contents.last_observation.as_ref()?);
        let (difference, envs) = last.difference(by, &self.observation_keys())?;
        if difference <= EXACT + ONE_OBSERVATION * envs as f64 / file.count.max(1.0) {
            return Some(Check::Proven);
        }
        let evidence = format!(
            "the statistics in `{}` are those of another training, or of another moment of it: by them, the last observation of \
             the model differs by {difference:.3} standard deviations from what its network took",
            file.name
        );
        Some(Check::Another(LostStatistics {
            evidence,
            remedy: Some(VECNORMALIZE),
            are_beside: true,
            is_proven: false,
        }))
    }

    fn flag(&self) -> Option<String> {
        FLAGS.iter().find_map(|flag| {
            let (name, flag) = self.numbers(&[flag]).ok()??;
            (flag == [1.0]).then(|| format!("`{name}` is set, and the file has no statistics"))
        })
    }

    /// Returns the observation filter of RLlib, whose statistics lie with the workers.
    fn filter(&self) -> Option<String> {
        self.contents.iter().find_map(|(name, leaf)| match leaf {
            Leaf::Text(filter) if name.ends_with("observation_filter") && !["NoFilter", ""].contains(&&**filter) => {
                Some(format!("`{name}` is {filter}"))
            }
            _ => None,
        })
    }

    /// Returns the list of MushroomRL's preprocessors of states, if it is not empty.
    fn preprocessors(&self) -> Option<String> {
        const LISTS: [&str; 3] = ["_preprocessors", "_core_preprocessors", "_agent_preprocessors"];
        let is_used = |list: &&&str| self.number(&[&format!("{list}.len")]).is_some_and(|length| length > 0.0);
        LISTS.iter().find(is_used).map(|list| format!("the agent has preprocessors of states, `{list}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::Contents;
    use crate::layout::table::LAYOUTS;

    #[test]
    fn a_flag_a_filter_and_preprocessors_show_that_states_were_normalised() {
        let text = |text: &str| Leaf::Text(text.to_owned());
        let number = |number| Leaf::Numbers(vec![number]);
        let evidence = |name: &str, leaf: Leaf| {
            let mut contents = Contents::default();
            contents.insert(name, leaf).unwrap();
            let layout = LAYOUTS.last().unwrap();
            PolicySettings::new(&contents, "actor.").lost_statistics(layout).map(|lost| lost.evidence)
        };
        let filter = "policy_spec.config.observation_filter";
        for (name, leaf, expected) in [
            ("config.normalize_obs", number(1.0), "`config.normalize_obs` is set, and the file has no statistics"),
            (filter, text("MeanStdFilter"), "`policy_spec.config.observation_filter` is MeanStdFilter"),
            ("_core_preprocessors.len", number(1.0), "the agent has preprocessors of states, `_core_preprocessors`"),
        ] {
            assert_eq!(evidence(name, leaf).as_deref(), Some(expected));
        }
        for (name, leaf) in [
            ("config.normalize_obs", number(0.0)),
            (filter, text("NoFilter")),
            ("_preprocessors.len", number(0.0)),
            ("critic.config.normalize_obs", number(1.0)),
        ] {
            assert_eq!(evidence(name, leaf), None, "{name}");
        }
    }
}
