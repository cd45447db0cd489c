//! Numbers of bytes.

use thiserror::Error;

/// The units, in lowercase, with the bytes of each.
const UNITS: [(&str, u64); 10] = [
    ("", 1),
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

/// A setting has a value that is no number of bytes.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("expected a number of bytes, such as 1048576, 300MB or 1GiB")]
pub struct NotBytes;

/// Parses a number of bytes: a whole number, with a unit (kB, MB, GB, TB, KiB, MiB, GiB, TiB) in any case of letters or without.
/// An M alone, which some read as MB and some as MiB, is refused.
pub fn bytes<T: TryFrom<u64>>(text: &str) -> Result<T, NotBytes> {
    let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    // A blank may be between the two.
    let number = if unit.is_empty() { number } else { number.trim_end() };
    let number = number.parse::<u64>().map_err(|_| NotBytes)?;
    let (_, size) = UNITS.into_iter().find(|(name, _)| unit.eq_ignore_ascii_case(name)).ok_or(NotBytes)?;
    number.checked_mul(size).and_then(|bytes| T::try_from(bytes).ok()).ok_or(NotBytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_bytes_may_have_a_unit() {
        for (text, expected) in [
            ("0", 0),
            ("67108864", 64 << 20),
            ("300MB", 300_000_000),
            ("1GiB", 1 << 30),
            ("1 gib", 1 << 30),
            ("8mib", 8 << 20),
            ("16kB", 16_000),
            ("7b", 7),
        ] {
            assert_eq!(bytes::<u64>(text), Ok(expected), "{text}");
        }
        for text in ["", "MB", "1.5GiB", "-1", "1M", "1G", "1 ", " 1", "1MBs", "1e6", "99999999999TiB"] {
            assert_eq!(bytes::<u64>(text), Err(NotBytes), "{text}");
        }
        assert_eq!(bytes::<u32>("5GiB"), Err(NotBytes));
    }
}
