//! The rule for log_std.

use anyhow::Result;

use super::super::Given;
use crate::layout::{ActorHead, ActorLayers, PolicySettings, STABLE_BASELINES3_SDE};
use crate::model::{LogStd, Source, Sourced};

pub(super) fn log_std(
    actor: &ActorLayers,
    settings: &PolicySettings,
    given: &Given,
) -> Result<Result<Sourced<LogStd>, &'static str>> {
    let layout = actor.layout;
    Ok(match &actor.head {
        _ if layout.name == STABLE_BASELINES3_SDE => Err("actions explored by gSDE are not sampled"),
        ActorHead::Mean(_) => Err("none: the policy is deterministic only"),
        ActorHead::Open(_) if actor.std_parameter.is_some() => Err("a parameter, which is not sampled"),
        _ => {
            if let Some(rule) = given.card.log_std(layout.log_std)? {
                return Ok(Ok(Sourced::new(rule, Source::Card)));
            }
            let rule = layout.log_std.map(|rule| anyhow::Ok((rule, settings.log_std(rule)?))).transpose()?;
            match rule {
                Some((usual, rule)) if usual != rule => Ok(Sourced::new(rule, Source::File("`log_std_min`".into()))),
                Some((usual, _)) => Ok(Sourced::new(usual, Source::Convention(layout.name))),
                None => Err("its rule is not known, so that actions are not sampled: give log_std_min and log_std_max"),
            }
        }
    })
}
