//! `serve`: variables, signals, tokens, the cache, the log and memory.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::UNIX_EPOCH;

use sac_test_support::{Connection, memory, publish, publish_named, request};
use tempfile::{TempDir, tempdir};

use crate::program::*;

#[test]
fn the_first_of_the_three_places_that_is_set_decides_and_a_blank_one_is_not_set() {
    let place = folder();
    let (explicit, other) = (place.path().join("chosen.onnx"), place.path().join("other"));
    let default = place.path().join("cache/models/rl/stat_pair");
    fs::write(&explicit, file("pendulum_00500.onnx")).unwrap();
    for folder in [&other, &default] {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("model_b.onnx"), file("pendulum_08000.onnx")).unwrap();
    }
    let home = place.path().to_str().unwrap();
    let (model, dir) = ("STAT_PAIR_RL_MODEL", "STAT_PAIR_RL_DIR");
    for (variables, expected) in [
        (vec![(model, "chosen.onnx"), (dir, "other")], explicit),
        (vec![(model, " "), (dir, "other")], other.join("model_b.onnx")),
        (vec![(model, ""), (dir, "\t")], default.join("model_b.onnx")),
        (vec![], default.join("model_b.onnx")),
        (vec![(dir, "~/other"), ("HOME", home)], other.join("model_b.onnx")),
        (vec![(dir, "~"), ("HOME", home), ("STAT_PAIR_RL_JIT", "")], place.path().join("model_a.onnx")),
    ] {
        let mut program = serve(place.path(), &[], &variables);
        let (status, body) = predict(program.address());
        assert_eq!(status, 200, "{body}");
        let expected = expected.canonicalize().unwrap();
        assert!(body.contains(&format!("\"model_path\":{:?}", expected)), "{variables:?}: {body}");
    }
    for missing in [[(model, "missing.onnx"), (dir, "other")], [(model, ""), (dir, "missing")]] {
        let mut program = serve(place.path(), &[], &missing);
        assert_eq!(predict(program.address()).0, 503, "{missing:?}");
    }
}

#[test]
fn the_compiled_mode_is_set_by_a_variable() {
    let place = folder();
    for (variable, compiled) in [("1", true), ("0", false), ("false", false), ("", true)] {
        let mut program = serve(place.path(), &["--dir", "."], &[("STAT_PAIR_RL_JIT", variable)]);
        let (_, body) = predict(program.address());
        assert!(body.contains(&format!("\"jit_compiled\":{compiled}")), "{variable:?}: {body}");
    }
}

#[test]
fn sigterm_and_ctrl_c_let_a_request_in_flight_finish_and_exit_with_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let place = folder();
        let mut program = serve(place.path(), &["--dir", "."], &[]);
        let address = program.address();
        assert_eq!(predict(address).0, 200);
        // A request whose head has been read is in flight.
        let mut connection = Connection::open(address).unwrap();
        let whole = request("POST", "/sac/predict", "expect: 100-continue\r\n", STATE);
        let (head, body) = whole.split_at(whole.len() - STATE.len());
        assert_eq!(connection.ask(head).unwrap().status, 100);
        program.signal(signal).unwrap();
        program.wait_for("shutting down");
        assert_eq!(connection.ask(body).unwrap().status, 200);
        connection.read_to_end().unwrap();
        assert!(TcpStream::connect(address).is_err(), "it still listens");
        let (status, log) = program.end();
        assert_eq!(status.code(), Some(0), "{log}");
    }
}

#[test]
fn the_log_has_a_line_for_each_swap_and_one_for_a_refusal() {
    let place = folder();
    let mut program = serve(place.path(), &["--dir", ".", "--log-format", "json"], &[]);
    let address = program.address();
    predict(address);
    publish(&place.path().join("model_b.onnx"), &file("pendulum_08000.onnx"));
    predict(address);
    fs::write(place.path().join("model_c.onnx"), "broken").unwrap();
    for _ in 0..5 {
        assert_eq!(predict(address).0, 200);
    }
    program.signal(Signal::TERM).unwrap();
    let (_, log) = program.end();
    let lines =
        log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect(line)).collect::<Vec<_>>();
    let logged = |message: &str| {
        lines.iter().filter(|line| line["message"].as_str().unwrap().contains(message)).collect::<Vec<_>>()
    };
    let swaps = logged("checkpoint in service");
    assert_eq!(swaps.len(), 2, "{log}");
    for (swap, name) in swaps.iter().zip(["model_a.onnx", "model_b.onnx"]) {
        assert!(
            swap["path"].as_str().unwrap().ends_with(name) && swap["duration_ms"].as_f64().unwrap() > 0.0,
            "{swap}"
        );
    }
    assert_eq!(logged("checkpoint refused").len(), 1, "{log}");
}

