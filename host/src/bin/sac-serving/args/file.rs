//! The configuration file. Its keys are the names of the flags. Flags and variables outrank it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches};
use sac_owner::settings::is_blank;
use toml::{Table, Value};

use crate::args::Cli;
use crate::args::unknown::did_you_mean;

/// The flags that are not settings.
const NO_SETTINGS: [&str; 3] = ["config", "help", "version"];

/// The parsed command line, with the origin of each setting.
pub struct Invocation {
    pub cli: Cli,
    /// The settings of `serve` and `config check`. Empty for other commands.
    pub settings: Vec<Setting>,
}

/// A setting of `serve`.
#[derive(Clone)]
pub struct Setting {
    pub name: String,
    /// `None` if nothing sets it.
    pub value: Option<String>,
    /// `argument`, `flag`, `variable`, `file` or `default`.
    pub origin: &'static str,
}

/// The settings of a file, by the names of their flags.
type Values = BTreeMap<String, String>;

impl Invocation {
    /// Parses the arguments, the variables, and the configuration file that they name.
    pub fn parse(arguments: &[OsString]) -> Result<Invocation, clap::Error> {
        let file = file(arguments);
        let values = file.as_deref().map(read).transpose();
        let values = values.map_err(|error| Cli::command().error(ErrorKind::InvalidValue, format!("{error:#}")))?;
        let values = values.unwrap_or_default();
        let command = with_defaults(Cli::command(), &values);
        let matches = command.clone().try_get_matches_from(arguments)?;
        let cli = Cli::from_arg_matches(&matches)?;
        if let Some(served) = served(&matches) {
            check_places(served)?;
        }
        let settings = served(&matches).map(|served| settings(&command, served, &values)).unwrap_or_default();
        Ok(Invocation { cli, settings })
    }
}

/// Refuses a command line that names two places. Variables and the file may name two, and one outranks the other.
fn check_places(served: &ArgMatches) -> Result<(), clap::Error> {
    let is_given = |id: &str| {
        let is_set = served.get_one::<PathBuf>(id).is_some_and(|path| !is_blank(path.as_os_str()));
        is_set && served.value_source(id) == Some(ValueSource::CommandLine)
    };
    let places = [("path", "the argument FOLDER|FILE"), ("model", "--model"), ("dir", "--dir")];
    let given = places.into_iter().filter(|(id, _)| is_given(id)).map(|(_, name)| name).collect::<Vec<_>>();
    match given[..] {
        [] | [_] => Ok(()),
        _ => {
            let names = given.join(" and ");
            let conflict = format!("{names} name more than one place to serve from: give one");
            Err(Cli::command().error(ErrorKind::ArgumentConflict, conflict))
        }
    }
}

/// Returns the file that the command line or the variable names.
fn file(arguments: &[OsString]) -> Option<PathBuf> {
    // Other errors are left to the second parse.
    let matches = Cli::command().ignore_errors(true).try_get_matches_from(arguments).ok()?;
    served(&matches)?.get_one::<PathBuf>("config").cloned()
}

/// Returns the arguments of `serve` or `config check`.
fn served(matches: &ArgMatches) -> Option<&ArgMatches> {
    match matches.subcommand()? {
        ("serve", served) => Some(served),
        ("config", config) => config.subcommand_matches("check"),
        _ => None,
    }
}

/// Reads and checks a configuration file.
fn read(path: &Path) -> Result<Values> {
    let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let table = text.parse::<Table>().with_context(|| format!("{} is not TOML", path.display()))?;
    let known = names(&Cli::command());
    let mut values = Values::new();
    for (name, value) in table {
        let value = text_of(&known, &name, value).with_context(|| format!("{}: {name}", path.display()))?;
        values.extend(value.map(|value| (name, value)));
    }
    Ok(values)
}

/// Returns the value of a setting as text, or `None` if it is blank, which means unset.
fn text_of(known: &[String], name: &str, value: Value) -> Result<Option<String>> {
    ensure!(
        known.iter().any(|known| known == name),
        "there is no such setting{}; `sac-serving serve --help` lists them",
        did_you_mean(name, known.iter().map(String::as_str))
    );
    let value = match value {
        Value::String(text) => text,
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => value.to_string(),
        _ => bail!("expected a string, a number or a boolean, found: {}", value.type_str()),
    };
    if value.trim().is_empty() {
        return Ok(None);
    }
    // Parsed as the only flag and without variables, so that an error is due to this setting.
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

/// Returns the names of all settings: the flags of `serve`, and those of every command.
fn names(command: &Command) -> Vec<String> {
    let serve = command.find_subcommand("serve").into_iter().flat_map(Command::get_arguments);
    let names = serve.chain(command.get_arguments()).filter_map(|argument| argument.get_long());
    names.filter(|name| !NO_SETTINGS.contains(name)).map(str::to_owned).collect()
}

/// Makes the values of the file the defaults of their flags.
fn with_defaults(command: Command, values: &Values) -> Command {
    let set = |command: Command| {
        command.mut_args(|argument| match argument.get_long().and_then(|name| values.get(name)) {
            Some(value) => argument.default_value(value),
            None => argument,
        })
    };
    set(command).mut_subcommand("serve", set).mut_subcommand("config", |config| config.mut_subcommand("check", set))
}

/// Lists all settings.
fn settings(command: &Command, served: &ArgMatches, values: &Values) -> Vec<Setting> {
    let serve = command.find_subcommand("serve").into_iter().flat_map(Command::get_arguments);
    let all = serve.chain(command.get_arguments());
    let setting = |argument: &clap::Arg| {
        let name = argument.get_long().filter(|name| !NO_SETTINGS.contains(name))?;
        let raw = served.try_get_raw(argument.get_id().as_str()).ok().flatten();
        let value = raw.map(|values| values.map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(" "));
        let origin = match served.value_source(argument.get_id().as_str()) {
            Some(ValueSource::CommandLine) => "flag",
            Some(ValueSource::EnvVariable) => "variable",
            Some(_) if values.contains_key(name) => "file",
            _ => "default",
        };
        let value = value.map(|value| if argument.is_hide_env_values_set() { "(hidden)".to_owned() } else { value });
        Some(Setting { name: name.to_owned(), value, origin })
    };
    all.filter_map(setting).collect()
}
