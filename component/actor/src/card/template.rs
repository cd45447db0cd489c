//! The card that is written for an operator to complete.

use serde_json::{Map, Value, json};

/// A fact that a file lacks: its name for people, and what supplies it.
#[derive(Debug, Clone)]
pub struct Missing {
    /// The name in a sentence, such as `the activation`.
    pub name: &'static str,
    /// The entry of a card that supplies it, such as `"activation": "NAME"`.
    pub card: String,
    /// The flag that supplies it, if there is one.
    pub flag: Option<&'static str>,
    /// The keys of the card.
    pub keys: &'static [&'static str],
}

/// Writes a card in JSON: null for each fact that is missing, and an example to fill in if there is any.
pub fn template(missing: &[Missing], state_dim: usize, action_dim: usize) -> String {
    let mut card = Map::new();
    for key in missing.iter().flat_map(|missing| missing.keys) {
        let value = if key.starts_with("action_") { Value::from(vec![Value::Null; action_dim]) } else { Value::Null };
        card.insert((*key).to_owned(), value);
    }
    if missing.is_empty() {
        return "{}\n".to_owned();
    }
    let nulls = |count: usize| vec![Value::Null; count];
    card.insert("examples".to_owned(), json!([{ "state": nulls(state_dim), "action": nulls(action_dim) }]));
    format!("{:#}\n", Value::Object(card))
}
