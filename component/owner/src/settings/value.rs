//! The text of a setting: blank values and booleans.

use std::ffi::OsStr;

use thiserror::Error;

/// The spellings of true, and those of false, in lowercase. The first of each is the usual one.
const BOOLEANS: [(bool, &[&str]); 2] =
    [(true, &["true", "t", "yes", "y", "on", "1"]), (false, &["false", "f", "no", "n", "off", "0"])];

/// A setting has a value that is no boolean.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("value was not a boolean")]
pub struct NotBoolean;

/// Parses a boolean setting: true, t, yes, y, on, 1, false, f, no, n, off or 0, in any case of letters.
pub fn boolean(text: &str) -> Result<bool, NotBoolean> {
    let spells = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(text));
    BOOLEANS.into_iter().find(|(_, names)| spells(names)).map(|(value, _)| value).ok_or(NotBoolean)
}

/// Returns `true` if a value is empty or consists of white space. Such a variable counts as unset.
pub fn is_blank(value: &OsStr) -> bool {
    value.as_encoded_bytes().trim_ascii().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_spelled_in_several_ways_and_any_case() {
        for (text, value) in [("true", true), ("On", true), ("1", true), ("FALSE", false), ("n", false), ("0", false)] {
            assert_eq!(boolean(text), Ok(value), "{text}");
        }
        for text in ["", " true", "2", "enabled", "truee"] {
            assert_eq!(boolean(text), Err(NotBoolean), "{text}");
        }
    }
}
