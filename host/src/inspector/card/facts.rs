//! The facts of a policy as entries of a card.

use serde_json::{Value, json};

use super::entries::Entries;
use crate::sandbox::bindings::{Fact, Policy};

/// The facts that count, by their sources.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// All but those that are assumed by the convention of a library: a card would make them the trainer's word.
    Known,
    /// Those of the file itself.
    File,
}

/// Returns the facts of a policy that a card can say.
pub(super) fn facts(policy: &Policy, origin: Origin) -> Entries {
    let is_known = |fact: &&Fact| match origin {
        Origin::Known => !fact.source.starts_with("convention"),
        Origin::File => fact.source.starts_with("file"),
    };
    let mut card = Entries::new();
    for Fact { name, value, .. } in policy.facts.iter().filter(is_known) {
        match name.as_str() {
            "kind" => say(&mut card, "kind", value.as_str()),
            "activation" => say(&mut card, "activation", one_or_list(value)),
            "squash" if ["tanh", "clip", "none"].contains(&value.as_str()) => {
                say(&mut card, "squash", value.as_str());
            }
            "action_bounds" => say_bounds(&mut card, policy),
            "log_std" => say_log_std(&mut card, value),
            "normalisation" => say_normalisation(&mut card, value, policy),
            // Other policies have no names to select.
            "input" if policy.layout == GRAPH => say(&mut card, "input", value.as_str()),
            "outputs" if policy.layout == GRAPH => say(&mut card, "outputs", names(value)),
            _ => {}
        }
    }
    card
}

/// Returns values of facts that are missing. They are never written.
pub(super) fn placeholders(missing: &Entries) -> Entries {
    let number = |null: &Value, number: f64| match null {
        Value::Array(nulls) => json!(vec![number; nulls.len()]),
        _ => json!(number),
    };
    let placeholder = |(key, null): (&String, &Value)| {
        Some(match key.as_str() {
            "kind" => (key.clone(), json!("sac")),
            "activation" => (key.clone(), json!("relu")),
            "squash" => (key.clone(), json!("tanh")),
            "action_low" => (key.clone(), number(null, -1.0)),
            "action_high" => (key.clone(), number(null, 1.0)),
            "obs_mean" => ("normalisation".to_owned(), json!("none")),
            _ => return None,
        })
    };
    missing.iter().filter_map(placeholder).collect()
}

/// The layout of graphs.
const GRAPH: &str = "graph";

fn say(card: &mut Entries, key: &str, value: impl Into<Value>) {
    card.insert(key.to_owned(), value.into());
}

fn names(list: &str) -> Vec<String> {
    list.split(", ").map(str::to_owned).collect()
}

fn one_or_list(list: &str) -> Value {
    if list.contains(", ") { names(list).into() } else { list.into() }
}

fn say_bounds(card: &mut Entries, policy: &Policy) {
    match &policy.action_bounds {
        None => say(card, "action_bounds", "unit"),
        Some(bounds) => {
            say(card, "action_low", bounds.low.clone());
            say(card, "action_high", bounds.high.clone());
        }
    }
}

/// Reads the bounds in a rule such as `clamped to -20 and 2`. A card says them, and the layout the rule.
fn say_log_std(card: &mut Entries, rule: &str) {
    let bounds = rule.split_once(" to ").map(|(_, bounds)| bounds.trim_end_matches(" by tanh"));
    let Some((low, high)) = bounds.and_then(|bounds| bounds.split_once(" and ")) else { return };
    if let (Ok(low), Ok(high)) = (low.parse::<f64>(), high.parse::<f64>()) {
        say(card, "log_std_min", low);
        say(card, "log_std_max", high);
    }
}

/// Says the statistics. A file without any does not say that there are none, and those within a graph are applied by it.
fn say_normalisation(card: &mut Entries, value: &str, policy: &Policy) {
    let Some(normalisation) = policy.normalisation.as_ref().filter(|_| value.starts_with("(state")) else { return };
    let list = |numbers: &[f32]| numbers.iter().map(|number| shortest(*number)).collect::<Vec<_>>();
    say(card, "obs_mean", list(&normalisation.mean));
    say(card, "obs_std", list(&normalisation.std));
    if let Some(clip) = normalisation.clip {
        say(card, "clip_obs", shortest(clip));
    }
}

/// Returns the shortest decimal that is read as the same number.
fn shortest(number: f32) -> f64 {
    number.to_string().parse().unwrap_or_else(|_| number.into())
}
