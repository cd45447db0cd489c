//! The patterns of the names that are candidates in a folder.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use thiserror::Error;

use super::defaults;
use crate::text::one_line;

/// The extensions of checkpoints, in lowercase: those of the formats that a component reads.
pub const EXTENSIONS: &[&str] =
    &["onnx", "pt", "pth", "zip", "safetensors", "ckpt", "pt2", "d3", "msh", "cleanrl_model"];

/// The patterns of the names that are candidates. A name that matches one of them is a candidate.
///
/// A glob that ends in `*` matches only names with one of [`EXTENSIONS`], in any case of letters. Any other glob decides
/// alone: `*.pkl` matches pickles, and `sac_checkpoint_*_` names without an extension. A name that begins with a dot is
/// matched only by a glob that begins with one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patterns(Vec<String>);

/// A setting is not [`Patterns`].
#[derive(Debug, Error, PartialEq, Eq)]
pub enum InvalidPattern {
    /// There is no text between two commas, or none at all.
    #[error("a pattern is empty; expected globs of file names, separated by commas, such as model_*,best_*.pt")]
    Empty,
    /// The pattern has a folder in it, and only names are matched.
    #[error("`{0}` contains a `/`; a pattern matches the names of files in the folder that --dir names")]
    Folder(String),
    /// The pattern begins with `!`, which would match almost any name.
    #[error("`{0}` begins with `!`; a pattern cannot exclude names")]
    Negated(String),
    /// The pattern is not a glob.
    #[error("`{0}` is not a glob: {1}")]
    NotGlob(String, String),
}

impl Patterns {
    /// Combines patterns. Returns the default if there are none.
    pub fn union(all: &[Patterns]) -> Self {
        let globs = all.iter().flat_map(|patterns| patterns.0.iter().cloned()).collect::<Vec<_>>();
        if globs.is_empty() { Patterns::default() } else { Patterns(globs) }
    }

    /// Returns patterns, as text, that a checkpoint of this name matches, and the next ones of its trainer: each number that
    /// stands alone may be another. Returns `None` for a name that has no extension of a checkpoint, or looks like a glob.
    pub(crate) fn suggest(name: &str) -> Option<String> {
        let is_plain = !name.contains(|c: char| "*?[]{}\\!,/".contains(c)) && one_line(name) == name;
        if !is_plain || !Self::has_extension(name.as_ref()) {
            return None;
        }
        let parts = name.split_inclusive(['_', '-', '.']).map(|part| {
            let number = part.trim_end_matches(['_', '-', '.']);
            let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            if is_number { part.replacen(number, "*", 1) } else { part.to_owned() }
        });
        let pattern = parts.collect::<String>();
        pattern.parse::<Patterns>().is_ok_and(|patterns| patterns.matches(name.as_ref())).then_some(pattern)
    }

    /// Returns `true` if a name has one of [`EXTENSIONS`], in any case of letters.
    pub fn has_extension(name: &OsStr) -> bool {
        let extension = Path::new(name).extension();
        extension.is_some_and(|found| EXTENSIONS.iter().any(|known| found.eq_ignore_ascii_case(known)))
    }

    /// Returns `true` if a file of this name is a candidate, unless it is a sidecar.
    pub(crate) fn matches(&self, name: &OsStr) -> bool {
        let (extension, is_known) = (Path::new(name).extension(), Self::has_extension(name));
        // The extension is matched in any case of letters.
        let lower = extension.map(OsStr::to_ascii_lowercase).filter(|lower| extension != Some(lower));
        let lower = lower.map(|lower| Path::new(name).with_extension(lower));
        let names = [Some(name), lower.as_deref().map(Path::as_os_str)];
        let is_hidden = name.as_encoded_bytes().starts_with(b".");
        self.0.iter().any(|glob| {
            (is_known || !needs_extension(glob))
                && (!is_hidden || glob.starts_with('.'))
                && names.into_iter().flatten().any(|name| fast_glob::glob_match(glob, name.as_encoded_bytes()))
        })
    }
}

impl Default for Patterns {
    fn default() -> Self {
        Patterns(vec![defaults::PATTERN.to_owned()])
    }
}

/// Parses globs that are separated by commas. A comma within braces separates no globs.
impl FromStr for Patterns {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut depth = 0_usize;
        let globs = text.split(|c| {
            match c {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            c == ',' && depth == 0
        });
        globs.map(|glob| check(glob.trim()).map(str::to_owned)).collect::<Result<_, _>>().map(Patterns)
    }
}

/// Shows the patterns as one glob. The extensions are in braces where they matter.
impl fmt::Display for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |glob: &String| match needs_extension(glob) {
            true => format!("{glob}.{{{}}}", EXTENSIONS.join(",")),
            false => glob.clone(),
        };
        match &self.0[..] {
            [glob] => f.write_str(&shown(glob)),
            globs => write!(f, "{{{}}}", globs.iter().map(shown).collect::<Vec<_>>().join(",")),
        }
    }
}