#[test]
fn it_does_not_listen_on_other_addresses_without_a_token() {
    let place = folder();
    let token = place.path().join("token");
    fs::write(&token, "secret\nother\n").unwrap();
    let token = token.to_str().unwrap();
    let everywhere = ["--listen", "0.0.0.0:0", "--dir", "."];
    let (status, log) = serve(place.path(), &everywhere, &[]).end();
    assert!(!status.success() && log.contains("set a token"), "{log}");
    for (args, variables) in [
        (vec!["--no-auth"], vec![]),
        (vec!["--api-token-file", token], vec![]),
        (vec![], vec![("SAC_API_TOKEN", "secret")]),
    ] {
        let mut program = serve(place.path(), &[&everywhere[..], &args].concat(), &variables);
        let address = (Ipv4Addr::LOCALHOST, program.address().port()).into();
        let open = predict(address).0;
        let authorized = ask(address, "POST", "/sac/predict", "authorization: Bearer secret\r\n", STATE).0;
        assert_eq!((open, authorized), (if args == ["--no-auth"] { 200 } else { 401 }, 200), "{args:?}");
        assert!(!program.seen.contains("secret"));
    }
}

#[test]
fn a_file_that_arrives_with_an_older_time_is_logged_once() {
    let place = folder();
    let mut program = serve(place.path(), &["--dir", "."], &[]);
    let address = program.address();
    assert_eq!(predict(address).0, 200);
    let older = place.path().join("older.tmp");
    fs::write(&older, file("pendulum_08000.onnx")).unwrap();
    fs::File::options().write(true).open(&older).unwrap().set_modified(UNIX_EPOCH).unwrap();
    fs::rename(&older, place.path().join("model_z.onnx")).unwrap();
    assert_eq!([predict(address).0, predict(address).0], [200, 200]);
    program.signal(Signal::TERM).unwrap();
    let log = program.end().1;
    assert_eq!(log.matches("older than the checkpoint in service, which stays: `touch` it").count(), 1, "{log}");
}

#[test]
fn a_token_file_that_is_gone_is_logged_once_and_its_tokens_stay() {
    let place = folder();
    let token = place.path().join("token");
    fs::write(&token, "secret\n").unwrap();
    let mut program = serve(place.path(), &["--dir", ".", "--api-token-file", token.to_str().unwrap()], &[]);
    let address = program.address();
    let authorized = || ask(address, "POST", "/sac/predict", "authorization: Bearer secret\r\n", STATE).0;
    assert_eq!(authorized(), 200);
    fs::remove_file(&token).unwrap();
    assert_eq!([authorized(), authorized()], [200, 200]);
    program.signal(Signal::TERM).unwrap();
    let log = program.end().1;
    assert_eq!(log.matches("the file is gone and its previous content stays").count(), 1, "{log}");
}

#[test]
fn the_help_does_not_show_a_token_that_is_set() {
    let output = Command::new(PROGRAM).args(["serve", "--help"]).env("SAC_API_TOKEN", "secret").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.contains("SAC_API_TOKEN") && !help.contains("secret"), "{help}");
}

#[test]
fn a_compiled_component_that_was_tampered_with_is_not_run() {
    let place = folder();
    let cache = copy_of_the_cache(None);
    // Earlier builds may have left artefacts of their own.
    let entries = fs::read_dir(cache.path()).unwrap().map(|entry| entry.unwrap().path());
    for artefact in entries.filter(|path| path.extension().is_some_and(|e| e == "cwasm")) {
        let mut code = fs::read(&artefact).unwrap();
        let middle = code.len() / 2;
        code[middle] ^= 1;
        fs::write(&artefact, code).unwrap();
    }
    let variables = [("SAC_CACHE_DIR", cache.path().to_str().unwrap())];
    let mut program = serve(place.path(), &["--dir", "."], &variables);
    assert_eq!(predict(program.address()).0, 200);
    assert!(program.seen.contains("is compiled again"), "{}", program.seen);
    let mut again = serve(place.path(), &["--dir", "."], &variables);
    again.address();
    assert!(!again.seen.contains("compiling"), "the artefact that was compiled again is not kept: {}", again.seen);

    // Other users could have written to this folder.
    fs::set_permissions(cache.path(), Permissions::from_mode(0o777)).unwrap();
    let mut program = serve(place.path(), &["--dir", "."], &variables);
    program.address();
    assert!(program.seen.contains("others can write"), "{}", program.seen);
}

