//! The activations of the hidden layers.

use anyhow::{Result, bail};

use super::super::Given;
use super::super::option::Options;
use super::FILE;
use crate::layout::{ActorLayers, Named, PolicySettings};
use crate::model::{Activation, Source};

pub(super) fn activation(
    actor: &ActorLayers,
    settings: &PolicySettings,
    given: &Given,
    foreign_code: bool,
) -> Result<Options<Vec<Activation>>> {
    let all = || Activation::ALL.map(|activation| vec![activation]).to_vec();
    let named = if foreign_code { None } else { settings.activation(actor)? };
    let found = named.map(|named| match named {
        Named::All(activation, name) => (vec![activation], name),
        Named::Each(each) => {
            let is_one = each.windows(2).all(|pair| pair[0] == pair[1]);
            (if is_one { each[..1].to_vec() } else { each }, "its modules".to_owned())
        }
    });
    let card = given.card.activation()?;
    if let Some((found, name)) = found {
        let is_same = |card: &Vec<Activation>| same_activations(card, &found, actor.trunk.len());
        if let Some(card) = card.as_ref().filter(|card| !is_same(card)) {
            let names = |list: &[Activation]| list.iter().map(|a| a.name()).collect::<Vec<_>>().join(", ");
            bail!(
                "the activation is {} by {name} of the file and {} by the card: they must agree",
                names(&found),
                names(card)
            );
        }
        return Ok(Options::fixed(found, Source::File(name.into())));
    }
    if let Some(card) = card {
        return Ok(Options::fixed(card, Source::Card));
    }
    // A flag speaks of the network that the library makes.
    if let Some(activation) = given.operator.activation.filter(|_| !foreign_code) {
        return Ok(Options::fixed(vec![activation], Source::Flag("--activation")));
    }
    Ok(match actor.layout.activation {
        _ if actor.trunk.is_empty() => Options::fixed(vec![Activation::Relu], Source::File(FILE.into())),
        Some(activation) => Options::convention(vec![activation], actor.layout.name, all()),
        None => Options::missing(all()),
    })
}

fn same_activations(a: &[Activation], b: &[Activation], layers: usize) -> bool {
    let count = layers.max(1);
    a.iter().cycle().take(count).eq(b.iter().cycle().take(count))
}
