//! Lists the issues of a body as FastAPI does. The body is read as a stream, of which nothing but the issues is kept: a
//! wrong body takes no more memory than a right one.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, Serialize};
use serde_json::{Number, Value, json};

use super::schema::{Field, Kind};
use super::values::Whole;

/// One issue of a body, in the words of pydantic.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Issue {
    /// The path to it: names of fields and indices of lists.
    #[schemars(with = "Vec<Step>")]
    pub loc: Vec<Value>,
    pub msg: String,
    pub r#type: &'static str,
}

/// A name of a field, or an index of a list.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "describes the JSON of a step")]
enum Step {
    Field(String),
    Item(u64),
}

/// The most issues that are listed. A large batch may have one in every number.
const MAX_ISSUES: usize = 20;

/// Lists the issues of a body. `otherwise` is the message if no field has one, for example if a field occurs twice.
pub fn explain(body: &[u8], fields: &'static [Field], otherwise: &str) -> Vec<Issue> {
    let is_object = body.trim_ascii_start().starts_with(b"{");
    let mut json = serde_json::Deserializer::from_slice(body);
    let mut found = fields.iter().map(|_| None).collect::<Vec<_>>();
    let read = match is_object {
        true => json.deserialize_map(Object { fields, found: &mut found }),
        false => Check { rule: Rule::Anything, at: At::Body, issues: &mut vec![] }.deserialize(&mut json),
    };
    let mut issues = match read.and_then(|()| json.end()) {
        Ok(()) if is_object => fields.iter().zip(found).flat_map(|(field, found)| of_field(field, found)).collect(),
        Ok(()) => vec![At::Body.issue("Input should be a valid dictionary or object", "model_attributes_type")],
        Err(_) if body.iter().all(u8::is_ascii_whitespace) => vec![At::Body.issue("Field required", "missing")],
        Err(error) => vec![At::Body.issue(format!("JSON decode error: {error}"), "json_invalid")],
    };
    if issues.is_empty() {
        issues.push(At::Body.issue(otherwise, "value_error"));
    }
    issues.truncate(MAX_ISSUES);
    issues
}

/// Returns the issues of a field. `found` is None if the body does not have the field.
fn of_field(field: &Field, found: Option<Vec<Issue>>) -> Vec<Issue> {
    match found {
        Some(issues) => issues,
        None if field.required => vec![At::Field(field.name).issue("Field required", "missing")],
        None => vec![],
    }
}

/// A place in a body.
#[derive(Clone, Copy)]
enum At<'a> {
    Body,
    Field(&'static str),
    Item(&'a At<'a>, usize),
}

impl At<'_> {
    fn issue(self, msg: impl Into<String>, r#type: &'static str) -> Issue {
        Issue { loc: self.loc(), msg: msg.into(), r#type }
    }

    fn loc(self) -> Vec<Value> {
        match self {
            At::Body => vec![json!("body")],
            At::Field(name) => vec![json!("body"), json!(name)],
            At::Item(list, index) => [list.loc(), vec![json!(index)]].concat(),
        }
    }
}

/// Reads an object of these fields.
struct Object<'a> {
    fields: &'static [Field],
    /// The issues of each field that occurs. If it occurs twice, those of the last.
    found: &'a mut [Option<Vec<Issue>>],
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(position) = map.next_key_seed(Key(self.fields))? {
            let mut issues = vec![];
            let (rule, at) = match position {
                Some(position) => (Rule::Of(self.fields[position].kind), At::Field(self.fields[position].name)),
                None => (Rule::Anything, At::Body),
            };
            map.next_value_seed(Check { rule, at, issues: &mut issues })?;
            if let Some(position) = position {
                self.found[position] = Some(issues);
            }
        }
        Ok(())
    }
}

/// Reads a key. Returns the position of the field that has this name.
struct Key(&'static [Field]);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|field| field.name == key))
    }
}

/// The type that a value must have.
#[derive(Clone, Copy)]
enum Rule {
    Of(Kind),
    /// A number that is finite as an f32.
    Number,
    Anything,
}

