//! The configuration file: the names of the flags, and below flags and variables in rank.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches};
use toml::{Table, Value};

use crate::args::Cli;

/// Flags that say something of the command line alone.
const NO_SETTINGS: [&str; 3] = ["config", "help", "version"];

/// What the program was told, and by whom.
pub struct Settings {
    pub cli: Cli,
    pub told: Vec<Told>,
}

/// A setting of `serve`.
pub struct Told {
    pub name: String,
    /// None where nothing sets it.
    pub value: Option<String>,
    pub by: &'static str,
}

/// The settings of a file, by the names of their flags.
type Values = BTreeMap<String, String>;

impl Settings {
    /// The error is clap's: of an exit code, and in its words.
    pub fn parse(arguments: &[OsString]) -> Result<Settings, clap::Error> {
        let file = file(arguments);
        let values = file.as_deref().map(read).transpose();
        let values = values.map_err(|error| Cli::command().error(ErrorKind::InvalidValue, format!("{error:#}")))?;
        let values = values.unwrap_or_default();
        let command = with_defaults(Cli::command(), &values);
        let matches = command.clone().try_get_matches_from(arguments)?;
        let cli = Cli::from_arg_matches(&matches)?;
        Ok(Settings { cli, told: served(&matches).map(|served| told(&command, served, &values)).unwrap_or_default() })
    }
}

/// The file that is named on the command line or by the variable.
fn file(arguments: &[OsString]) -> Option<PathBuf> {
    // Whatever else is wrong there is told by the real parse.
    let matches = Cli::command().ignore_errors(true).try_get_matches_from(arguments).ok()?;
    served(&matches)?.get_one::<PathBuf>("config").cloned()
}

/// What stands after `serve`, or `config check`.
fn served(matches: &ArgMatches) -> Option<&ArgMatches> {
    match matches.subcommand()? {
        ("serve", served) => Some(served),
        ("config", config) => config.subcommand_matches("check"),
        _ => None,
    }
}

fn read(path: &Path) -> Result<Values> {
    let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let table = text.parse::<Table>().with_context(|| format!("{} is no TOML", path.display()))?;
    let known = names(&Cli::command());
    let mut values = Values::new();
    for (name, value) in table {
        let value = setting(&known, &name, value).with_context(|| format!("{}: {name}", path.display()))?;
        values.extend(value.map(|value| (name, value)));
    }
    Ok(values)
}

/// None where it is blank, which is unset.
fn setting(known: &[String], name: &str, value: Value) -> Result<Option<String>> {
    ensure!(known.iter().any(|known| known == name), "there is no such setting, but {}", known.join(", "));
    let value = match value {
        Value::String(text) => text,
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => value.to_string(),
        _ => bail!("a string, a number or a boolean is expected, found: {}", value.type_str()),
    };
    if value.trim().is_empty() {
        return Ok(None);
    }
    // As if it stood on the command line, and nothing else anywhere: the error is of this setting.
    let alone = ["sac-serving", "serve", &format!("--{name}={value}")];
    let no_variables = |command: Command| command.mut_args(|argument| argument.env(None::<&str>));
    match no_variables(Cli::command()).mut_subcommand("serve", no_variables).try_get_matches_from(alone) {
        Ok(_) => Ok(Some(value)),
        Err(error) => {
            let error = error.to_string();
            bail!("{}", error.lines().next().unwrap_or_default().trim_start_matches("error: "))
        }
    }
}

/// Of all settings: those of `serve`, and of every command.
fn names(command: &Command) -> Vec<String> {
    let serve = command.find_subcommand("serve").into_iter().flat_map(Command::get_arguments);
    let names = serve.chain(command.get_arguments()).filter_map(|argument| argument.get_long());
    names.filter(|name| !NO_SETTINGS.contains(name)).map(str::to_owned).collect()
}

fn with_defaults(command: Command, values: &Values) -> Command {
    let set = |command: Command| {
        command.mut_args(|argument| match argument.get_long().and_then(|name| values.get(name)) {
            Some(value) => argument.default_value(value),
            None => argument,
        })
    };
    set(command).mut_subcommand("serve", set).mut_subcommand("config", |config| config.mut_subcommand("check", set))
}

fn told(command: &Command, served: &ArgMatches, values: &Values) -> Vec<Told> {
    let serve = command.find_subcommand("serve").into_iter().flat_map(Command::get_arguments);
    let all = serve.chain(command.get_arguments());
    let of = |argument: &clap::Arg| {
        let name = argument.get_long().filter(|name| !NO_SETTINGS.contains(name))?;
        let raw = served.try_get_raw(argument.get_id().as_str()).ok().flatten();
        let value = raw.map(|values| values.map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(" "));
        let by = match served.value_source(argument.get_id().as_str()) {
            Some(ValueSource::CommandLine) => "flag",
            Some(ValueSource::EnvVariable) => "variable",
            Some(_) if values.contains_key(name) => "file",
            _ => "default",
        };
        let value = value.map(|value| if argument.is_hide_env_values_set() { "(hidden)".to_owned() } else { value });
        Some(Told { name: name.to_owned(), value, by })
    };
    all.filter_map(of).collect()
}
