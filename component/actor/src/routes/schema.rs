//! Parses request bodies. A body that does not fit its type is read a second time, field by field, to list all its
//! issues as FastAPI does.

use std::borrow::Cow;

use schemars::{JsonSchema, SchemaGenerator, json_schema};
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

/// One issue of a body, in the words of pydantic.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Issue {
    /// The path to it: names of fields and indices of lists.
    pub loc: Vec<Value>,
    pub msg: String,
    pub r#type: &'static str,
}

/// A type that a request body is parsed into. Its fields let [`parse`] explain a refusal.
pub trait Schema: DeserializeOwned {
    const FIELDS: &'static [Field];

    /// Checks what the types of the fields do not ensure.
    fn is_valid(&self) -> bool;
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

/// A whole number from 0 to 2⁶⁴-1. `2.0` is one, as in JSON Schema and pydantic.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Whole(pub u64);

impl Whole {
    fn parse(value: &Value) -> Option<u64> {
        const END: f64 = (1u128 << 64) as f64;
        let integral = |number: &f64| number.fract() == 0.0 && (0.0..END).contains(number);
        value.as_u64().or_else(|| value.as_f64().filter(integral).map(|number| number as u64))
    }
}

impl From<Whole> for u64 {
    fn from(whole: Whole) -> u64 {
        whole.0
    }
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Number::deserialize(deserializer)?;
        Whole::parse(&value.into()).map(Whole).ok_or_else(|| D::Error::custom("a whole number is expected"))
    }
}

impl JsonSchema for Whole {
    fn schema_name() -> Cow<'static, str> {
        "Whole".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> schemars::Schema {
        json_schema!({ "type": "integer", "minimum": 0, "maximum": u64::MAX })
    }
}

/// Parses a body, or returns its issues, of which there is at least one.
pub fn parse<T: Schema>(body: &[u8]) -> Result<T, Vec<Issue>> {
    // serde would also accept a list of the fields' values.
    let is_object = body.trim_ascii_start().starts_with(b"{");
    match serde_json::from_slice::<T>(body) {
        Ok(parsed) if is_object && parsed.is_valid() => Ok(parsed),
        Ok(_) => Err(explain(body, T::FIELDS, "a value is out of range")),
        Err(error) => Err(explain(body, T::FIELDS, &error.to_string())),
    }
}

/// Returns `true` if all numbers are finite.
pub fn finite(state: &[f32]) -> bool {
    state.iter().all(|number| number.is_finite())
}

/// Lists the issues of a body. `otherwise` is the message if no field has one, for example if a field occurs twice.
fn explain(body: &[u8], fields: &[Field], otherwise: &str) -> Vec<Issue> {
    let mut issues = Issues(Vec::new());
    let root = vec![json!("body")];
    match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(object)) => fields.iter().for_each(|field| issues.check_field(&root, field, &object)),
        Ok(_) => issues.add(root.clone(), "Input should be a valid dictionary or object", "model_attributes_type"),
        Err(_) if body.iter().all(u8::is_ascii_whitespace) => issues.add(root.clone(), "Field required", "missing"),
        Err(error) => issues.add(root.clone(), format!("JSON decode error: {error}"), "json_invalid"),
    }
    if issues.0.is_empty() {
        issues.add(root, otherwise, "value_error");
    }
    issues.0
}

struct Issues(Vec<Issue>);

impl Issues {
    /// The most issues that are listed. A large batch may have one in every number.
    const MAX: usize = 20;

    fn add(&mut self, loc: Vec<Value>, msg: impl Into<String>, r#type: &'static str) {
        if self.0.len() < Self::MAX {
            self.0.push(Issue { loc, msg: msg.into(), r#type });
        }
    }

    fn check_field(&mut self, at: &[Value], field: &Field, object: &Map<String, Value>) {
        let loc = below(at, json!(field.name));
        match object.get(field.name) {
            Some(value) => self.check(loc, field.kind, value),
            None if field.required => self.add(loc, "Field required", "missing"),
            None => {}
        }
    }

    fn check(&mut self, loc: Vec<Value>, kind: Kind, value: &Value) {
        match (kind, value) {
            (Kind::State | Kind::States, Value::Array(items)) => self.check_list(&loc, kind, items),
            (Kind::State | Kind::States, _) => self.add(loc, "Input should be a valid list", "list_type"),
            (Kind::Boolean, Value::Bool(_)) | (Kind::Seed, Value::Null) => {}
            (Kind::Boolean, _) => self.add(loc, "Input should be a valid boolean", "bool_type"),
            (Kind::Seed, value) if Whole::parse(value).is_some() => {}
            (Kind::Seed, _) => self.add(loc, "Input should be a whole number from 0 to 2^64 - 1", "int_type"),
            (Kind::Count(least), value) => match Whole::parse(value) {
                Some(count) if count >= least => {}
                None if !value.is_i64() => self.add(loc, "Input should be a valid integer", "int_type"),
                _ => self.add(loc, format!("Input should be greater than or equal to {least}"), "greater_than_equal"),
            },
        }
    }

    fn check_list(&mut self, loc: &[Value], kind: Kind, items: &[Value]) {
        if matches!(kind, Kind::States) && items.is_empty() {
            self.add(loc.to_vec(), "List should have at least 1 item, not 0", "too_short");
        }
        for (index, item) in items.iter().enumerate() {
            let loc = below(loc, json!(index));
            match (kind, item) {
                (Kind::States, item) => self.check(loc, Kind::State, item),
                (_, Value::Number(number)) => {
                    if !number.as_f64().is_some_and(|number| (number as f32).is_finite()) {
                        self.add(loc, "Input should be a finite number within the range of f32", "finite_number");
                    }
                }
                _ => self.add(loc, "Input should be a valid number", "float_type"),
            }
        }
    }
}

/// Returns the path to `key` within `loc`.
fn below(loc: &[Value], key: Value) -> Vec<Value> {
    loc.iter().cloned().chain([key]).collect()
}
