//! The normalisation of observations.

use anyhow::{Result, bail, ensure};

use super::super::option::Options;
use crate::card::GivenNormalisation;
use crate::layout::{ActorLayers, Check, LostStatistics, OF_STABLE_BASELINES3, PolicySettings, Unexplained};
use crate::model::{Normalisation, Source};

/// Gathers the normalisation from the file and the card. It is missing if the file has statistics that only examples
/// explain, if states were normalised by statistics that the file does not have, or if those beside it are another's.
pub(super) fn normalisation(
    actor: &ActorLayers,
    settings: &PolicySettings,
    card: Option<GivenNormalisation>,
    unexplained: Option<&Unexplained>,
    lost: Option<&LostStatistics>,
) -> Result<Options<Option<Normalisation>>> {
    if let Some((found, name)) = settings.normalisation(actor.state_dim())? {
        let check = settings.check_of_statistics(&found);
        return Ok(match (card, check) {
            (Some(GivenNormalisation::Vecnormalize), _) => Options::fixed(Some(found), Source::Card),
            (Some(GivenNormalisation::None), Some(Check::Another(_))) => Options::fixed(None, Source::Card),
            (None, Some(Check::Another(_))) => Options::missing(vec![Some(found), None]),
            (card, check) => {
                check_agrees(&found, &name, card.as_ref())?;
                let proof = if matches!(check, Some(Check::Proven)) { ", as the last observation proves" } else { "" };
                Options::fixed(Some(found), Source::File(format!("{name}{proof}").into()))
            }
        });
    }
    Ok(match (card, unexplained) {
        (Some(GivenNormalisation::By(card)), _) => Options::fixed(Some(card), Source::Card),
        (Some(GivenNormalisation::None), _) => Options::fixed(None, Source::Card),
        (Some(GivenNormalisation::Vecnormalize), _) => bail!(NO_STATISTICS),
        (None, Some(unexplained)) => Options::missing(unexplained.candidates.iter().cloned().map(Some).collect()),
        (None, None) if settings.number(&["clip_obs", "obs_clip"]).is_some() => bail!(
            "`clip_obs` is set, and the file has no obs_mean and obs_var: write obs_mean and obs_std into the card, 0 and 1 \
             if a state is only clipped"
        ),
        // Examples may show that states come normalised.
        (None, None) if lost.is_some() => Options::missing(vec![None]),
        // No file of Stable-Baselines3 says that states were not normalised.
        (None, None) if OF_STABLE_BASELINES3.contains(&actor.layout.name) => {
            Options::convention(None, "no statistics of VecNormalize", vec![])
        }
        (None, None) => Options::fixed(None, Source::File("no statistics".into())),
    })
}

/// The error of a card that names statistics which are not there.
pub(in super::super) const NO_STATISTICS: &str = "the card's `normalisation` is vecnormalize, and no file of VecNormalize stands beside \
    the checkpoint: env.save(…) writes it as FILE.vecnormalize.pkl";

/// Fails if a card says something else about the normalisation than the file.
pub(in super::super) fn check_agrees(
    found: &Normalisation,
    name: &str,
    card: Option<&GivenNormalisation>,
) -> Result<()> {
    let is_near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-4 * b.abs().max(1.0));
    let agrees = match card {
        None | Some(GivenNormalisation::Vecnormalize) => true,
        Some(GivenNormalisation::None) => false,
        Some(GivenNormalisation::By(card)) => is_near(&card.mean, &found.mean) && is_near(&card.std, &found.std),
    };
    ensure!(
        agrees,
        "the normalisation of observations by {name} of the file is another than the card's: they must agree"
    );
    Ok(())
}
