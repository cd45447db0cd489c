//! Resolves the facts of a policy: each from the file, a card, a flag, a convention or the examples, and none by a guess.

mod bounds;
mod choice;
mod examples;
mod gather;
mod graph;
mod missing;
mod option;

use anyhow::{Result, bail};

pub use graph::{ResolvedGraph, resolve_graph};
use missing::missing_of;

use crate::card::{Card, GivenBounds};
use crate::layout::{ActorLayers, PolicySettings};
use crate::model::{Fact, Mlp, Normalisation, Source, Squashing};
use crate::wit::OperatorFacts;
use examples::fit;
use gather::Gathered;

/// The facts that come from outside of the file.
pub struct Given<'a> {
    pub card: &'a Card,
    pub operator: &'a OperatorFacts,
}

impl Given<'_> {
    /// Returns the action bounds of the card, or else those of the flag.
    fn bounds(&self) -> Option<(GivenBounds, Source)> {
        let flag = || {
            let flag = self.operator.action_bounds.as_ref()?;
            Some((GivenBounds::Between(flag.low.clone(), flag.high.clone()), Source::Flag("--action-bounds")))
        };
        self.card.bounds().map(|bounds| (bounds, Source::Card)).or_else(flag)
    }
}

/// A policy whose facts are all known.
pub struct Resolved {
    pub mlp: Mlp,
    pub normalisation: Option<Normalisation>,
    pub squashing: Squashing,
    pub facts: Vec<Fact>,
}

/// Resolves the facts of an actor.
///
/// # Errors
///
/// Fails if a fact is missing, with the line of a card or the flag that supplies it; if a card contradicts the file; or
/// if the examples fit none of the values that a missing fact may have, or more than one.
pub fn resolve(actor: &ActorLayers, settings: &PolicySettings, given: &Given) -> Result<Resolved> {
    let gathered = Gathered::new(actor, settings, given)?;
    let examples = &given.card.examples;
    // A trainer who has lost the statistics computes the examples of another policy.
    let is_provable = gathered.lost_statistics.as_ref().is_none_or(|lost| !lost.is_proven);
    if !examples.is_empty() && is_provable {
        return fit(&gathered, examples);
    }
    let missing = missing_of(&gathered);
    if !missing.is_empty() {
        bail!("{}", missing::describe(&gathered, &missing));
    }
    gathered.first()
}

/// Returns the facts that a file lacks, with the dimensions of its states and actions.
pub fn lacking(
    actor: &ActorLayers,
    settings: &PolicySettings,
    given: &Given,
) -> Result<(Vec<crate::card::Missing>, usize, usize)> {
    let gathered = Gathered::new(actor, settings, given)?;
    let action_dim = gathered.action_dims().first().copied().unwrap_or(1);
    Ok((missing_of(&gathered), actor.state_dim(), action_dim))
}
