//! The evidence that states were normalised in training by statistics that the file does not have.

use super::PolicySettings;
use super::normalisation::FLAGS;
use crate::file::{Leaf, NORMALISED};
use crate::layout::Layout;

/// Statistics of states that a file lacks.
pub struct LostStatistics {
    /// The evidence that states were normalised, for an error.
    pub evidence: String,
    /// The way to supply the statistics, for an error.
    pub remedy: Option<&'static str>,
}

const VECNORMALIZE: &str = "save its statistics by env.save(…) as FILE.vecnormalize.pkl, or have CheckpointCallback save \
                            them (save_vecnormalize=True), or name them by --vecnormalize FILE";

impl PolicySettings<'_> {
    /// Returns how it is known that states were normalised in training, for a file without statistics. Served as they are,
    /// they would give other actions.
    pub fn lost_statistics(&self, layout: &Layout) -> Option<LostStatistics> {
        if let Some(Leaf::Text(how)) = self.contents.get(NORMALISED) {
            let evidence = format!("the model was trained in VecNormalize, since its last observation {how}");
            return Some(LostStatistics { evidence, remedy: Some(VECNORMALIZE) });
        }
        let evidence = layout.normalised.map(str::to_owned);
        let evidence = evidence.or_else(|| self.flag()).or_else(|| self.filter()).or_else(|| self.preprocessors())?;
        Some(LostStatistics { evidence, remedy: None })
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
