//! The name of a policy in paths.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::defaults;

/// A name of letters, digits, `.`, `_` and `-`: one segment of a path, which no client escapes. `.` and `..` are none, because
/// clients resolve them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelName(String);

/// A text is no [`ModelName`].
#[derive(Debug, Error, PartialEq)]
#[error("a name consists of letters, digits, `.`, `_` and `-`, and is neither `.` nor `..`")]
pub struct InvalidModelName;

impl ModelName {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ModelName {
    fn default() -> Self {
        ModelName(defaults::MODEL_NAME.to_owned())
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for ModelName {
    type Err = InvalidModelName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        let is_name = is_plain && !["", ".", ".."].contains(&text);
        is_name.then(|| ModelName(text.to_owned())).ok_or(InvalidModelName)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_segment_of_a_path_that_no_client_changes() {
        for name in ["sac", "BTC-USD_v1.2", "...", "-", "7"] {
            assert_eq!(name.parse::<ModelName>().map(|name| name.to_string()), Ok(name.to_owned()));
        }
        for name in ["", ".", "..", "a/b", "a b", "a%20", "ä", "a~", "a\n", "a:b"] {
            assert_eq!(name.parse::<ModelName>(), Err(InvalidModelName), "{name}");
        }
    }
}