fn needs_extension(glob: &str) -> bool {
    glob.ends_with('*')
}

fn check(glob: &str) -> Result<&str, InvalidPattern> {
    if glob.is_empty() {
        return Err(InvalidPattern::Empty);
    }
    if glob.contains('/') {
        return Err(InvalidPattern::Folder(glob.to_owned()));
    }
    if glob.starts_with('!') {
        return Err(InvalidPattern::Negated(glob.to_owned()));
    }
    match fast_glob::validate(glob) {
        Ok(()) => Ok(glob),
        Err(error) => Err(InvalidPattern::NotGlob(glob.to_owned(), error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matching<'a>(patterns: &str, names: &[&'a str]) -> Vec<&'a str> {
        let patterns = patterns.parse::<Patterns>().expect(patterns);
        names.iter().copied().filter(|name| patterns.matches(OsStr::new(name))).collect()
    }

    #[test]
    fn a_glob_that_ends_in_a_star_needs_an_extension_in_any_case() {
        let names =
            ["model_1.pt", "model_1.PT", "model_1.Onnx", "model_1.ckpt", "model_1.d3", "model_1.tmp", "model_1"];
        assert_eq!(matching("model_*", &names), names[..5]);
        assert_eq!(
            matching("*", &["a.zip", ".a.zip", "a.pkl", "a.txt", "a.cleanrl_model"]),
            ["a.zip", "a.cleanrl_model"]
        );
        assert!(Patterns::default().matches(OsStr::new("model_a.onnx")));
        assert!(!Patterns::default().matches(OsStr::new("other.onnx")));
    }

    #[test]
    fn any_other_glob_decides_alone() {
        assert_eq!(matching("*.pkl", &["params.pkl", "PARAMS.PKL", "params.pt"]), ["params.pkl", "PARAMS.PKL"]);
        assert_eq!(matching("sac_checkpoint_*_", &["sac_checkpoint_Hopper_", "sac_checkpoint_Hopper_.tmp"]).len(), 1);
        assert_eq!(matching("best_[ab].{pt,pkl}", &["best_a.pt", "best_b.pkl", "best_c.pt", "best_a.zip"]).len(), 2);
        assert_eq!(matching(".next_*", &[".next_1.pt", "next_1.pt"]), [".next_1.pt"]);
    }

    #[test]
    fn commas_separate_globs_outside_braces() {
        let patterns = "model_*, best.{pt,zip},rl_model_*_steps.zip".parse::<Patterns>().expect("patterns");
        assert_eq!(patterns.0, ["model_*", "best.{pt,zip}", "rl_model_*_steps.zip"]);
        let union = Patterns::union(&[Patterns::default(), patterns]);
        assert_eq!(union.0.len(), 4);
        assert_eq!(Patterns::union(&[]), Patterns::default());
        assert_eq!(matching("model_*,best.{pt,zip}", &["model_1.pt", "best.zip", "worst.zip"]).len(), 2);
    }

    #[test]
    fn what_is_no_glob_of_names_is_refused() {
        let error = |text: &str| text.parse::<Patterns>().expect_err(text).to_string();
        for text in ["", " ", "a,", ",a"] {
            assert!(error(text).starts_with("a pattern is empty; expected globs"), "{text:?}");
        }
        assert!(error("runs/*.pt").contains("contains a `/`"));
        assert!(error("!model_*").contains("cannot exclude names"));
        assert!(error("model_[1").starts_with("`model_[1` is not a glob: "));
    }

    #[test]
    fn a_pattern_is_suggested_that_the_next_checkpoints_of_a_trainer_match_too() {
        for (name, pattern) in [
            ("best_model.zip", Some("best_model.zip")),
            ("rl_model_100_steps.zip", Some("rl_model_*_steps.zip")),
            ("agent_150.PT", Some("agent_*.PT")),
            ("2026-11-30_7.pt", Some("*-*-*_*.pt")),
            ("td3.zip", Some("td3.zip")),
            ("params.pkl", None),
            ("a*.pt", None),
            ("!a.pt", None),
        ] {
            assert_eq!(Patterns::suggest(name).as_deref(), pattern, "{name}");
        }
    }

    #[test]
    fn patterns_are_shown_as_one_glob() {
        let shown = |text: &str| text.parse::<Patterns>().expect(text).to_string();
        assert_eq!(shown("best.pt"), "best.pt");
        assert_eq!(shown("best.pt,*.zip"), "{best.pt,*.zip}");
        assert_eq!(Patterns::default().to_string(), format!("model_*.{{{}}}", EXTENSIONS.join(",")));
    }
}
