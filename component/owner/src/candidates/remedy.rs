//! The steps that put the first policy into service, where there is no candidate.

use std::ffi::OsStr;
use std::path::Path;

use serde::Serialize;

use super::absence::Absence;
use super::source::Source;
use crate::policies::Root;
use crate::settings::Patterns;
use crate::text::{path_line, shell_word};

/// The name of a first checkpoint, as the documentation has it.
const FIRST: &str = "model_1.zip";

/// A step that puts the first policy into service. One suffices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "command", rename_all = "snake_case")]
pub enum Remedy {
    /// Gives the file that is there a name that is found, by a command of the shell.
    Rename(String),
    /// Lets the server find the name of the file that is there, by a flag.
    Pattern(String),
    /// Serves the file to which the path of the folder leads, by a flag.
    Model(String),
    /// Copies a checkpoint to where the server looks, by a command of the shell.
    Copy(String),
    /// Lets a trainer publish there, by a call of Python.
    Publish(String),
}

impl Source {
    /// Returns the steps that put a policy into service, if the last listing has no candidate. This makes no file call.
    pub fn remedies(&self) -> Vec<Remedy> {
        self.absence().map(|absence| remedies(&absence, self.path(), &self.patterns)).unwrap_or_default()
    }
}

impl Root {
    /// Returns the steps that make a policy of the name NAME.
    pub fn remedies(&self) -> Vec<Remedy> {
        into_folder(&self.folder().join("NAME"), self.patterns(), true)
    }
}

fn remedies(absence: &Absence, path: &Path, patterns: &Patterns) -> Vec<Remedy> {
    match absence {
        Absence::NoFolder => into_folder(path, patterns, true),
        Absence::NotFolder => vec![Remedy::Model(model_flag(path))],
        Absence::NoFile => vec![Remedy::Copy(copy(path))],
        Absence::Unreadable => Vec::new(),
        Absence::Empty { .. } | Absence::Dangling => into_folder(path, patterns, false),
        Absence::OtherNames { example, .. } => of_file(path, example, patterns),
    }
}

/// Returns the flag that serves a file.
pub(super) fn model_flag(path: &Path) -> String {
    format!("--model {}", shell_word(&path_line(path)))
}

/// Returns the flag that lets the server find a file of this name and the next ones of its trainer, and the name that it finds
/// without it, if there is one. Returns `None` for a file that seems to be no checkpoint.
pub(super) fn names(example: &OsStr, patterns: &Patterns) -> Option<(String, Option<String>)> {
    let name = example.to_str()?;
    let flag = format!("--pattern {}", shell_word(&Patterns::suggest(name)?));
    let renamed = format!("model_{name}");
    Some((flag, patterns.matches(renamed.as_ref()).then_some(renamed)))
}

fn of_file(folder: &Path, example: &OsStr, patterns: &Patterns) -> Vec<Remedy> {
    let Some((flag, renamed)) = names(example, patterns) else { return into_folder(folder, patterns, false) };
    let rename = renamed.map(|renamed| {
        let [from, to] = [example, renamed.as_ref()].map(|name| folder.join(name));
        Remedy::Rename(format!("mv {} {}", shell_word(&path_line(&from)), shell_word(&path_line(&to))))
    });
    rename.into_iter().chain([Remedy::Pattern(flag)]).chain(publish(folder, patterns)).collect()
}

fn into_folder(folder: &Path, patterns: &Patterns, is_missing: bool) -> Vec<Remedy> {
    let make = if is_missing { format!("mkdir -p {} && ", shell_word(&path_line(folder))) } else { String::new() };
    let copy = first(patterns).map(|name| Remedy::Copy(make + &copy(&folder.join(name))));
    copy.into_iter().chain(publish(folder, patterns)).collect()
}

fn copy(to: &Path) -> String {
    let extension = to.extension().map(|extension| format!(".{}", extension.to_string_lossy())).unwrap_or_default();
    format!("cp {} {}", shell_word(&format!("best_model{extension}")), shell_word(&path_line(to)))
}

