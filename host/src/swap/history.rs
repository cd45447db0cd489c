//! The last swaps, for the page at `/`. It is kept in memory alone.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use humantime::format_rfc3339_micros;
use serde::Serialize;

use crate::observe::timeline::Mark;

/// The last hundred swaps, newest first.
#[derive(Default)]
pub(crate) struct History {
    /// Written by the reload under way, and read for a page.
    swaps: Mutex<VecDeque<Swap>>,
}

/// A checkpoint that was put into service or refused.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Swap {
    at_utc: String,
    path: String,
    /// `None` if the checkpoint was refused.
    generation: Option<u64>,
    /// The reason of a refusal.
    detail: Option<String>,
    duration_ms: f64,
}

impl Swap {
    pub(crate) fn new(path: String, outcome: Result<u64, String>, duration: Duration) -> Swap {
        let (generation, detail) = match outcome {
            Ok(generation) => (Some(generation), None),
            Err(detail) => (None, Some(detail)),
        };
        Swap {
            at_utc: utc(SystemTime::now()),
            path,
            generation,
            detail,
            duration_ms: duration.as_micros() as f64 / 1e3,
        }
    }

    /// Returns the mark of this swap on a chart.
    pub(crate) fn mark(&self) -> Mark {
        let Swap { at_utc, path, generation, detail, duration_ms } = self.clone();
        Mark { at_utc, path, generation, detail, duration_ms }
    }
}

impl History {
    const LENGTH: usize = 100;

    pub(crate) fn add(&self, swap: Swap) {
        let mut swaps = self.swaps.lock().unwrap_or_else(PoisonError::into_inner);
        swaps.truncate(Self::LENGTH - 1);
        swaps.push_front(swap);
    }

    pub(crate) fn swaps(&self) -> Vec<Swap> {
        self.swaps.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// Formats a time as the component does.
pub(crate) fn utc(time: SystemTime) -> String {
    format_rfc3339_micros(time).to_string().replace('Z', "+00:00")
}
