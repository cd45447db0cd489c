//! Compares the flags with the documentation, and with the variables of the gateway.

use clap::{Arg, CommandFactory};
use sac_owner::Environment;
use sac_owner::settings::{Activation, EXTENSIONS, Patterns, defaults, variables};

use super::*;

/// A row of the table of settings in the README.
struct Row<'a> {
    flag: &'a str,
    variable: &'a str,
    default: &'a str,
}

fn table() -> Vec<Row<'static>> {
    let lines = include_str!("../../../../README.md").lines().filter(|line| line.starts_with("| `--"));
    let row = |line: &'static str| {
        let cells = line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>();
        let [flag, variable, default] = cells[..] else { panic!("three cells are expected: {line}") };
        Row { flag: flag.trim_matches(['`', '-']), variable: variable.trim_matches('`'), default }
    };
    lines.map(row).collect()
}

/// The arguments of `serve` that have a flag and a variable.
fn settings() -> Vec<Arg> {
    let mut command = Cli::command();
    command.build();
    let serve = command.find_subcommand("serve").expect("a command");
    serve.get_arguments().filter(|argument| argument.get_env().is_some()).cloned().collect()
}

/// Returns the text of clap's default.
fn default(argument: &Arg) -> Option<String> {
    argument.get_default_values().first().map(|value| value.to_string_lossy().into_owned())
}

#[test]
fn the_readme_lists_each_setting_with_its_variable_and_default() {
    let (table, settings) = (table(), settings());
    assert_eq!(table.len(), settings.len());
    for argument in settings {
        let flag = argument.get_long().expect("a flag");
        let row = table.iter().find(|row| row.flag == flag).unwrap_or_else(|| panic!("--{flag} is not in the table"));
        assert_eq!(Some(row.variable), argument.get_env().and_then(|name| name.to_str()), "--{flag}");
        let stated = row.default.strip_prefix('`').and_then(|rest| rest.split_once('`')).map(|(code, _)| code);
        let same = match default(&argument) {
            Some(default) => stated.is_some_and(|stated| is_same(stated, &default)),
            None => stated.is_none() || matches!(flag, "dir" | "activation" | "cache-dir"),
        };
        assert!(same, "--{flag}: the README states {:?}", row.default);
    }
    let folder = table.iter().find(|row| row.flag == "dir").expect("a row");
    assert_eq!(folder.default.trim_matches('`'), defaults::FOLDER);
}

#[test]
fn the_help_names_the_default_folder_and_the_extensions_of_candidates() {
    let settings = settings();
    let help = |flag: &str| {
        let argument = settings.iter().find(|argument| argument.get_long() == Some(flag)).expect("a setting");
        argument.get_help().expect("a help text").to_string()
    };
    assert!(help("dir").ends_with(&format!("[default: {}]", defaults::FOLDER)), "{}", help("dir"));
    let readme = include_str!("../../../../README.md");
    for extension in EXTENSIONS {
        assert!(help("pattern").contains(extension), "{extension}");
        assert!(readme.contains(&format!("`.{extension}`")), "{extension}");
    }
}

#[test]
fn all_flags_of_bytes_take_units() {
    let flags =
        settings().into_iter().filter(|argument| argument.get_value_names().is_some_and(|names| names == ["BYTES"]));
    let flags = flags.map(|argument| argument.get_long().expect("a flag").to_owned()).collect::<Vec<_>>();
    assert!(flags.len() >= 6, "{flags:?}");
    for flag in flags {
        assert!(host(&flag, "1GiB").is_some() && host(&flag, "1Gib/s").is_none(), "--{flag}");
    }
}

#[test]
fn patterns_come_in_several_flags_or_separated_by_commas() {
    let patterns = |arguments: &[&str]| {
        let all = ["sac-serving", "serve"].iter().chain(arguments);
        let Command::Serve(serve) = Cli::try_parse_from(all).expect("arguments").command else { panic!("not serve") };
        serve.names.patterns()
    };
    assert_eq!(patterns(&[]), Patterns::default());
    let two = patterns(&["--pattern", "model_*", "--pattern=best.{pt,zip}"]);
    assert_eq!(two, patterns(&["--pattern", "model_*,best.{pt,zip}"]));
}

#[test]
fn bounds_may_begin_with_a_minus() {
    let cli =
        Cli::try_parse_from(["sac-serving", "inspect", "--action-bounds", "-2,-1:2,1", "file"]).expect("arguments");
    let Command::Inspect(inspect) = cli.command else { panic!("not inspect") };
    assert_eq!(inspect.load.action_bounds.map(|bounds| bounds.to_string()).as_deref(), Some("-2,-1:2,1"));
}

/// Returns `true` if two texts state the same default. A time may be written in two ways.
fn is_same(stated: &str, default: &str) -> bool {
    let time = |text| humantime::parse_duration(text).ok();
    stated == default || (time(stated).is_some() && time(stated) == time(default))
}

fn host(flag: &str, value: &str) -> Option<Box<ServeArgs>> {
    let cli = Cli::try_parse_from(["sac-serving", "serve", &format!("--{flag}={value}")]).ok()?;
    let Command::Serve(serve) = cli.command else { panic!("not serve") };
    Some(serve)
}

fn gateway(variable: &str, value: &str) -> Option<Environment> {
    Environment::read(|name| (name == variable).then(|| value.into())).ok()
}

