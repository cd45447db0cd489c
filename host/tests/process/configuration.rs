//! The configuration file, and `config check`, which shows where each setting comes from.

use std::fs;

use tempfile::{TempDir, tempdir};

use crate::program::{ask, folder, path, run, serve};

/// A configuration file with this text, and its path.
fn configuration(text: &str) -> (TempDir, String) {
    let place = tempdir().unwrap();
    let file = place.path().join("sac.toml");
    fs::write(&file, text).unwrap();
    let name = file.to_str().unwrap().to_owned();
    (place, name)
}

/// The value of a setting and where it comes from, as its line shows them.
fn shown(printed: &str, setting: &str) -> (String, String) {
    let line = printed.lines().find(|line| line.split_whitespace().next() == Some(setting));
    let words = line.unwrap_or_else(|| panic!("no {setting} in {printed}")).split_whitespace().collect::<Vec<_>>();
    (words[1].to_owned(), words[2].to_owned())
}

#[test]
fn a_flag_outranks_a_variable_that_outranks_the_file_that_outranks_the_default() {
    let (_place, file) = configuration(
        "max-batch = 7\nmax-in-flight = 70\nmax-connections = 700\nreload-wait = \"1s\"\nlog-format = \"json\"\njit = false\nmodel = \" \"\n",
    );
    let variables = [("SAC_MAX_IN_FLIGHT", "71"), ("SAC_MAX_CONNECTIONS", "701")];
    let args = ["config", "check", "--config", &file, "--max-connections", "702"];
    let (code, printed, log) = run(&args, &variables);
    assert_eq!(code, 0, "{log}");
    for (setting, value, by) in [
        ("max-batch", "7", "file"),
        ("max-in-flight", "71", "variable"),
        ("max-connections", "702", "flag"),
        ("reload-wait", "1s", "file"),
        ("log-format", "json", "file"),
        ("jit", "false", "file"),
        ("listen", "127.0.0.1:8000", "default"),
        ("model", "–", "default"),
        ("dir", "cache/models/rl/stat_pair", "default"),
        ("port", "8000", "default"),
        ("max-memory", "1073741824", "default"),
        ("max-connections-per-address", "615", "default"),
    ] {
        assert_eq!(shown(&printed, setting), (value.to_owned(), by.to_owned()), "{setting}");
    }
    for setting in ["workers", "max-instance-bytes"] {
        assert!(shown(&printed, setting).0.parse::<u64>().unwrap() > 0, "{setting}");
    }
    let by_variable = run(&["config", "check"], &[("SAC_CONFIG", &file)]);
    assert_eq!(shown(&by_variable.1, "max-batch").0, "7");
}

#[test]
fn an_invalid_variable_is_not_blamed_on_the_file_and_a_flag_outranks_it() {
    let (_place, file) = configuration("listen = \"127.0.0.1:0\"");
    let variables = [("SAC_MAX_BATCH", "many")];
    let (code, _, log) = run(&["config", "check", "--config", &file], &variables);
    assert!(code == 2 && log.contains("'many' for '--max-batch") && !log.contains("listen:"), "{log}");
    let args = ["config", "check", "--config", &file, "--max-batch", "5"];
    assert_eq!(shown(&run(&args, &variables).1, "max-batch"), ("5".to_owned(), "flag".to_owned()));
}

