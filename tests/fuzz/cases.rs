//! Runs a fuzz target on its cases, and counts the outcomes. It knows nothing of what is fuzzed.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Display;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::str::FromStr;
use std::time::Instant;

use fastrand::Rng;

/// Runs a target on `cases` cases, each with random numbers of its own. Prints how to run a case that failed alone.
pub fn run(target: &str, cases: u64, mut one: impl FnMut(&mut Rng)) {
    let seed = variable("SAC_FUZZ_SEED").unwrap_or(0u64);
    let start = Instant::now();
    let cases = chosen(cases);
    let count = cases.end - cases.start;
    for case in cases {
        let mut rng = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(case));
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| one(&mut rng))) {
            eprintln!(
                "run it alone: SAC_FUZZ_SEED={seed} SAC_FUZZ_CASE={case} cargo test --release -p sac-tests --test fuzz {target}"
            );
            resume_unwind(panic);
        }
    }
    println!("{target}: {count} cases in {:.1} s", start.elapsed().as_secs_f32());
}

/// The number of times that each outcome came up.
#[derive(Default)]
pub struct Tally(BTreeMap<String, u64>);

impl Tally {
    pub fn count(&mut self, outcome: impl Display) {
        *self.0.entry(outcome.to_string()).or_default() += 1;
    }

    /// Prints the counts, and fails unless all of these came up: a target that never passes the first check tests nothing.
    pub fn expect(&self, outcomes: &[&str]) {
        println!("  {:?}", self.0);
        let missing = outcomes.iter().filter(|outcome| !self.0.contains_key(**outcome)).collect::<Vec<_>>();
        assert!(missing.is_empty() || variable::<u64>("SAC_FUZZ_CASE").is_some(), "never seen: {missing:?}");
    }
}

fn chosen(cases: u64) -> Range<u64> {
    match variable::<u64>("SAC_FUZZ_CASE") {
        Some(case) => case..case + 1,
        None => 0..cases * variable("SAC_FUZZ_SCALE").unwrap_or(1),
    }
}

fn variable<T: FromStr>(name: &str) -> Option<T> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}: a whole number is expected, found {value:?}")))
}
