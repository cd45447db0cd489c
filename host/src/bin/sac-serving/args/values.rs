//! Parsers for clap of the values that `sac_owner::settings` defines.

use std::ffi::OsStr;
use std::str::FromStr;
use std::time::Duration;

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

/// Parses a duration that is not zero.
pub fn some_time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time.is_zero() { Err("expected more than 0s".to_owned()) } else { Ok(time) }
}

/// Parses a number of bytes of at least `LEAST`, which may have a unit.
pub fn bytes_from<T: TryFrom<u64>, const LEAST: u64>(text: &str) -> Result<T, String> {
    let number = settings::bytes::<u64>(text).map_err(|error| error.to_string())?;
    let number = T::try_from(number).ok().filter(|_| number >= LEAST);
    number.ok_or_else(|| format!("at least {LEAST} bytes are expected"))
}

/// Parses a whole number of an unsigned type that is at least `LEAST`.
pub fn whole<T: TryFrom<u64>, const LEAST: u64>(text: &str) -> Result<T, String> {
    let most = u64::MAX >> (u64::BITS as usize - 8 * size_of::<T>());
    let number = text.parse::<u64>().ok().filter(|number| *number >= LEAST);
    let number = number.and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| format!("expected a whole number from {LEAST} to {most}"))
}
