//! The values that a fact may have, with their sources.

use crate::model::{Source, Sourced};

/// The values that a fact may have: one that is known, or several among which examples decide.
#[derive(Debug, Clone)]
pub struct Options<T> {
    /// The value of the surest source.
    known: Option<Sourced<T>>,
    /// The other values that examples may decide for.
    others: Vec<T>,
}

impl<T: Clone> Options<T> {
    /// A value that the file, a card or a flag gives. Examples cannot change it.
    pub fn fixed(value: T, source: Source) -> Self {
        Options { known: Some(Sourced::new(value, source)), others: vec![] }
    }

    /// A value by convention. Examples that contradict it decide for another.
    pub fn convention(value: T, library: &'static str, others: Vec<T>) -> Self {
        Options { known: Some(Sourced::new(value, Source::Convention(library))), others }
    }

    /// A fact that nothing gives.
    pub fn missing(others: Vec<T>) -> Self {
        Options { known: None, others }
    }

    pub fn is_missing(&self) -> bool {
        self.known.is_none()
    }

    /// Returns the known value.
    pub fn known(&self) -> Option<&Sourced<T>> {
        self.known.as_ref()
    }

    /// Returns the values to try: the known one alone, or all others if there is none. With `free`, conventions yield to
    /// the others as well.
    pub fn to_try(&self, free: bool) -> Vec<Sourced<T>> {
        let others = || self.others.iter().map(|value| Sourced::new(value.clone(), Source::Examples));
        match &self.known {
            Some(known) if !free => vec![known.clone()],
            Some(known) => std::iter::once(known.clone()).chain(others()).collect(),
            None => others().collect(),
        }
    }
}