/// Reads a value of any kind, and adds what is wrong with it to the issues.
struct Check<'a> {
    rule: Rule,
    at: At<'a>,
    issues: &'a mut Vec<Issue>,
}

/// A value as far as a rule depends on it.
enum Found {
    Null,
    Boolean,
    Number(Number),
    /// A text, an object, or a list where none is expected.
    Other,
}

impl Check<'_> {
    fn add(&mut self, msg: impl Into<String>, r#type: &'static str) {
        if self.issues.len() < MAX_ISSUES {
            self.issues.push(self.at.issue(msg, r#type));
        }
    }

    /// Checks a value that is no list, or should not be one.
    fn check(&mut self, found: Found) {
        match (self.rule, found) {
            (Rule::Anything, _) | (Rule::Of(Kind::Boolean), Found::Boolean) | (Rule::Of(Kind::Seed), Found::Null) => {}
            (Rule::Number, Found::Number(number)) => {
                if !number.as_f64().is_some_and(|number| (number as f32).is_finite()) {
                    self.add("Input should be a finite number within the range of f32", "finite_number");
                }
            }
            (Rule::Number, _) => self.add("Input should be a valid number", "float_type"),
            (Rule::Of(Kind::State | Kind::States), _) => self.add("Input should be a valid list", "list_type"),
            (Rule::Of(Kind::Boolean), _) => self.add("Input should be a valid boolean", "bool_type"),
            (Rule::Of(Kind::Seed), Found::Number(number)) if Whole::of(&number).is_some() => {}
            (Rule::Of(Kind::Seed), _) => self.add("Input should be a whole number from 0 to 2^64 - 1", "int_type"),
            (Rule::Of(Kind::Count(least)), found) => self.check_count(least, &found),
        }
    }

    fn check_count(&mut self, least: u64, found: &Found) {
        let number = if let Found::Number(number) = found { Some(number) } else { None };
        match number.and_then(Whole::of) {
            Some(Whole(count)) if count >= least => {}
            None if !number.is_some_and(Number::is_i64) => self.add("Input should be a valid integer", "int_type"),
            _ => self.add(format!("Input should be greater than or equal to {least}"), "greater_than_equal"),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Check<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: Error>(mut self) -> Result<(), E> {
        self.check(Found::Null);
        Ok(())
    }

    fn visit_bool<E: Error>(mut self, _: bool) -> Result<(), E> {
        self.check(Found::Boolean);
        Ok(())
    }

    fn visit_u64<E: Error>(mut self, number: u64) -> Result<(), E> {
        self.check(Found::Number(number.into()));
        Ok(())
    }

    fn visit_i64<E: Error>(mut self, number: i64) -> Result<(), E> {
        self.check(Found::Number(number.into()));
        Ok(())
    }

    fn visit_f64<E: Error>(mut self, number: f64) -> Result<(), E> {
        self.check(Number::from_f64(number).map_or(Found::Other, Found::Number));
        Ok(())
    }

    fn visit_str<E: Error>(mut self, _: &str) -> Result<(), E> {
        self.check(Found::Other);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        let (rule, least) = match self.rule {
            Rule::Of(Kind::State) => (Rule::Number, 0),
            Rule::Of(Kind::States) => (Rule::Of(Kind::State), 1),
            _ => (Rule::Anything, 0),
        };
        let mut count = 0;
        let item = |index| At::Item(&self.at, index);
        while list.next_element_seed(Check { rule, at: item(count), issues: &mut *self.issues })?.is_some() {
            count += 1;
        }
        if count < least {
            self.add(format!("List should have at least {least} item, not {count}"), "too_short");
        }
        if matches!(rule, Rule::Anything) {
            self.check(Found::Other);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while map.next_key_seed(Key(&[]))?.is_some() {
            map.next_value_seed(Check { rule: Rule::Anything, at: self.at, issues: &mut *self.issues })?;
        }
        self.check(Found::Other);
        Ok(())
    }
}