#[test]
fn the_gateway_accepts_the_values_that_the_host_accepts() {
    let booleans = ["true", "T", "Yes", "y", "ON", "1", "false", "f", "no", "N", "off", "0", "2", "maybe", " true"];
    let numbers = ["0", "1", "+7", "4294967295", "4294967296", "-1", "1.5", "8MiB", "300 mb", "1G", " 7", "many"];
    let activations =
        Activation::NAMES.iter().chain(&["leakyrelu", "leaky-relu", "LeakyReLU", "Relu", "swish", " elu"]);
    let cases = [
        ("jit", variables::JIT, booleans.to_vec()),
        ("max-batch", variables::MAX_BATCH, numbers.to_vec()),
        ("max-body-bytes", variables::MAX_BODY_BYTES, numbers.to_vec()),
        ("max-checkpoint-bytes", variables::MAX_CHECKPOINT_BYTES, numbers.to_vec()),
        ("activation", variables::ACTIVATION, activations.copied().collect()),
        (
            "action-bounds",
            variables::ACTION_BOUNDS,
            vec!["unit", "-2:2", "-1,0:1,2", "1:-1", "2", "Unit", "a:b", " 0:1"],
        ),
        ("pattern", variables::PATTERN, vec!["*.pt", "a,b", "a,", "{a,b}*", "{a", "a/b", "!a", "*", "[a"]),
        ("model-name", variables::MODEL_NAME, vec!["sac", "BTC-1.0_x", ".", "..", "a/b", " a", "a b"]),
        ("vecnormalize", variables::VECNORMALIZE, vec!["v.pkl", "a b", "/v,w.pkl"]),
        ("on-bad-checkpoint", variables::ON_BAD_CHECKPOINT, vec!["keep", "fail", "Keep", "drop", " fail"]),
    ];
    for (flag, variable, values) in cases {
        for value in values {
            let host = host(flag, value).map(|args| {
                let body_bytes = args.max_body_bytes as u64;
                let bytes = (args.load.max_checkpoint_bytes, body_bytes);
                let facts = (args.load.activation, args.load.action_bounds);
                let files = (args.names.patterns(), args.load.vecnormalize, args.model_name);
                (args.jit, args.max_batch, bytes, facts, files, args.on_bad_checkpoint)
            });
            let gateway = gateway(variable, value).map(|read| {
                let bytes = (read.source.limits.max_bytes, read.max_body_bytes);
                let facts = (read.activation, read.action_bounds);
                let files = (read.source.patterns, read.source.vecnormalize, read.model_name);
                (read.jit, read.max_batch, bytes, facts, files, read.on_bad_checkpoint)
            });
            assert_eq!(host, gateway, "--{flag}={value:?}");
        }
    }
}

/// The values of the variables in a Kubernetes manifest, and its limit of memory.
fn kubernetes() -> (Vec<(String, String)>, usize) {
    let manifest = include_str!("../../../../deploy/kubernetes.yaml");
    let variable = |line: &str| {
        let (name, value) = line.trim().strip_prefix("- { name: ")?.strip_suffix(" }")?.split_once(", value: ")?;
        Some((name.to_owned(), value.trim_matches('"').to_owned()))
    };
    let limit = manifest.lines().find_map(|line| line.trim().strip_prefix("limits: { memory: ")?.strip_suffix("Gi }"));
    (manifest.lines().filter_map(variable).collect(), limit.unwrap().parse::<usize>().unwrap() << 30)
}

#[test]
fn the_manifest_of_kubernetes_has_the_memory_and_the_time_that_its_settings_take() {
    let (variables, limit) = kubernetes();
    let flags = settings().into_iter().filter_map(|argument| {
        let variable = argument.get_env()?.to_str()?.to_owned();
        let value = &variables.iter().find(|(name, _)| *name == variable)?.1;
        // The file of tokens is only in the container.
        (variable != "SAC_API_TOKEN_FILE").then(|| format!("--{}={value}", argument.get_long().expect("a flag")))
    });
    let flags = flags.collect::<Vec<_>>();
    assert!(flags.len() >= 3, "{flags:?}");
    let cli = Cli::try_parse_from(["sac-serving", "serve"].map(str::to_owned).into_iter().chain(flags)).unwrap();
    let Command::Serve(args) = &cli.command else { panic!("it is `serve`") };
    let config = args.config(Config::default()).unwrap();
    let files = 3 * usize::try_from(config.source.limits.max_bytes).unwrap();
    let kept = config.workers * (8 << 20);
    let needed = config.sandbox.total_memory_bytes + files + 16 * config.max_body_bytes + kept + (176 << 20);
    assert!(needed <= limit, "{needed} bytes of {limit}");
    let readme = include_str!("../../../../README.md");
    let formula =
        "`--max-memory` + 3 × `--max-checkpoint-bytes` + 16 × `--max-body-bytes` +\n8 MiB × `--workers` + 176 MiB";
    assert!(readme.contains(formula));
    let manifest = include_str!("../../../../deploy/kubernetes.yaml");
    let grace = manifest.lines().find_map(|line| line.trim().strip_prefix("terminationGracePeriodSeconds: ")).unwrap();
    let http = args.http_config(&config.tokens).unwrap();
    assert!(http.lame_duck_time + http.drain_time < std::time::Duration::from_secs(grace.parse().unwrap()));
}
