//! A complete choice of values for the facts of an actor, and the policy that it makes.

use anyhow::{Result, ensure};

use super::Resolved;
use super::bounds::BoundsOption;
use super::gather::{Gathered, HeadKind};
use super::option::Options;
use crate::card::Kind;
use crate::layout::{ActorHead, refuse, split};
use crate::model::{Activation, Fact, LogStd, MeanStep, Mlp, Normalisation, Source, Sourced, Squash, Squashing};

/// A complete choice of values.
pub struct Choice {
    pub head: Sourced<HeadKind>,
    pub activation: Sourced<Vec<Activation>>,
    pub squash: Sourced<Squash>,
    pub mean_step: Sourced<Option<MeanStep>>,
    pub bounds: Sourced<BoundsOption>,
    pub normalisation: Sourced<Option<Normalisation>>,
}

impl Gathered<'_> {
    /// Makes the policy of the known values, none of which may be missing.
    pub fn first(&self) -> Result<Resolved> {
        fn known<T: Clone>(options: &Options<T>) -> Result<Sourced<T>> {
            options.known().cloned().ok_or_else(|| anyhow::anyhow!("a fact is missing"))
        }
        if let Some(unexplained) = &self.unexplained {
            return Err(refuse(unexplained));
        }
        let choice = Choice {
            head: known(&self.head)?,
            activation: known(&self.activation)?,
            squash: known(&self.squash)?,
            mean_step: known(&self.mean_step)?,
            bounds: match known(&self.bounds) {
                // An action that is not squashed is not scaled either.
                Err(_) if self.squash.known().is_some_and(|squash| squash.value == Squash::None) => {
                    Sourced::new(BoundsOption::Unscaled, Source::File("its layers".into()))
                }
                bounds => bounds?,
            },
            normalisation: known(&self.normalisation)?,
        };
        self.build(&choice)
    }

    /// Makes the policy of a choice.
    pub fn build(&self, choice: &Choice) -> Result<Resolved> {
        let mlp = self.mlp(choice)?;
        mlp.check()?;
        let squash = choice.squash.value;
        let bounds = match &choice.bounds.value {
            BoundsOption::Scaled(bounds) if squash != Squash::None => Some(bounds.clone()),
            _ => None,
        };
        let log_std = self.log_std.as_ref().ok().filter(|_| mlp.log_std.is_some()).map(|rule| rule.value);
        let mlp = Mlp { log_std: mlp.log_std.filter(|_| log_std.is_some()), ..mlp };
        let facts = self.facts(choice, log_std);
        Ok(Resolved {
            mlp,
            normalisation: choice.normalisation.value.clone(),
            squashing: Squashing { squash, log_std, bounds },
            facts,
        })
    }

    /// Makes the network of a choice.
    pub fn mlp(&self, choice: &Choice) -> Result<Mlp> {
        let mut trunk = self.actor.trunk.clone();
        let activations = &choice.activation.value;
        ensure!(
            activations.len() == 1 || activations.len() == trunk.len(),
            "{} activations are given for {} hidden layers: one for all or one for each is expected",
            activations.len(),
            trunk.len()
        );
        for (hidden, activation) in trunk.iter_mut().zip(activations.iter().cycle()) {
            hidden.activation = Some(*activation);
        }
        let (mean, log_std) = match (&self.actor.head, choice.head.value) {
            (ActorHead::Pair(mean, log_std, _), _) => (mean.clone(), Some(log_std.clone())),
            (ActorHead::Mean(mean), _) | (ActorHead::Open(mean), HeadKind::Mean) => (mean.clone(), None),
            (ActorHead::Joint(joint) | ActorHead::Open(joint), _) => {
                let (mean, log_std) = split(joint.clone())?;
                (mean, Some(log_std))
            }
        };
        Ok(Mlp { trunk, mean, mean_step: choice.mean_step.value, log_std })
    }

    fn facts(&self, choice: &Choice, log_std: Option<LogStd>) -> Vec<Fact> {
        let squash = choice.squash.value;
        let kind = match (squash, choice.head.value) {
            (Squash::Tanh, HeadKind::Gaussian) => Kind::Sac,
            (_, HeadKind::Gaussian) => Kind::Gaussian,
            (Squash::None, HeadKind::Mean) if self.actor.std_parameter.is_some() => Kind::Gaussian,
            (_, HeadKind::Mean) => Kind::Deterministic,
        };
        let mut facts = vec![Fact::new("kind", kind.name(), &choice.head.source)];
        if !self.actor.trunk.is_empty() {
            let names = choice.activation.value.iter().map(|activation| activation.name()).collect::<Vec<_>>();
            facts.push(Fact::new("activation", names.join(", "), &choice.activation.source));
        }
        facts.push(Fact::new("squash", squash.name(), &choice.squash.source));
        match choice.mean_step.value {
            Some(MeanStep::Tanh) => facts.push(Fact::new("mean", "tanh before the squash", &choice.mean_step.source)),
            Some(MeanStep::Clamp(limit)) => {
                facts.push(Fact::new("mean", format!("clamped to ±{limit}"), &choice.mean_step.source));
            }
            None => {}
        }
        if squash != Squash::None {
            facts.push(Fact::new("action_bounds", choice.bounds.value.describe(), &choice.bounds.source));
        }
        match (&self.log_std, log_std) {
            (Ok(rule), Some(_)) => facts.push(Fact::new("log_std", rule.value.to_string(), &rule.source)),
            (Err(reason), _) => facts.push(Fact::new("log_std", *reason, &Source::File("its layers".into()))),
            _ => {}
        }
        let described = match &choice.normalisation.value {
            None => "none".to_owned(),
            Some(Normalisation { clip: None, .. }) => "(state - mean) / std".to_owned(),
            Some(Normalisation { clip: Some(clip), .. }) => format!("(state - mean) / std, clipped to ±{clip}"),
        };
        facts.push(Fact::new("normalisation", described, &choice.normalisation.source));
        if !self.observation_keys.is_empty() {
            let keys = format!("{}, concatenated in this order", self.observation_keys.join(", "));
            facts.push(Fact::new("input", keys, &Source::File("`observation_space`".into())));
        }
        facts
    }
}
