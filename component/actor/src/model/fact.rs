//! A fact that a policy is computed from, and where it comes from.

use std::borrow::Cow;
use std::fmt::{self, Display};

/// The source of a fact. A source outranks those after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The file, under this name or in this part.
    File(Cow<'static, str>),
    /// A card beside the file.
    Card,
    /// This flag of the operator's.
    Flag(&'static str),
    /// The convention of a library that leaves no choice, as the layouts' table cites it.
    Convention(&'static str),
    /// The only one of the possible values that fits the examples of the card.
    Examples,
}

impl Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File(part) => write!(f, "file: {part}"),
            Source::Card => f.write_str("card"),
            Source::Flag(flag) => write!(f, "flag: {flag}"),
            Source::Convention(library) => write!(f, "convention: {library}"),
            Source::Examples => f.write_str("examples"),
        }
    }
}

/// A value and its source.
#[derive(Debug, Clone, PartialEq)]
pub struct Sourced<T> {
    pub value: T,
    pub source: Source,
}

impl<T> Sourced<T> {
    pub fn new(value: T, source: Source) -> Self {
        Sourced { value, source }
    }
}
