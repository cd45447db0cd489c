//! Gathers the facts of an actor from the file, the cards, the flags and the layout's conventions.

mod activation;
mod bounds;
mod head;
mod log_std;
pub(super) mod normalisation;
mod squash;

use anyhow::Result;

use super::Given;
use super::bounds::BoundsOption;
use super::option::Options;
use crate::layout::{ActorLayers, LostStatistics, PolicySettings, Unexplained};
use crate::model::{Activation, LogStd, MeanStep, Normalisation, Sourced, Squash};

/// The facts of an actor as far as they are known.
pub struct Gathered<'a> {
    pub actor: &'a ActorLayers,
    pub head: Options<HeadKind>,
    /// One activation for all hidden layers, or one for each.
    pub activation: Options<Vec<Activation>>,
    pub squash: Options<Squash>,
    pub mean_step: Options<Option<MeanStep>>,
    pub bounds: Options<BoundsOption>,
    pub normalisation: Options<Option<Normalisation>>,
    /// The rule for log_std, or the reason why actions cannot be sampled.
    pub log_std: Result<Sourced<LogStd>, &'static str>,
    /// Statistics in the file that only examples can explain.
    pub unexplained: Option<Unexplained>,
    /// The evidence that states were normalised by statistics that neither the file nor one beside it has.
    pub lost_statistics: Option<LostStatistics>,
    /// The keys of a Dict observation space, in the order in which a state concatenates them.
    pub observation_keys: Vec<String>,
    /// The class of the object that the file is.
    pub class: Option<String>,
    /// The name of a normalisation of a layer's outputs whose kind and place the file does not say.
    pub norms: Option<String>,
    /// Set if the file's own code decides, which is not in the file: examples must prove the policy.
    pub foreign_code: Option<String>,
}

/// The meaning of the last layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadKind {
    /// A mean and a log_std.
    Gaussian,
    /// A mean alone.
    Mean,
}

const FILE: &str = "its layers";

impl<'a> Gathered<'a> {
    pub fn new(actor: &'a ActorLayers, settings: &PolicySettings, given: &Given) -> Result<Self> {
        settings.check_observations()?;
        let kind = given.card.kind;
        settings.check_scaling()?;
        settings.check_d3rlpy()?;
        let foreign_code = settings.foreign_code(actor);
        let of_foreign_policy = settings.text(&["policy_class"]).is_some() && foreign_code.is_some();
        let head = head::head(actor, settings, kind)?;
        let mut action_dims = head::dims(actor, &head);
        // Examples show the length of an action where the layers allow two.
        if let Some(example) = given.card.examples.first().filter(|found| action_dims.contains(&found.action.len())) {
            action_dims = vec![example.action.len()];
        }
        let by_card = given.card.normalisation(actor.state_dim())?;
        let (unexplained, lost) = match settings.normalisation(actor.state_dim())? {
            Some((found, _)) => (None, settings.statistics_of_another(&found)),
            None => {
                let unexplained = settings.unexplained(actor.state_dim())?.filter(|_| by_card.is_none());
                (unexplained, settings.lost_statistics(actor.layout))
            }
        };
        let normalisation =
            normalisation::normalisation(actor, settings, by_card, unexplained.as_ref(), lost.as_ref())?;
        Ok(Gathered {
            activation: activation::activation(actor, settings, given, of_foreign_policy)?,
            squash: squash::squash(actor, settings, given, kind)?,
            mean_step: squash::mean_step(actor, settings)?,
            bounds: bounds::bounds(actor.layout, settings, given, &action_dims)?,
            lost_statistics: lost.filter(|_| normalisation.is_missing() && unexplained.is_none()),
            normalisation,
            log_std: log_std::log_std(actor, settings, given)?,
            observation_keys: settings.observation_keys().iter().map(|key| (*key).to_owned()).collect(),
            class: settings.root_class().map(str::to_owned),
            unexplained,
            norms: norms(actor, settings),
            // The one who trained it says what the code does.
            foreign_code: foreign_code.filter(|_| given.card.kind.is_none()),
            head,
            actor,
        })
    }

    /// Returns the lengths that an action may have.
    pub fn action_dims(&self) -> Vec<usize> {
        head::dims(self.actor, &self.head)
    }
}

/// Returns the first normalisation of a layer's outputs of which only tensors are known: a LayerNorm, a GroupNorm or another,
/// before the activation or after it, or a batch normalisation. The layouts with a trunk of their own know.
fn norms(actor: &ActorLayers, settings: &PolicySettings) -> Option<String> {
    if !actor.layout.trunk.is_empty() {
        return None;
    }
    let norms = actor.trunk.iter().flat_map(|hidden| [&hidden.norm, &hidden.norm_after]).flatten();
    let layer_norm = norms.map(|norm| norm.name.clone()).find(|name| !settings.is_layer_norm_in_order(name));
    // The epsilon is not among the tensors either.
    layer_norm.or_else(|| actor.batch_norms.iter().find(|name| !settings.is_batch_norm(name)).cloned())
}
