//! Variables that look like settings and are none, such as misspelled ones.

use std::collections::BTreeSet;

use clap::{Command, CommandFactory};
use sac_owner::one_line;

use crate::args::{Cli, OWN_PREFIXES};

/// The prefixes of variables that others set: the tests, the benchmarks and the build of this project, and Kubernetes for a
/// service of the name `sac-serving`.
const OF_OTHERS: [&str; 5] = ["SAC_ACTOR_", "SAC_BENCH_", "SAC_FUZZ_", "SAC_SERVING_", "SAC_TEST_"];

/// The similarity of two names, from 0 to 1, from which one may be a misspelling of the other.
const SIMILAR: f64 = 0.9;

/// Returns a warning that names the variables of the environment which look like settings and are none, if there are any. The
/// program itself ignores them.
pub fn warning() -> Option<String> {
    let set = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let unknown = unknown(set.collect(), &known());
    (!unknown.is_empty()).then(|| format!("these variables set nothing: {}", unknown.join(", ")))
}

fn unknown(set: BTreeSet<String>, known: &BTreeSet<String>) -> Vec<String> {
    let is_ours = |name: &String| OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    let is_others = |name: &String| OF_OTHERS.iter().any(|prefix| name.starts_with(prefix));
    let unknown = set.iter().filter(|name| is_ours(name) && !is_others(name) && !known.contains(*name));
    let shown = |name: &String| {
        let similarity = |known: &&String| strsim::jaro_winkler(known, name);
        let nearest = known.iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
        match nearest.filter(|nearest| similarity(nearest) >= SIMILAR) {
            Some(nearest) => format!("{} (did you mean {nearest}?)", one_line(name)),
            None => one_line(name).into_owned(),
        }
    };
    unknown.map(shown).collect()
}

/// Returns the variables of all commands.
fn known() -> BTreeSet<String> {
    fn collect(command: &Command, names: &mut BTreeSet<String>) {
        let variables = command.get_arguments().filter_map(|argument| argument.get_env()?.to_str());
        names.extend(variables.map(str::to_owned));
        command.get_subcommands().for_each(|below| collect(below, names));
    }
    let mut names = BTreeSet::new();
    collect(&Cli::command(), &mut names);
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelled_variables_are_named_with_what_they_resemble() {
        let unknown = |names: &[&str]| unknown(names.iter().map(|name| (*name).to_owned()).collect(), &known());
        assert_eq!(unknown(&["SAC_PORTT"]), ["SAC_PORTT (did you mean SAC_PORT?)"]);
        assert_eq!(unknown(&["SAC_API_TOKENS"]), ["SAC_API_TOKENS (did you mean SAC_API_TOKEN?)"]);
        assert_eq!(unknown(&["STAT_PAIR_RL_DIRS"]), ["STAT_PAIR_RL_DIRS (did you mean STAT_PAIR_RL_DIR?)"]);
        assert_eq!(unknown(&["SAC_ZZZ"]), ["SAC_ZZZ"]);
        let others = ["PATH", "SAC_TEST_PYTHON", "SAC_ACTOR_WASM", "SAC_SERVING_PORT", "SAC_SERVING_SERVICE_HOST"];
        assert!(unknown(&others).is_empty());
        let all = known();
        assert!(all.len() > 50 && unknown(&all.iter().map(String::as_str).collect::<Vec<_>>()).is_empty());
    }
}