#[test]
fn a_component_that_was_compiled_when_the_program_was_installed_is_run_at_the_first_start() {
    let place = folder();
    let (program, share) = (place.path().join("bin/sac-serving"), place.path().join("share/sac-serving"));
    fs::create_dir(place.path().join("bin")).unwrap();
    install(Path::new(PROGRAM), &program);
    fs::create_dir(place.path().join("share")).unwrap();
    fs::rename(copy_of_the_cache(None).keep(), &share).unwrap();
    let first_start = || {
        let empty = tempdir().unwrap();
        let mut serve = command_of(&program, "serve", place.path(), empty.path());
        serve.args(["--dir", "."]);
        let mut program = Process::spawn(serve).unwrap();
        assert_eq!(predict(program.address()).0, 200);
        program.signal(Signal::TERM).unwrap();
        program.end().1
    };
    let log = first_start();
    assert!(!log.contains("compiling"), "{log}");
    // uv installs files as hard links to its cache.
    let uv = place.path().join("uv");
    fs::create_dir(&uv).unwrap();
    for entry in fs::read_dir(&share).unwrap().map(Result::unwrap) {
        fs::hard_link(entry.path(), uv.join(entry.file_name())).unwrap();
    }
    let log = first_start();
    assert!(!log.contains("compil"), "{log}");
    // Other users could have written to this folder.
    fs::set_permissions(&share, Permissions::from_mode(0o777)).unwrap();
    let log = first_start();
    assert!(log.contains("that was installed is not used: others can write") && log.contains("compiling"), "{log}");
}

#[test]
fn a_checkpoint_without_read_permission_is_refused_until_it_has_it() {
    // Root may read everything, so that the program runs as nobody then.
    const NOBODY: u32 = 65534;
    let place = folder();
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let cache = copy_of_the_cache(is_root.then_some(NOBODY));
    let program = place.path().join("sac-serving");
    install(Path::new(PROGRAM), &program);
    fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
    let secret = place.path().join("model_b.onnx");
    fs::write(&secret, file("pendulum_08000.onnx")).unwrap();
    fs::set_permissions(&secret, Permissions::from_mode(0o000)).unwrap();

    let mut serve = command_of(&program, "serve", place.path(), cache.path());
    serve.args(["--dir", "."]);
    if is_root {
        serve.uid(NOBODY).gid(NOBODY);
    }
    let mut program = Process::spawn(serve).unwrap();
    let address = program.address();
    let (status, body) = predict(address);
    assert!(status == 200 && body.contains("model_a.onnx"), "{body}");
    let (_, info) = ask(address, "GET", "/sac/model/info", "", "");
    assert!(info.contains("\"stale\":true") && info.contains("Permission denied"), "{info}");
    fs::set_permissions(&secret, Permissions::from_mode(0o644)).unwrap();
    assert!(predict(address).1.contains("model_b.onnx"));
}

fn copy_of_the_cache(owner: Option<u32>) -> TempDir {
    let copy = tempdir().unwrap();
    for entry in fs::read_dir(cache()).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        let to = copy.path().join(entry.file_name());
        fs::copy(entry.path(), &to).unwrap();
        chown(to, owner, owner).unwrap();
    }
    chown(copy.path(), owner, owner).unwrap();
    copy
}

#[test]
fn a_small_file_that_unpacks_to_a_large_one_takes_little_memory() {
    let folder = tempdir().unwrap();
    let good = folder.path().join("model_good.pt");
    publish_named(&good, "pendulum_00500.agent.pt");
    let mut program = serve(folder.path(), &["--dir", "."], &[]);
    let address = program.address();
    assert!(predict(address).1.contains("model_good.pt"));
    let before = memory(program.id(), "VmHWM").unwrap();
    for name in ["bomb.pt", "bomb.zip", "bomb_pickle.pt", "deep_nesting.pt", "billion_laughs.pt", "absurd_shape.pt"] {
        let hostile = folder.path().join(format!("model_{name}"));
        publish(&hostile, &file(&format!("torch/{name}")));
        assert!(predict(address).1.contains("model_good.pt"), "{name}");
        program.wait_for("checkpoint refused");
        fs::remove_file(hostile).unwrap();
    }
    let grown = memory(program.id(), "VmHWM").unwrap() - before;
    assert!(grown < 128 << 20, "the peak of memory rose by {grown} bytes");
}
