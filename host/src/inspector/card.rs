//! Writes the card of a checkpoint: the facts that its file and its present card say, and null for each that is missing.

mod entries;
mod facts;

use sac_owner::{Content, SidecarKind};
use serde_json::{Value, json};

use super::{InspectError, Inspector, predict, refused};
use crate::sandbox::bindings::{self, Policy};
use crate::sandbox::instance::Instance;
use entries::{EXAMPLES, Entries, filled, is_said, named_in, null, text};
use facts::{Origin, facts};

/// States of more numbers would make a card of examples long.
const LONGEST_STATE: u32 = 1024;

/// The keys of a card that belong to one checkpoint alone.
const OF_ONE: [&str; 4] = [EXAMPLES, "obs_mean", "obs_std", "clip_obs"];

/// Writes the card of a checkpoint in JSON. That `of_folder` holds nothing that belongs to one checkpoint alone.
pub(super) fn write(inspector: &Inspector, content: Content, of_folder: bool) -> Result<String, InspectError> {
    let mut card = entries(inspector, content, of_folder)?;
    if of_folder {
        card.retain(|key, _| !OF_ONE.contains(&key.as_str()));
    }
    Ok(text(&card))
}

fn entries(inspector: &Inspector, content: Content, of_folder: bool) -> Result<Entries, InspectError> {
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
            Ok(loaded) => return Ok(complete(inspector, &content, &stated, loaded, of_folder)),
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
fn complete(
    inspector: &Inspector,
    content: &Content,
    stated: &Entries,
    (mut instance, policy): (Instance, Policy),
    of_folder: bool,
) -> Entries {
    let with = |card: &Entries, more: &Entries| card.clone().into_iter().chain(more.clone()).collect::<Entries>();
    let mut known = facts(&policy, Origin::Known);
    known.retain(|key, _| !is_said(stated, key));
    let known = with(&known, stated);
    let wanted = !of_folder && !is_said(stated, EXAMPLES);
    let examples = wanted.then(|| examples(&mut instance, policy.state_dim)).flatten();
    let examples = examples.map(|examples| Entries::from_iter([(EXAMPLES.to_owned(), examples)])).unwrap_or_default();
    let loads = |card: &Entries| inspector.load(&with_card(content.clone(), card)).is_ok();
    let fullest = [with(&known, &examples), known, with(stated, &examples)].into_iter().find(loads);
    fullest.unwrap_or_else(|| stated.clone())
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

/// Returns the answers of a policy for a few states, if it has any.
fn examples(instance: &mut Instance, state_dim: u32) -> Option<Value> {
    (state_dim <= LONGEST_STATE).then_some(())?;
    let numbers: [fn(u32) -> f64; 3] =
        [|_| 0.0, |i| if i % 2 == 0 { 0.5 } else { -0.5 }, |i| (f64::from(7 * i % 11) - 5.0) / 10.0];
    let mut example = |number: fn(u32) -> f64| {
        let state = (0..state_dim).map(number).collect::<Vec<_>>();
        let (status, answer) = predict(instance, &json!({ "state": state }).to_string()).ok()?;
        let answer = serde_json::from_slice::<Value>(&answer).ok().filter(|_| status == 200)?;
        Some(json!({ "state": state, "action": answer["action"] }))
    };
    numbers.into_iter().map(&mut example).collect::<Option<Vec<_>>>().map(Value::Array)
}