#[test]
fn a_server_uses_its_configuration_file() {
    let place = folder();
    let (_kept, file) = configuration(&format!("dir = {:?}\nmax-batch = 1\nlog-format = \"json\"\n", place.path()));
    let mut program = serve(place.path(), &["--config", &file], &[]);
    let address = program.address();
    assert!(program.seen.starts_with('{'), "{}", program.seen);
    let (status, body) = ask(address, "POST", "/sac/predict/batch", "", r#"{"states": [[1, 2, 3], [1, 2, 3]]}"#);
    assert_eq!(status, 400, "{body}");
}

#[test]
fn an_error_in_the_file_names_the_file_and_the_setting() {
    for (text, reason) in [
        ("max-batches = 1", "sac.toml: max-batches: there is no such setting (did you mean max-batch?)"),
        ("config = \"other\"", "sac.toml: config: there is no such setting; `sac-serving serve --help` lists them"),
        (
            "max-batch = \"many\"",
            "sac.toml: max-batch: invalid value 'many' for '--max-batch <N>': expected a whole number from 0 to 4294967295",
        ),
        ("reload-wait = 5", "sac.toml: reload-wait: invalid value '5' for '--reload-wait <TIME>'"),
        ("dir = [\"a\"]", "sac.toml: dir: expected a string, a number or a boolean, found: array"),
        ("dir = ", "sac.toml is not TOML"),
    ] {
        let (_place, file) = configuration(text);
        for command in [&["serve"][..], &["config", "check"]] {
            let (code, out, log) = run(&[command, &["--config", &file]].concat(), &[]);
            assert!(code == 2 && out.is_empty() && log.contains(reason), "{text}: {code} {log}");
        }
    }
    let (code, _, log) = run(&["serve", "--config", "no-such-file"], &[]);
    assert!(code == 2 && log.contains("no-such-file cannot be read"), "{log}");
}

#[test]
fn config_check_fails_where_serve_would_not_start_and_shows_no_secret() {
    let (place, file) = configuration("api-token = \"hidden-1\"");
    let (code, printed, _) = run(&["config", "check", "--config", &file], &[]);
    assert_eq!((code, shown(&printed, "api-token").0.as_str()), (0, "(hidden)"));
    assert!(!printed.contains("hidden-1"), "{printed}");
    let (code, printed, _) = run(&["config", "check"], &[("SAC_API_TOKEN", "hidden-1")]);
    assert!(code == 0 && !printed.contains("hidden-1"), "{printed}");
    let certificate = format!("tls-cert = {:?}", place.path());
    for (text, reason) in [
        ("listen = \"0.0.0.0:8000\"", "can be reached from other machines"),
        ("api-token-file = \"no-such-file\"", "the token file is refused: no-such-file: "),
        (&certificate, "--tls-cert needs --tls-key"),
        ("tls-key = \"key.pem\"", "--tls-key needs --tls-cert"),
    ] {
        let (_place, file) = configuration(text);
        let (code, out, log) = run(&["config", "check", "--config", &file], &[]);
        assert!(code == 2 && out.is_empty() && log.contains(reason), "{text}: {log}");
    }
    let blank = run(&["config", "check", "--listen", "0.0.0.0:8000", "--api-token", " "], &[]);
    assert!(blank.0 == 2 && blank.2.contains("can be reached from other machines"), "{}", blank.2);
    for (flags, reason) in [
        (&["--api-token-file", " "][..], "the token file is refused: the path is blank"),
        (&["--tls-cert", " ", "--tls-key", "key.pem"], "the certificate is refused: the path is blank"),
    ] {
        let (code, out, log) = run(&[&["config", "check"], flags].concat(), &[]);
        assert!(code == 2 && out.is_empty() && log.contains(reason), "{log}");
    }
    assert_eq!(run(&["inspect", &path("torch/executes.pt")], &[]).0, 1);
}

#[test]
fn config_check_shows_the_place_that_the_argument_names() {
    let place = folder();
    let folder = place.path().to_str().unwrap();
    let file = place.path().join("model_a.onnx");
    let file = file.to_str().unwrap();
    for (argument, model, dir) in
        [(folder, ("–", "default"), (folder, "argument")), (file, (file, "argument"), ("–", "default"))]
    {
        let args = ["config", "check", argument, "--listen", "localhost:7", "--port", "9"];
        let (code, printed, log) = run(&args, &[("STAT_PAIR_RL_DIR", "elsewhere"), ("STAT_PAIR_RL_MODEL", "other")]);
        let shown = |setting| shown(&printed, setting);
        let owned = |(value, by): (&str, &str)| (value.to_owned(), by.to_owned());
        assert_eq!((code, shown("model"), shown("dir")), (0, owned(model), owned(dir)), "{log}");
        assert_eq!(shown("listen"), owned(("localhost:9", "flag")));
    }
}

#[test]
fn serve_and_config_check_refuse_places_and_files_that_cannot_be_used() {
    let place = folder();
    let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let (gone, file) = (path("gone"), path("model_a.onnx"));
    let log = path("gone/decisions.jsonl");
    let policies = tempdir().unwrap();
    std::fs::create_dir(policies.path().join("policies")).unwrap();
    let misspelt = policies.path().join("policie").to_str().unwrap().to_owned();
    for (args, reason) in [
        (&["--vecnormalize", &*gone][..], "--vecnormalize: "),
        (&["--vecnormalize", "/"], "--vecnormalize: / is no file"),
        (&["--decision-log", &log], "--decision-log: "),
        (&["--decision-log", "/proc"], "--decision-log: /proc cannot be written"),
        (&["--root", &gone], "--root: "),
        (&["--root", &misspelt], "policies?)"),
        (&["--root", &file], "is a file, and a folder of folders is expected"),
        (&["--model", "a", "--dir", "b"], "--model and --dir name more than one place"),
        (&["--dir", "b", "a"], "the argument FOLDER|FILE and --dir name more than one place"),
    ] {
        for command in [&["serve", "--port", "0"][..], &["config", "check"]] {
            let (code, out, log) = run(&[command, args].concat(), &[]);
            assert!(code == 2 && out.is_empty() && log.contains(reason), "{args:?}: {code} {log}");
        }
    }
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "a check writes nothing");
}

