//! Writes the card of a checkpoint: the facts that its file and its present card say, and null for each that is missing.

mod entries;
mod facts;

use sac_owner::{Content, SidecarKind};
use serde_json::Value;

use super::{InspectError, Inspector, refused};
use crate::sandbox::bindings::{self, Policy};
use entries::{EXAMPLES, Entries, filled, is_said, named_in, null, text};
use facts::{Origin, facts};

/// The keys of a card that belong to one checkpoint alone.
const OF_ONE: [&str; 4] = [EXAMPLES, "obs_mean", "obs_std", "clip_obs"];

/// Writes the card of a checkpoint in JSON. That `of_folder` holds nothing that belongs to one checkpoint alone.
pub(super) fn write(inspector: &Inspector, content: Content, of_folder: bool) -> Result<String, InspectError> {
    let mut card = entries(inspector, content)?;
    if of_folder {
        card.retain(|key, _| !OF_ONE.contains(&key.as_str()));
    }
    Ok(text(&card))
}

fn entries(inspector: &Inspector, content: Content) -> Result<Entries, InspectError> {
    // The component explains a card that is no JSON object.
    let present = own_card(&content).and_then(|card| serde_json::from_slice::<Entries>(card).ok());
    let content = match &present {
        // It refuses a null, which the template has for a fact that is still missing.
        Some(present) => with_card(content, &filled(present)),
        None => content,
    };
    let present = present.unwrap_or_default();
    let stated = filled(&present);
    let (mut missing, examples) = template(inspector, &content)?;
    if missing.is_empty() {
        match inspector.load(&content) {
            Ok((_, policy)) => return Ok(complete(inspector, &content, &stated, &policy)),
            Err(error) => {
                missing = named_in(&error.to_string());
                missing.retain(|key, _| !is_said(&stated, key));
                if missing.is_empty() {
                    return Err(refused(error));
                }
                // Those of the template have a place for each number.
                missing.entry(EXAMPLES).and_modify(|null| *null = examples);
            }
        }
    }
    Ok(incomplete(inspector, content, &present, missing))
}

/// Returns null for each fact that is missing, and examples of nulls, as far as the component's template of a card has them.
fn template(inspector: &Inspector, content: &Content) -> Result<(Entries, Value), InspectError> {
    let mut instance = inspector.factory.instance()?;
    let template = bindings::with_file(content, |file| instance.card(file, inspector.factory.facts()));
    let template = template.map_err(anyhow::Error::from)?.map_err(InspectError::Refused)?;
    let mut missing = serde_json::from_str::<Entries>(&template).map_err(anyhow::Error::from)?;
    // They are an invitation where other facts are missing.
    let examples = missing.remove(EXAMPLES).unwrap_or_default();
    Ok((missing, examples))
}

/// Returns the card of a policy that lacks nothing: the fullest with which it still loads, since a fact that a card repeats may be
/// read otherwise than it was meant.
fn complete(inspector: &Inspector, content: &Content, stated: &Entries, policy: &Policy) -> Entries {
    let with = |card: &Entries, more: &Entries| card.clone().into_iter().chain(more.clone()).collect::<Entries>();
    let mut known = facts(policy, Origin::Known);
    known.retain(|key, _| !is_said(stated, key));
    let known = with(&known, stated);
    let loads = inspector.load(&with_card(content.clone(), &known)).is_ok();
    if loads { known } else { stated.clone() }
}

/// Returns the card of a policy that lacks facts, for which placeholders stand while the file is asked for the others.
fn incomplete(inspector: &Inspector, content: Content, present: &Entries, missing: Entries) -> Entries {
    let stated = filled(present);
    let mut whole = stated.clone();
    whole.extend(facts::placeholders(&missing));
    let policy = inspector.load(&with_card(content, &whole)).ok().map(|(_, policy)| policy);
    let mut card = policy.as_ref().map(|policy| facts(policy, Origin::File)).unwrap_or_default();
    // The kind follows from the squash, and the squash from the kind.
    if missing.contains_key("kind") || missing.contains_key("squash") {
        card.remove("kind");
    }
    card.retain(|key, _| !is_said(&stated, key) && !is_said(&missing, key));
    for (key, value) in missing {
        let null = if value.is_null() { null(&key, policy.as_ref().map(|policy| policy.action_dim)) } else { value };
        // An entry of the present card may be filled in part.
        card.insert(key.clone(), present.get(&key).cloned().unwrap_or(null));
    }
    card.extend(stated);
    card
}

fn own_card(content: &Content) -> Option<&[u8]> {
    content.sidecars.iter().find(|sidecar| sidecar.kind == SidecarKind::Card).map(|sidecar| &*sidecar.bytes)
}

fn with_card(content: Content, card: &Entries) -> Content {
    content.with_card(text(card).into_bytes())
}
