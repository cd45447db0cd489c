//! The values of request bodies, as serde reads them. An error does not repeat the value, which may be as long as the body.

use std::borrow::Cow;

use schemars::{JsonSchema, SchemaGenerator, json_schema};
use serde::de::{DeserializeSeed, Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Number;

use super::scan::Scan;

/// A whole number from 0 to 2⁶⁴-1. `2.0` is one, as in JSON Schema and pydantic.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Whole(pub u64);

impl Whole {
    pub fn of(number: &Number) -> Option<Self> {
        const END: f64 = (1u128 << 64) as f64;
        let integral = |number: &f64| number.fract() == 0.0 && (0.0..END).contains(number);
        number.as_u64().or_else(|| number.as_f64().filter(integral).map(|number| number as u64)).map(Whole)
    }
}

impl From<Whole> for u64 {
    fn from(whole: Whole) -> u64 {
        whole.0
    }
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = deserializer.deserialize_any(AnyNumber)?;
        number.as_ref().and_then(Whole::of).ok_or_else(|| D::Error::custom("a whole number is expected"))
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

/// The states of a batch.
#[derive(Debug, Default, PartialEq)]
pub struct States {
    /// The numbers of all states, one state after the other.
    pub numbers: Vec<f32>,
    /// The number of states.
    pub count: usize,
    /// The length of the first state.
    length: usize,
    /// The first state of another length than the first one's, and its length.
    other: Option<(usize, usize)>,
}

impl States {
    /// Returns the first state of another length, and its length.
    pub fn other_than(&self, length: usize) -> Option<(usize, usize)> {
        if self.count > 0 && self.length != length { Some((0, self.length)) } else { self.other }
    }

    /// Reads the usual form. Returns `None` for any other.
    pub fn scan(scan: &mut Scan) -> Option<Self> {
        let (mut states, mut numbers) = (States::default(), vec![]);
        scan.lists(&mut numbers, |length| states.end_state(length))?;
        Some(States { numbers, ..states })
    }

    /// Counts a state whose numbers have been appended.
    pub fn end_state(&mut self, length: usize) {
        match self.count {
            0 => self.length = length,
            state if length != self.length => _ = self.other.get_or_insert((state, length)),
            _ => {}
        }
        self.count += 1;
    }
}

impl<'de> Deserialize<'de> for States {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyStates)
    }
}

/// Reads a list of numbers.
pub fn numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
    let mut numbers = vec![];
    AppendTo(&mut numbers).deserialize(deserializer)?;
    Ok(numbers)
}

/// Reads true or false.
pub fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    deserializer.deserialize_any(Flag)
}

/// Implements what each visitor does with a text, which serde's own errors repeat.
macro_rules! expects {
    ($what:literal) => {
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str($what)
        }

        fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
            Err(E::custom(concat!($what, " is expected, found a text")))
        }
    };
}

struct AnyNumber;

impl Visitor<'_> for AnyNumber {
    type Value = Option<Number>;

    expects!("a number");

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(number.into()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Number::from_f64(number))
    }
}

struct Flag;

impl Visitor<'_> for Flag {
    type Value = bool;

    expects!("a boolean");

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(flag)
    }
}

struct AnyStates;

impl<'de> Visitor<'de> for AnyStates {
    type Value = States;

    expects!("a list of states");

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut states = States::default();
        while let Some(length) = list.next_element_seed(AppendTo(&mut states.numbers))? {
            states.end_state(length);
        }
        Ok(states)
    }
}

/// Appends a list of numbers to others. Returns how many there were.
pub struct AppendTo<'a>(pub &'a mut Vec<f32>);

impl<'de> DeserializeSeed<'de> for AppendTo<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AppendTo<'_> {
    type Value = usize;

    expects!("a list of numbers");

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let before = self.0.len();
        while let Some(Single(number)) = list.next_element()? {
            self.0.push(number);
        }
        Ok(self.0.len() - before)
    }
}

/// An f32, infinite if the number is beyond its range.
struct Single(f32);

impl<'de> Deserialize<'de> for Single {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnySingle).map(Single)
    }
}

struct AnySingle;

impl Visitor<'_> for AnySingle {
    type Value = f32;

    expects!("a number");

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(number as f32)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(number as f32)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(number as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::States;

    #[test]
    fn the_first_state_of_another_length_is_known() {
        for (json, length, expected) in [
            ("[[1, 2], [3, 4]]", 2, None),
            ("[[1, 2], [3, 4]]", 3, Some((0, 2))),
            ("[[1, 2], [3, 4, 5], [6]]", 2, Some((1, 3))),
            ("[[1], [2, 3]]", 2, Some((0, 1))),
            ("[[], []]", 1, Some((0, 0))),
            ("[]", 1, None),
        ] {
            let states: States = serde_json::from_str(json).expect("the states are read");
            assert_eq!(states.other_than(length), expected, "{json}");
        }
    }
}
