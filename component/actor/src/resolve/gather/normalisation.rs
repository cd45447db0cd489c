//! The normalisation of observations.

use anyhow::{Result, bail, ensure};

use super::super::Given;
use super::super::option::Options;
use crate::layout::{ActorLayers, PolicySettings, Unexplained};
use crate::model::{Normalisation, Source};

pub(super) fn normalisation(
    actor: &ActorLayers,
    settings: &PolicySettings,
    given: &Given,
    unexplained: Option<&Unexplained>,
) -> Result<Options<Option<Normalisation>>> {
    let state_dim = actor.state_dim();
    let file = settings.normalisation(state_dim)?;
    let card = match (&given.card.obs_mean, &given.card.obs_std) {
        (Some(mean), Some(std)) => {
            ensure!(
                mean.len() == state_dim && std.len() == state_dim,
                "`obs_mean` and `obs_std` of the card have {} and {} numbers: {state_dim} are expected",
                mean.len(),
                std.len()
            );
            Some(Normalisation::new(mean, std, given.card.clip_obs)?)
        }
        _ => None,
    };
    if let Some((found, name)) = file {
        return fixed_normalisation(found, name, card);
    }
    Ok(match (card, unexplained) {
        (Some(card), _) => Options::fixed(Some(card), Source::Card),
        (None, Some(unexplained)) => Options::missing(unexplained.candidates.iter().cloned().map(Some).collect()),
        (None, None) if settings.number(&["clip_obs", "obs_clip"]).is_some() => bail!(
            "`clip_obs` is set, and the file has no obs_mean and obs_var: write obs_mean and obs_std into the card, 0 and 1 \
             if a state is only clipped"
        ),
        (None, None) => Options::fixed(None, Source::File("no statistics".into())),
    })
}

fn fixed_normalisation(
    found: Normalisation,
    name: String,
    card: Option<Normalisation>,
) -> Result<Options<Option<Normalisation>>> {
    let is_near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-4 * b.abs().max(1.0));
    let agrees = |card: &Normalisation| is_near(&card.mean, &found.mean) && is_near(&card.std, &found.std);
    ensure!(
        card.as_ref().is_none_or(agrees),
        "the normalisation of observations by {name} of the file is another than the card's: they must agree"
    );
    Ok(Options::fixed(Some(found), Source::File(name.into())))
}
