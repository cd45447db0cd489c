//! Parsers for clap of the values that `sac_owner::settings` defines.

use std::ffi::OsStr;
use std::str::FromStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Arg, Command, Error};
use sac_owner::settings;

/// Parses a boolean, and offers `true` and `false` in help and completions.
#[derive(Clone)]
pub struct Boolean;

impl TypedValueParser for Boolean {
    type Value = bool;

    fn parse_ref(&self, command: &Command, argument: Option<&Arg>, value: &OsStr) -> Result<bool, Error> {
        settings::boolean.parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue>>> {
        Some(Box::new(["true", "false"].map(PossibleValue::new).into_iter()))
    }
}

/// Parses a type that has a name for each value, and offers `names` in help and completions.
pub fn one_of<T>(names: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(names).try_map(|name| name.parse())
}
