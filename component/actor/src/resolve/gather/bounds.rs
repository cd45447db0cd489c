//! The bounds that actions are scaled to.

use anyhow::{Result, ensure};

use super::super::Given;
use super::super::bounds::BoundsOption;
use super::super::option::Options;
use super::head::PFRL_HEAD;
use crate::card::GivenBounds;
use crate::layout::{Layout, PolicySettings, TIANSHOU};
use crate::model::Source;

pub(super) fn bounds(
    layout: &Layout,
    settings: &PolicySettings,
    given: &Given,
    action_dims: &[usize],
) -> Result<Options<BoundsOption>> {
    let action_dim = action_dims.first().copied().unwrap_or(1);
    let with_limit = layout.name != TIANSHOU;
    let file = if action_dims.len() > 1 { None } else { settings.action_bounds(action_dim, with_limit)? };
    let scales = settings.number(&["action_scaling"]) != Some(0.0);
    let card = given.card.bounds();
    let of = |bounds: &GivenBounds| {
        // The length of an action decides the kind of an open head; until then one number stands for all.
        let fits = |dim: &&usize| BoundsOption::given(bounds, **dim).is_ok();
        BoundsOption::given(bounds, *action_dims.iter().find(fits).unwrap_or(&action_dim))
    };
    if let Some((bounds, name)) = file.filter(|_| scales) {
        let found = BoundsOption::Scaled(bounds.clone());
        if let Some(card) = &card {
            let card = of(card)?;
            ensure!(
                is_same(&found, &card, action_dim),
                "the action bounds are {} by {name} of the file and {} by the card: they must agree",
                found.describe(),
                card.describe()
            );
        }
        return Ok(Options::fixed(found, Source::File(name.into())));
    }
    if let Some(scaler) = settings.action_scaler(action_dim)? {
        let found = scaler.map_or(BoundsOption::Unscaled, BoundsOption::Scaled);
        if let Some(card) = card.as_ref().map(of).transpose()? {
            ensure!(
                is_same(&found, &card, action_dim),
                "the action bounds are {} by the config of the file and {} by the card: they must agree",
                found.describe(),
                card.describe()
            );
        }
        return Ok(Options::fixed(found, Source::File("`config.action_scaler`".into())));
    }
    if !scales {
        return Ok(Options::fixed(BoundsOption::Unscaled, Source::File("`action_scaling`".into())));
    }
    if let Some((bounds, source)) = given.bounds() {
        return Ok(Options::fixed(of(&bounds)?, source));
    }
    let others = vec![BoundsOption::Unscaled, BoundsOption::Fitted];
    if settings.object_of(PFRL_HEAD).is_some() {
        return Ok(Options::convention(BoundsOption::Unscaled, "pfrl", others));
    }
    if settings.class_at("distribution_class").is_some_and(|(_, class)| class.ends_with(".TanhNormal")) {
        return Ok(Options::convention(BoundsOption::Unscaled, "TanhNormal's default", others));
    }
    Ok(if layout.is_unit {
        Options::convention(BoundsOption::Unscaled, layout.name, others)
    } else {
        Options::missing(others)
    })
}

/// Returns `true` if two bounds are the same, as far as f32 tells.
fn is_same(a: &BoundsOption, b: &BoundsOption, action_dim: usize) -> bool {
    let numbers = |option: &BoundsOption| match option {
        BoundsOption::Scaled(bounds) => [bounds.bounds().low.clone(), bounds.bounds().high.clone()].concat(),
        _ => [vec![-1.0; action_dim], vec![1.0; action_dim]].concat(),
    };
    let (a, b) = (numbers(a), numbers(b));
    a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs().max(1.0))
}
