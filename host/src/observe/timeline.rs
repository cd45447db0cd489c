//! The last hour of the numbers that the page at `/` draws. It is kept in memory alone.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::metrics::{PERCENTILES, Totals};

/// The time between two steps.
pub(crate) const STEP: Duration = Duration::from_secs(5);
/// The number of steps: an hour of them, which take 30 kB.
const STEPS: usize = 720;
/// The number of swaps and refusals. Each takes as much as its path and its reason, most often 300 bytes.
const MARKS: usize = 256;

/// The last hour.
#[derive(Default)]
pub(crate) struct Timeline {
    /// Written once a step and by each swap, and read for a page.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The totals at the end of the last step.
    totals: Totals,
    /// Oldest first.
    steps: VecDeque<Step>,
    /// Oldest first.
    marks: VecDeque<Mark>,
}

struct Step {
    /// Its end, in seconds since 1970.
    at: u64,
    requests_per_second: f32,
    errors_per_second: f32,
    latency_ms: Option<[f32; PERCENTILES.len()]>,
}

/// A checkpoint that was put into service or refused.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Mark {
    pub(crate) at_utc: String,
    pub(crate) path: String,
    /// `None` if the checkpoint was refused.
    pub(crate) generation: Option<u64>,
    /// The reason of a refusal.
    pub(crate) detail: Option<String>,
    pub(crate) duration_ms: f64,
}

/// The body of `/status/history`: one list for each number, oldest first.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Lists {
    step_seconds: u64,
    at_unix_seconds: Vec<u64>,
    requests_per_second: Vec<f32>,
    errors_per_second: Vec<f32>,
    /// This percentile and the next two count predictions that were answered with 200. They are null for a step without any.
    p50_ms: Vec<Option<f32>>,
    p90_ms: Vec<Option<f32>>,
    p99_ms: Vec<Option<f32>>,
    marks: Vec<Mark>,
}

impl Timeline {
    /// Adds the step that ends now, and took as long as `elapsed`.
    pub(crate) fn add(&self, now: SystemTime, elapsed: Duration, totals: Totals) {
        let mut state = self.lock();
        let at = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        // A clock that was set back would let the lines run backwards.
        while state.steps.back().is_some_and(|last| last.at >= at) {
            state.steps.pop_back();
        }
        let before = std::mem::replace(&mut state.totals, totals);
        let rate = |now: u64, before: u64| rounded(now.saturating_sub(before) as f64 / elapsed.as_secs_f64(), 1e2);
        let step = Step {
            at,
            requests_per_second: rate(state.totals.requests, before.requests),
            errors_per_second: rate(state.totals.errors, before.errors),
            latency_ms: state.totals.latency_since(&before).map(|latency| latency.map(|time| rounded(time * 1e3, 1e4))),
        };
        let room = STEPS - 1;
        while state.steps.len() > room {
            state.steps.pop_front();
        }
        state.steps.push_back(step);
    }

    /// Adds a mark, which is the newest.
    pub(crate) fn mark(&self, mark: Mark) {
        let mut state = self.lock();
        if state.marks.len() == MARKS {
            state.marks.pop_front();
        }
        state.marks.push_back(mark);
    }

    pub(crate) fn lists(&self) -> Lists {
        let state = self.lock();
        let mut lists =
            Lists { step_seconds: STEP.as_secs(), marks: state.marks.iter().cloned().collect(), ..Lists::default() };
        for step in &state.steps {
            lists.at_unix_seconds.push(step.at);
            lists.requests_per_second.push(step.requests_per_second);
            lists.errors_per_second.push(step.errors_per_second);
            let [p50, p90, p99] = step.latency_ms.map_or([None; 3], |latency| latency.map(Some));
            lists.p50_ms.push(p50);
            lists.p90_ms.push(p90);
            lists.p99_ms.push(p99);
        }
        lists
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic cannot leave a step or a mark half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rounds to a fraction of one, so that the body is short.
fn rounded(value: f64, fraction: f64) -> f32 {
    ((value * fraction).round() / fraction) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn totals(requests: u64, errors: u64, predictions: u64) -> Totals {
        Totals { requests, errors, predictions: vec![(0.002, predictions), (f64::INFINITY, predictions)] }
    }

    #[test]
    fn a_step_has_the_rates_of_its_own_time_and_null_where_nothing_was_predicted() {
        let timeline = Timeline::default();
        timeline.add(at(1000), Duration::from_secs(5), totals(100, 10, 50));
        timeline.add(at(1010), Duration::from_secs(10), totals(110, 10, 50));
        let lists = timeline.lists();
        assert_eq!((lists.step_seconds, lists.at_unix_seconds), (5, vec![1000, 1010]));
        assert_eq!((lists.requests_per_second, lists.errors_per_second), (vec![20.0, 1.0], vec![2.0, 0.0]));
        assert_eq!((lists.p50_ms, lists.p99_ms), (vec![Some(1.0), None], vec![Some(1.98), None]));
    }

    #[test]
    fn an_hour_of_steps_and_a_bounded_number_of_marks_are_kept() {
        let timeline = Timeline::default();
        for n in 0..1000 {
            timeline.add(at(1000 + 5 * n), STEP, totals(n, 0, 0));
            let mark = Mark {
                at_utc: String::new(),
                path: String::new(),
                generation: Some(n),
                detail: None,
                duration_ms: 0.0,
            };
            timeline.mark(mark);
        }
        let Lists { at_unix_seconds, marks, .. } = timeline.lists();
        assert_eq!(at_unix_seconds.len() as u64 * STEP.as_secs(), 3600);
        assert_eq!(at_unix_seconds.last(), Some(&(1000 + 5 * 999)));
        assert_eq!((marks.len(), marks[MARKS - 1].generation), (MARKS, Some(999)));
    }

    #[test]
    fn a_clock_that_is_set_back_leaves_no_step_of_the_future() {
        let timeline = Timeline::default();
        for seconds in [1000, 1005, 1010, 1004] {
            timeline.add(at(seconds), STEP, Totals::default());
        }
        assert_eq!(timeline.lists().at_unix_seconds, [1000, 1004]);
    }
}
