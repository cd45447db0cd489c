//! Reads the JSON of an inference request, in one pass that keeps no more than the request needs.
//!
//! One visitor reads all of it, by the table of `place.rs`. Derived code would have a visitor for each type, which takes
//! several times the room in the component; it would accept lists in the place of objects, and repeat long texts in errors.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use serde_json::Number;

use super::output::Output;
use super::place::Place;
use super::request::{Datatype, Inference, Input, RequestedOutput};
use super::state::STATE;
use crate::routes::limits::MAX_ID;
use crate::routes::values::{AppendTo, States, Whole};

/// Reads an inference request.
pub fn read(json: &[u8]) -> Result<Inference, serde_json::Error> {
    let mut request = Inference::default();
    let mut json = serde_json::Deserializer::from_slice(json);
    Reader { place: Place::Request, request: &mut request }.deserialize(&mut json)?;
    json.end()?;
    Ok(request)
}

/// Reads the value at a place into a request.
struct Reader<'a> {
    place: Place,
    request: &'a mut Inference,
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Reader<'_> {
    fn input(&mut self) -> &mut Input {
        self.request.input.get_or_insert_default()
    }

    /// The error for a value of another kind.
    fn unexpected<T, E: Error>(self, found: &str) -> Result<T, E> {
        Err(E::invalid_type(Unexpected::Other(found), &self))
    }

    fn name_output<E: Error>(self, name: &str) -> Result<(), E> {
        let output = Output::named(name);
        let output =
            output.ok_or_else(|| E::custom("an output is unknown: there are `action`, `mean` and `log_std`"))?;
        if let Some((last, others)) = self.request.outputs.split_last_mut() {
            if others.iter().any(|other| other.output == output) {
                return Err(E::custom(format_args!("the output `{name}` is asked for twice")));
            }
            last.output = output;
        }
        Ok(())
    }

    fn number<E: Error>(mut self, number: Option<Number>, single: f32) -> Result<(), E> {
        let whole = number.as_ref().and_then(Whole::of).map(u64::from);
        match (self.place, whole) {
            (Place::Element, _) => {
                let data = self.input().data.get_or_insert_default();
                if data.count > 0 {
                    return Err(E::custom(MIXED));
                }
                data.numbers.push(single);
            }
            (Place::Seed, Some(_)) => self.request.seed = whole,
            (Place::BinaryDataSize, Some(_)) => self.input().binary_data_size = whole,
            (Place::Size, Some(size)) => self.input().shape.push(size),
            (Place::Classification, _) => return Err(E::custom(ELSEWHERE)),
            _ => return self.unexpected("another number"),
        }
        Ok(())
    }

    /// Makes room for what an object says.
    fn begin<E: Error>(&mut self) -> Result<(), E> {
        match self.place {
            Place::Input if self.request.input.is_some() => return Err(E::custom("there is one input, `state`")),
            Place::Input => self.request.input = Some(Input::default()),
            Place::Output => self.request.outputs.push(RequestedOutput { output: Output::Action, binary_data: None }),
            _ => {}
        }
        Ok(())
    }
}

const MIXED: &str = "the data mixes numbers and lists";
const ELSEWHERE: &str = "tensors are neither classified nor in shared memory";

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {}", self.place.kind(), self.place.name())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        if self.place.is_nullable() { Ok(()) } else { self.unexpected("null") }
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<(), E> {
        match self.place {
            Place::Deterministic => self.request.deterministic = flag,
            Place::BinaryDataOutput => self.request.binary_data_output = flag,
            Place::BinaryData => {
                self.request.outputs.last_mut().into_iter().for_each(|output| output.binary_data = Some(flag));
            }
            _ => return self.unexpected("a boolean"),
        }
        Ok(())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.number(Some(number.into()), number as f32)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.number(Some(number.into()), number as f32)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.number(Number::from_f64(number), number as f32)
    }

    /// A text may be as long as the body. No error repeats it.
    fn visit_str<E: Error>(mut self, text: &str) -> Result<(), E> {
        match self.place {
            Place::Id if text.len() > MAX_ID => {
                return Err(E::custom(format_args!("the id is longer than {MAX_ID} bytes")));
            }
            Place::Id => self.request.id = Some(text.to_owned()),
            Place::InputName if text != STATE => return Err(E::custom("an input is unknown: there is `state`")),
            Place::InputName => {}
            Place::Datatype => match Datatype::named(text) {
                Some(datatype) => self.input().datatype = datatype,
                None => return Err(E::custom("the datatype of `state` is FP32 or FP64")),
            },
            Place::OutputName => return self.name_output(text),
            Place::SharedMemory => return Err(E::custom(ELSEWHERE)),
            _ => return self.unexpected("a text"),
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        if self.place == Place::Element {
            let data = self.input().data.get_or_insert_default();
            if data.count == 0 && !data.numbers.is_empty() {
                return Err(A::Error::custom(MIXED));
            }
            let length = AppendTo(&mut data.numbers).visit_seq(list)?;
            data.end_state(length);
            return Ok(());
        }
        let Some(place) = self.place.element() else { return self.unexpected("a list") };
        if place == Place::Element {
            // An empty list is data too.
            self.input().data = Some(States::default());
        }
        while list.next_element_seed(Reader { place, request: &mut *self.request })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let fields = self.place.fields();
        if fields.is_empty() {
            return self.unexpected("an object");
        }
        self.begin()?;
        let mut is_read = [false; Place::MOST_FIELDS];
        while let Some(index) = map.next_key_seed(Key(fields))? {
            let (Some(place), Some(is_read)) = (fields.get(index), is_read.get_mut(index)) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if std::mem::replace(is_read, true) {
                return Err(A::Error::duplicate_field(place.name()));
            }
            map.next_value_seed(Reader { place: *place, request: &mut *self.request })?;
        }
        match fields.iter().zip(is_read).find(|(place, is_read)| place.is_required() && !is_read) {
            Some((place, _)) => Err(A::Error::missing_field(place.name())),
            None => Ok(()),
        }
    }
}

/// Reads a key. Returns the index of the field that has this name; beyond them if none has.
struct Key(&'static [Place]);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Key {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<usize, E> {
        Ok(self.0.iter().position(|place| place.name() == key).unwrap_or(self.0.len()))
    }
}
