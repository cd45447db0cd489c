//! The entries of a card as JSON.

use serde_json::{Map, Value, json};

/// The entries of a card.
pub(super) type Entries = Map<String, Value>;

pub(super) const EXAMPLES: &str = "examples";

/// The keys of a card, in the order in which they are written.
const KEYS: [&str; 15] = [
    "kind",
    "activation",
    "squash",
    "action_bounds",
    "action_low",
    "action_high",
    "log_std_min",
    "log_std_max",
    "normalisation",
    "obs_mean",
    "obs_std",
    "clip_obs",
    "input",
    "outputs",
    EXAMPLES,
];

/// The keys that say one fact together. A card that has one of them says the fact.
const GROUPS: [&[&str]; 3] = [
    &["action_low", "action_high", "action_bounds"],
    &["log_std_min", "log_std_max"],
    &["obs_mean", "obs_std", "clip_obs", "normalisation", "normalization"],
];

/// The keys of which a card has both or none.
const PAIRS: [[&str; 2]; 3] = [["action_low", "action_high"], ["log_std_min", "log_std_max"], ["obs_mean", "obs_std"]];

/// Returns the entries without nulls, which stand for what is to be filled in, and without the other half of a pair.
pub(super) fn filled(card: &Entries) -> Entries {
    let mut filled = card.clone();
    if let Some(Value::Array(examples)) = filled.get_mut(EXAMPLES) {
        examples.retain(is_filled);
    }
    filled.retain(|key, value| is_filled(value) && !(key == EXAMPLES && value.as_array().is_some_and(Vec::is_empty)));
    for pair in PAIRS {
        if pair.iter().any(|key| !filled.contains_key(*key)) {
            pair.iter().for_each(|key| drop(filled.remove(*key)));
        }
    }
    filled
}

fn is_filled(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(values) => values.iter().all(is_filled),
        Value::Object(entries) => entries.values().all(is_filled),
        _ => true,
    }
}

/// Returns `true` if entries say what this key would.
pub(super) fn is_said(entries: &Entries, key: &str) -> bool {
    let group = GROUPS.iter().find(|group| group.contains(&key));
    entries.contains_key(key) || group.is_some_and(|group| group.iter().any(|key| entries.contains_key(*key)))
}

/// Returns null for each key that a refusal names as what would supply a missing fact.
pub(super) fn named_in(refusal: &str) -> Entries {
    let named = KEYS.iter().filter(|key| refusal.contains(&format!("\"{key}\":")));
    named.map(|key| ((*key).to_owned(), Value::Null)).collect()
}

/// Returns the null for a key, with a place for each number of an action.
pub(super) fn null(key: &str, action_dim: Option<u32>) -> Value {
    match (key, action_dim) {
        ("action_low" | "action_high", Some(action_dim)) => vec![Value::Null; action_dim as usize].into(),
        (EXAMPLES, _) => json!([{ "state": [null], "action": [null] }]),
        _ => Value::Null,
    }
}

/// Writes a card, with a line for each entry and each example.
pub(super) fn text(card: &Entries) -> String {
    if card.is_empty() {
        return "{}\n".to_owned();
    }
    let mut entries = card.iter().collect::<Vec<_>>();
    entries.sort_by_key(|(key, _)| KEYS.iter().position(|known| known == key));
    let lines = entries.into_iter().map(|(key, value)| match value {
        Value::Array(examples) if key == EXAMPLES => {
            let examples = examples.iter().map(|example| format!("    {}", example_text(example))).collect::<Vec<_>>();
            format!("  \"{key}\": [\n{}\n  ]", examples.join(",\n"))
        }
        value => format!("  {}: {value}", Value::from(key.as_str())),
    });
    format!("{{\n{}\n}}\n", lines.collect::<Vec<_>>().join(",\n"))
}

/// Writes the state before the action.
fn example_text(example: &Value) -> String {
    match (&example["state"], &example["action"], example.as_object().map(Entries::len)) {
        (state, action, Some(2)) => format!("{{\"state\": {state}, \"action\": {action}}}"),
        _ => example.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(card: Value) -> Entries {
        serde_json::from_value(card).unwrap()
    }

    #[test]
    fn nulls_and_halves_of_pairs_are_not_filled() {
        let card = json!({
            "activation": null, "squash": "tanh", "action_low": [-1.0, null], "action_high": [1.0, 1.0],
            "examples": [{ "state": [null], "action": [1.0] }, { "state": [1.0], "action": [1.0] }],
        });
        let expected = json!({ "squash": "tanh", "examples": [{ "state": [1.0], "action": [1.0] }] });
        assert_eq!(filled(&entries(card)), entries(expected));
        assert!(filled(&entries(json!({ "examples": [{ "state": [null] }] }))).is_empty());
    }

    #[test]
    fn one_key_of_a_fact_says_it() {
        let card = entries(json!({ "action_bounds": "unit", "normalization": "none" }));
        for key in ["action_low", "action_bounds", "obs_mean", "normalisation"] {
            assert!(is_said(&card, key), "{key}");
        }
        assert!(!is_said(&card, "activation") && !is_said(&card, "log_std_min"));
    }

    #[test]
    fn a_refusal_names_what_is_missing() {
        let refusal = "Write {\"action_low\": [LOW, LOW], \"action_high\": [HIGH, HIGH]} into FILE.policy.json";
        assert_eq!(named_in(refusal), entries(json!({ "action_low": null, "action_high": null })));
        assert_eq!(null("action_low", Some(2)), json!([null, null]));
        assert!(named_in("the file holds no tensors").is_empty());
    }

    #[test]
    fn a_card_is_written_in_the_order_of_its_keys() {
        let card =
            json!({ "examples": [{ "action": 2, "state": [1] }], "activation": ["relu", "tanh"], "kind": "sac" });
        let expected = "{\n  \"kind\": \"sac\",\n  \"activation\": [\"relu\",\"tanh\"],\n  \"examples\": [\n    {\"state\": [1], \"action\": 2}\n  ]\n}\n";
        assert_eq!(text(&entries(card)), expected);
    }
}
