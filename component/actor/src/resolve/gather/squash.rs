//! The squash, and the step between the head of the mean and it.

use anyhow::{Result, ensure};

use super::super::Given;
use super::super::option::Options;
use super::FILE;
use super::head::PFRL_HEAD;
use crate::card::Kind;
use crate::layout::{ActorHead, ActorLayers, PolicySettings, STABLE_BASELINES3_SDE, TIANSHOU};
use crate::model::{MeanStep, Source, Squash};

pub(super) fn squash(
    actor: &ActorLayers,
    settings: &PolicySettings,
    given: &Given,
    kind: Option<Kind>,
) -> Result<Options<Squash>> {
    let card = given.card.squash();
    let others = || Squash::USUAL.to_vec();
    let module = match actor.head {
        ActorHead::Mean(_) | ActorHead::Open(_) => settings.squash_module(actor)?,
        ActorHead::Pair(..) | ActorHead::Joint(_) => None,
    };
    if let Some((squash, name)) = module {
        ensure!(
            card.is_none_or(|card| card == squash),
            "the squash is {} by {name} of the file and {} by the card: they must agree",
            squash.name(),
            card.map_or("", Squash::name)
        );
        return Ok(Options::fixed(squash, Source::File(name.into())));
    }
    if let (Some((squash, name)), None) = (distribution(settings).or_else(|| settings.squash_setting()), card) {
        return Ok(Options::fixed(squash, Source::File(name.into())));
    }
    Ok(match (card, kind) {
        (Some(card), _) => Options::fixed(card, Source::Card),
        (None, Some(Kind::Sac)) => Options::fixed(Squash::Tanh, Source::Card),
        (None, Some(Kind::Gaussian)) => Options::fixed(Squash::None, Source::Card),
        (None, None) if settings.other_algorithm().is_some() => Options::missing(others()),
        // The Gaussians of skrl are what their users write: `tanh` or not.
        (None, _) if settings.is_of_skrl() => Options::missing(others()),
        (None, _) if matches!(actor.head, ActorHead::Pair(_, _, true)) => Options::missing(others()),
        (None, _) => match (actor.layout.squash, &actor.head) {
            (Some(squash), _) => Options::convention(squash, actor.layout.name, others()),
            (None, ActorHead::Pair(..)) if actor.layout.name == TIANSHOU => tianshou_squash(settings, others()),
            (None, _) => Options::missing(others()),
        },
    })
}

/// Returns the squash of the distribution that the file names: torchrl's, or that of pfrl's examples.
fn distribution(settings: &PolicySettings) -> Option<(Squash, String)> {
    if let Some(name) = settings.object_of(PFRL_HEAD) {
        return Some((Squash::Tanh, format!("`{name}`")));
    }
    let (name, class) = settings.class_at("distribution_class")?;
    let squash = match class.rsplit('.').next()? {
        "TanhNormal" | "TanhDelta" => Squash::Tanh,
        "IndependentNormal" | "Normal" | "Delta" => Squash::None,
        _ => return None,
    };
    Some((squash, format!("`{name}`")))
}

/// The actor of tianshou is made for SAC's squash if it is `unbounded`, which its state_dict does not contain.
fn tianshou_squash(settings: &PolicySettings, others: Vec<Squash>) -> Options<Squash> {
    match settings.number(&["_unbounded"]) {
        Some(_) => Options::fixed(Squash::Tanh, Source::File("`_unbounded`".into())),
        None => Options::missing(others),
    }
}

/// Returns the step between the head of the mean and the squash.
pub(super) fn mean_step(actor: &ActorLayers, settings: &PolicySettings) -> Result<Options<Option<MeanStep>>> {
    match actor.layout.name {
        // With a `clip_mean` of 0 the head is a plain layer.
        STABLE_BASELINES3_SDE if actor.head.last().name == "mu" => Ok(Options::fixed(None, Source::File(FILE.into()))),
        STABLE_BASELINES3_SDE => {
            const DEFAULT: f64 = 2.0;
            let names = ["clip_mean", "policy_kwargs.clip_mean", "mu.1.max_val"];
            Ok(match settings.number(&names) {
                Some(limit) => Options::fixed(Some(MeanStep::Clamp(limit as f32)), Source::File("`clip_mean`".into())),
                // A state_dict does not contain the arguments of its policy, whose default may not be meant.
                None if settings.text(&["policy_class", "features_extractor_class"]).is_none() => {
                    Options::missing(vec![Some(MeanStep::Clamp(DEFAULT as f32)), None])
                }
                None => Options::convention(
                    Some(MeanStep::Clamp(DEFAULT as f32)),
                    "SACPolicy's default of clip_mean",
                    vec![None],
                ),
            })
        }
        TIANSHOU => Ok(match settings.number(&["_unbounded"]) {
            Some(0.0) => {
                let limit = settings.number(&["max_action"]).unwrap_or(1.0);
                ensure!(limit == 1.0, "`max_action` of a bounded actor is {limit}: 1 is expected");
                Options::fixed(Some(MeanStep::Tanh), Source::File("`_unbounded`".into()))
            }
            Some(_) => Options::fixed(None, Source::File("`_unbounded`".into())),
            // The squash is missing as well, so that only a card decides.
            None => Options::convention(None, "an unbounded actor", vec![Some(MeanStep::Tanh)]),
        }),
        _ => Ok(Options::fixed(None, Source::File(FILE.into()))),
    }
}
