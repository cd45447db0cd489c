//! Variables that look like settings and are none, such as misspelled ones.

use std::collections::BTreeSet;

use clap::{Command, CommandFactory};
use sac_owner::one_line;

use crate::args::{Cli, OWN_PREFIXES};

/// The prefixes of variables that others set: the tests, the benchmarks and the build of this project, and Kubernetes for a
/// service of the name `sac-serving`.
const OF_OTHERS: [&str; 11] = [
    "SAC_ACTOR_",
    "SAC_BENCH_",
    "SAC_CORPUS",
    "SAC_FUZZ_",
    "SAC_PICTURE",
    "SAC_POLICIES_PICTURE",
    "SAC_SERVING_",
    "SAC_SPIN",
    "SAC_TEST_",
    "SAC_WASMTIME",
    "SAC_ZIG_TARGET",
];

/// The similarity of two names, from 0 to 1, from which one may be a misspelling of the other.
const SIMILAR: f64 = 0.9;

/// Returns the known name that another may be a misspelling of, as a question in brackets, or nothing if there is none.
pub fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let nearest = known.map(|known| (strsim::jaro_winkler(known, name), known)).max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest.filter(|(similarity, _)| *similarity >= SIMILAR) {
        Some((_, nearest)) => format!(" (did you mean {nearest}?)"),
        None => String::new(),
    }
}

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
    let question = |name: &str| did_you_mean(name, known.iter().map(String::as_str));
    unknown.map(|name| format!("{}{}", one_line(name), question(name))).collect()
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
        for page in
            [include_str!("../../../../../tests/README.md"), include_str!("../../../../../.github/CONTRIBUTING.md")]
        {
            let is_word = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
            let names = page.split(|c| !is_word(c)).filter(|word| word.starts_with("SAC_")).collect::<Vec<_>>();
            assert!(names.len() > 2 && unknown(&names).is_empty(), "{:?}", unknown(&names));
        }
        let all = known();
        assert!(all.len() > 50 && unknown(&all.iter().map(String::as_str).collect::<Vec<_>>()).is_empty());
    }
}
