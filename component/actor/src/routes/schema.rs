//! Parses request bodies. A body that does not fit its type is read a second time to list its issues.

use serde::de::DeserializeOwned;

use super::explain::{Issue, explain};

/// A type that a request body is parsed into. Its fields let [`parse`] explain a refusal.
pub trait Schema: DeserializeOwned {
    const FIELDS: &'static [Field];

    /// Checks what the types of the fields do not ensure.
    fn is_valid(&self) -> bool;

    /// Reads a valid body of the usual form, faster than serde does. Returns `None` for any other.
    fn scan(_body: &[u8]) -> Option<Self> {
        None
    }
}

/// A field of a request body.
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub required: bool,
}

/// The type of a field.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A list of numbers, each finite as an f32.
    State,
    /// A list of at least one state.
    States,
    Boolean,
    /// A whole number from 0 to 2⁶⁴-1, or null.
    Seed,
    /// A whole number of at least this much.
    Count(u64),
}

/// Parses a body, or returns its issues, of which there is at least one.
pub fn parse<T: Schema>(body: &[u8]) -> Result<T, Vec<Issue>> {
    match T::scan(body) {
        Some(parsed) => Ok(parsed),
        None => parse_any(body),
    }
}

fn parse_any<T: Schema>(body: &[u8]) -> Result<T, Vec<Issue>> {
    // serde would also accept a list of the fields' values.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(explain(body, T::FIELDS, "an object is expected"));
    }
    match serde_json::from_slice::<T>(body) {
        Ok(parsed) if parsed.is_valid() => Ok(parsed),
        Ok(_) => Err(explain(body, T::FIELDS, "a value is out of range")),
        Err(error) => Err(explain(body, T::FIELDS, &error.to_string())),
    }
}

/// Returns `true` if all numbers are finite.
pub fn finite(state: &[f32]) -> bool {
    state.iter().all(|number| number.is_finite())
}