#[test]
fn serve_and_config_check_name_variables_that_set_nothing() {
    let variables = [("SAC_PORTT", "9"), ("SAC_TEST_PYTHON", "python3"), ("SAC_SPIN", "spin")];
    let expected = "these variables set nothing: SAC_PORTT (did you mean SAC_PORT?)";
    let (code, printed, log) = run(&["config", "check"], &variables);
    assert!(
        code == 0 && log.contains(expected) && !log.contains("SAC_TEST_PYTHON") && !log.contains("SAC_SPIN"),
        "{log}"
    );
    assert_eq!(shown(&printed, "port").0, "8000");
    let place = folder();
    let mut program = serve(place.path(), &["."], &variables);
    program.address();
    assert!(program.seen.contains(expected), "{}", program.seen);
    assert!(!run(&["config", "check"], &[]).2.contains("set nothing"));
}

#[test]
fn every_invalid_use_ends_with_2() {
    for (args, reason) in [
        (&["serve", "--max-batch", "many"][..], "'many' for '--max-batch"),
        (&["serve", "--listen", "0.0.0.0:0"], "can be reached from other machines"),
        (&["serve", "--tls-cert", "chain.pem"], "--tls-cert needs --tls-key"),
        (&["serve", "--default", "x"], "--root (SAC_ROOT), which is not set"),
        (&["serve", "--shadow-share", "2"], "--shadow-share is between 0 and 1"),
        (&["demo", "--listen", "0.0.0.0:0"], "can be reached from other machines"),
        (&["healthcheck", "model.onnx"], "is no server: expected HOST:PORT, a URL or unix:PATH"),
        (&["healthcheck", "--ca-cert", "/none"], "--ca-cert: the certificates in /none are refused"),
        (&["serve", "--port", "abc"], "'abc' for '--port <PORT>': expected a whole number from 0 to 65535"),
        (&["config", "check", "--max-in-flight", "0"], "expected a whole number from 1 to "),
        (&["serve", "--max-instance-bytes", "1MB"], "at least 8388608 bytes are expected"),
        (&["config", "check", "--max-memory", "1MB"], "at least 8388608 bytes are expected"),
        (&["config", "check", "--max-head-bytes", "10"], "at least 1024 bytes are expected"),
        (&["config", "check", "--api-token", "tökén"], "has a character that no header carries"),
        (&["bench", "localhost:1", "-d", "0s"], "expected more than 0s"),
        (&["config", "check", "--max-connections", "0"], "expected a whole number from 1 to "),
        (&["config", "check", "--max-policies", "0"], "expected a whole number from 1 to "),
        (&["man", "no-such-command"], "there is no command no-such-command"),
    ] {
        let (code, out, log) = run(args, &[]);
        assert!(code == 2 && out.is_empty() && log.contains(reason), "{args:?}: {code} {log}");
    }
}

#[test]
fn a_default_policy_without_a_folder_is_a_warning() {
    let place = folder();
    let root = place.path().to_str().unwrap();
    let (code, _, log) = run(&["config", "check", "--root", root, "--default", "NOPE"], &[]);
    assert!(code == 0 && log.contains("has no folder NOPE, so /sac/… is 404 until it is there"), "{log}");
    std::fs::create_dir(place.path().join("a")).unwrap();
    let (_, _, log) = run(&["config", "check", "--root", root, "--default", "a"], &[]);
    assert!(!log.contains("has no folder"), "{log}");
}
