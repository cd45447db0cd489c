//! The meaning of the last layer, and the lengths that an action may have.

use anyhow::{Result, bail};

use super::super::option::Options;
use super::{FILE, HeadKind};
use crate::card::Kind;
use crate::layout::{ActorHead, ActorLayers, PolicySettings};
use crate::model::Source;

pub(super) fn head(actor: &ActorLayers, settings: &PolicySettings, kind: Option<Kind>) -> Result<Options<HeadKind>> {
    let library = actor.layout.name;
    let by_layers = |kind: HeadKind| Options::fixed(kind, Source::File(FILE.into()));
    Ok(match (&actor.head, kind) {
        (ActorHead::Mean(_), Some(Kind::Sac)) => {
            bail!("the card says that the policy is `sac`, and the file has no log_std: the layout is `{library}`")
        }
        (ActorHead::Pair(..), Some(Kind::Deterministic)) => Options::fixed(HeadKind::Mean, Source::Card),
        (ActorHead::Pair(..), _) => by_layers(HeadKind::Gaussian),
        (ActorHead::Mean(_), _) => by_layers(HeadKind::Mean),
        (ActorHead::Joint(_), _) => Options::convention(HeadKind::Gaussian, library, vec![]),
        (ActorHead::Open(_), Some(Kind::Sac)) => Options::fixed(HeadKind::Gaussian, Source::Card),
        (ActorHead::Open(_), Some(_)) => Options::fixed(HeadKind::Mean, Source::Card),
        // A standard deviation that is a parameter needs no output.
        (ActorHead::Open(_), None) if actor.std_parameter.is_some() => by_layers(HeadKind::Mean),
        (ActorHead::Open(_), None) if gaussian_head(settings).is_some() => {
            let name = gaussian_head(settings).unwrap_or_default();
            Options::fixed(HeadKind::Gaussian, Source::File(format!("`{name}`").into()))
        }
        (ActorHead::Open(layer), None) if layer.outputs.is_multiple_of(2) => {
            Options::missing(vec![HeadKind::Gaussian, HeadKind::Mean])
        }
        (ActorHead::Open(_), None) => by_layers(HeadKind::Mean),
    })
}

/// Returns the name of a module that splits the last layer's output into a mean and a standard deviation.
fn gaussian_head<'a>(settings: &PolicySettings<'a>) -> Option<&'a str> {
    // torchrl's, and the function of pfrl's examples of SAC.
    settings.object_of(".NormalParamExtractor").or_else(|| settings.object_of(PFRL_HEAD))
}

/// The function that pfrl's examples of SAC have after the last layer.
pub(super) const PFRL_HEAD: &str = ".squashed_diagonal_gaussian_head";

/// Returns the lengths that an action may have.
pub(super) fn dims(actor: &ActorLayers, head: &Options<HeadKind>) -> Vec<usize> {
    let outputs = actor.head.last().outputs;
    let of = |kind: &HeadKind| match (&actor.head, kind) {
        (ActorHead::Joint(_), _) | (ActorHead::Open(_), HeadKind::Gaussian) => outputs / 2,
        _ => outputs,
    };
    let mut dims = head.to_try(true).iter().map(|kind| of(&kind.value)).collect::<Vec<_>>();
    dims.dedup();
    dims
}