/// Returns the call that publishes into a folder, unless nothing is known of the names that are found there.
fn publish(folder: &Path, patterns: &Patterns) -> Option<Remedy> {
    let name = first(patterns)?;
    let text = |text: &str| format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""));
    // The package refuses names that the default pattern does not take, unless its own is None.
    let names = if name == FIRST { String::new() } else { format!(", {}, pattern=None", text(&name)) };
    Some(Remedy::Publish(format!("sac_serving.publish(model, {}{names})", text(&path_line(folder)))))
}

/// Returns the name of a first checkpoint that the patterns match, if one is easily found.
fn first(patterns: &Patterns) -> Option<String> {
    let shown = patterns.to_string();
    let mut simple = String::new();
    let mut depths = vec![0];
    // The first choice of each pair of braces, and 1 for anything.
    for c in shown.chars() {
        let is_first = depths.iter().all(|commas| *commas == 0);
        match c {
            '{' => depths.push(0),
            '}' => drop(depths.pop()),
            ',' => *depths.last_mut()? += 1,
            '*' | '?' if is_first => simple.push('1'),
            _ if is_first => simple.push(c),
            _ => {}
        }
    }
    let zipped = Path::new(&simple).with_extension("zip").to_str()?.to_owned();
    [FIRST.to_owned(), zipped, simple].into_iter().find(|name| patterns.matches(name.as_ref()))
}

// Windows joins paths otherwise.
#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    fn others(example: &str, patterns: &str) -> Vec<Remedy> {
        let patterns = patterns.parse::<Patterns>().expect(patterns);
        let absence = Absence::OtherNames { files: 1, example: example.into(), patterns: patterns.clone() };
        remedies(&absence, Path::new("runs/a b"), &patterns)
    }

    #[test]
    fn a_file_of_another_name_is_renamed_or_found_by_a_flag_only_where_that_works() {
        let publish = Remedy::Publish("sac_serving.publish(model, \"runs/a b\")".into());
        let renamed = "mv 'runs/a b/rl_model_100_steps.zip' 'runs/a b/model_rl_model_100_steps.zip'";
        assert_eq!(
            others("rl_model_100_steps.zip", "model_*"),
            [
                Remedy::Rename(renamed.into()),
                Remedy::Pattern("--pattern 'rl_model_*_steps.zip'".into()),
                publish.clone()
            ]
        );
        let copy = "cp best_model.zip 'runs/a b/model_1.zip'";
        assert_eq!(others("progress.csv", "model_*"), [Remedy::Copy(copy.into()), publish]);
        let named = "sac_serving.publish(model, \"runs/a b\", \"best_1.zip\", pattern=None)";
        assert_eq!(
            others("model_1.zip", "best_*"),
            [Remedy::Pattern("--pattern 'model_*.zip'".into()), Remedy::Publish(named.into())]
        );
    }

    #[test]
    fn the_first_name_is_one_that_the_patterns_match() {
        for (patterns, expected) in [
            ("model_*", Some("model_1.zip")),
            ("best_*", Some("best_1.zip")),
            ("{last,best_{a,b}}_?.{pt,pkl}", Some("last_1.pt")),
            ("*.pkl", Some("1.pkl")),
            ("rl_model_*_steps.zip,*.pt", Some("rl_model_1_steps.zip")),
            ("step_[a-z].pt", None),
        ] {
            assert_eq!(first(&patterns.parse().expect(patterns)).as_deref(), expected, "{patterns}");
        }
    }

    #[test]
    fn each_reason_has_the_steps_that_end_it() {
        let patterns = Patterns::default();
        let all = |absence| remedies(&absence, Path::new("runs/a.onnx"), &patterns);
        let made = "mkdir -p runs/a.onnx && cp best_model.zip runs/a.onnx/model_1.zip";
        assert_eq!(all(Absence::NoFolder)[0], Remedy::Copy(made.into()));
        assert_eq!(all(Absence::Dangling)[0], Remedy::Copy("cp best_model.zip runs/a.onnx/model_1.zip".into()));
        assert_eq!(all(Absence::NotFolder), [Remedy::Model("--model runs/a.onnx".into())]);
        assert_eq!(all(Absence::NoFile), [Remedy::Copy("cp best_model.onnx runs/a.onnx".into())]);
        assert_eq!(all(Absence::Unreadable), []);
    }
}
