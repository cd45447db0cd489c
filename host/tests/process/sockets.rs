//! `--listen unix:PATH`: what the program says about it, its file, and the commands that ask a server there.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use sac_test_support::{Connection, publish, request};
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::program::*;

/// A server of one good checkpoint on `http.sock` in its folder.
fn server(args: &[&str]) -> (TempDir, Process) {
    let place = folder();
    let program = start(place.path(), args);
    (place, program)
}

fn start(folder: &Path, args: &[&str]) -> Process {
    let mut program = serve(folder, &[&[".", "--listen", "unix:http.sock"], args].concat(), &[]);
    program.wait_for("listening on unix:");
    program
}

fn connect(folder: &Path) -> Connection {
    Connection::open_unix(&folder.join("http.sock")).unwrap()
}

fn predict(folder: &Path) -> (u16, String) {
    let answer = connect(folder).ask(&request("POST", "/sac/predict", "connection: close\r\n", STATE)).unwrap();
    (answer.status, answer.text().to_owned())
}

#[test]
fn the_log_names_the_socket_and_a_request_and_the_next_request_sees_a_new_checkpoint() {
    let (place, mut program) = server(&[]);
    let socket = place.path().join("http.sock");
    assert!(program.seen.contains(&format!("listening on unix:{}\n", socket.display())), "{}", program.seen);
    let line = program.wait_for("ask it: ");
    let command = format!("curl -s --unix-socket {} http://localhost/sac/predict -d '", socket.display());
    assert!(line.contains(&command), "{line}");
    assert!(predict(place.path()).1.contains("model_a.onnx"));
    publish(&place.path().join("model_b.onnx"), &file("pendulum_08000.onnx"));
    assert!(predict(place.path()).1.contains("model_b.onnx"));
}

#[test]
fn a_request_in_flight_finishes_at_sigterm_and_the_socket_is_removed() {
    let (place, mut program) = server(&[]);
    let mut connection = connect(place.path());
    let whole = request("POST", "/sac/predict", "expect: 100-continue\r\n", STATE);
    let (head, body) = whole.split_at(whole.len() - STATE.len());
    assert_eq!(connection.ask(head).unwrap().status, 100);
    program.signal(Signal::TERM).unwrap();
    program.wait_for("shutting down");
    assert!(!place.path().join("http.sock").exists());
    assert_eq!(connection.ask(body).unwrap().status, 200);
    connection.read_to_end().unwrap();
    let (status, log) = program.end();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn after_kill_9_the_next_server_replaces_the_socket_and_a_second_one_does_not_start() {
    let (place, program) = server(&[]);
    drop(program);
    assert!(fs::symlink_metadata(place.path().join("http.sock")).unwrap().file_type().is_socket());
    let _program = start(place.path(), &[]);
    assert_eq!(predict(place.path()).0, 200);
    let (status, log) = serve(place.path(), &[".", "--listen", "unix:http.sock"], &[]).end();
    let reason = "cannot listen on unix:http.sock: another process listens there";
    assert!(status.code() == Some(1) && log.contains(reason), "{log}");
    assert_eq!(predict(place.path()).0, 200);
}

#[test]
fn the_mode_of_the_socket_does_not_depend_on_the_umask() {
    for umask in ["000", "077"] {
        let place = folder();
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "umask $1; exec \"$0\" serve . --listen unix:http.sock", PROGRAM, umask]);
        prepare(&mut shell, place.path(), &cache());
        let mut program = Process::spawn(shell).unwrap();
        program.wait_for("listening on unix:");
        let mode = fs::symlink_metadata(place.path().join("http.sock")).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o660, "{umask}");
    }
}

#[test]
fn what_cannot_be_a_socket_is_explained_and_left_as_it_is() {
    let place = folder();
    let checkpoint = fs::read(place.path().join("model_a.onnx")).unwrap();
    for (address, code, reason) in [
        ("unix:model_a.onnx", 1, "cannot listen on unix:model_a.onnx: there is a file that is no socket"),
        ("unix:none/http.sock", 1, "cannot listen on unix:none/http.sock: the folder none does not exist: create it"),
        ("unix:", 2, "expected unix:PATH"),
        ("unix://none/http.sock", 2, "expected unix:PATH"),
    ] {
        let (status, log) = serve(place.path(), &[".", "--listen", address], &[]).end();
        assert!(status.code() == Some(code) && log.contains(reason), "{address}: {log}");
    }
    assert_eq!(fs::read(place.path().join("model_a.onnx")).unwrap(), checkpoint);
    let (code, _, log) = run(&["config", "check", "--listen", "unix:http.sock", "--port", "8000"], &[]);
    assert!(code == 2 && log.contains("unix:http.sock has no port: leave --port (SAC_PORT) out"), "{log}");
    let (code, _, log) = run(&["demo", "--listen", "unix:http.sock"], &[]);
    assert!(code == 2 && log.contains("the demo is a page: expected HOST:PORT"), "{log}");
}

#[test]
fn a_folder_that_the_user_may_not_write_to_is_explained() {
    // Root may write to every folder, so that the program runs as nobody then.
    const NOBODY: u32 = 65534;
    let place = tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let program = place.path().join("sac-serving");
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if is_root {
        install(Path::new(PROGRAM), &program);
    }
    let mut serve =
        command_of(if is_root { &program } else { Path::new(PROGRAM) }, "serve", place.path(), Path::new("none"));
    serve.args([".", "--listen", "unix:http.sock"]);
    if is_root {
        serve.uid(NOBODY).gid(NOBODY);
    }
    let (status, log) = Process::spawn(serve).unwrap().end();
    let reason = "the socket is a file that the server makes, so it must be allowed to write to .";
    assert!(status.code() == Some(1) && log.contains("Permission denied") && log.contains(reason), "{log}");
}

#[test]
fn commands_ask_a_server_on_a_unix_socket() {
    let (place, mut program) = server(&[]);
    program.wait_for("checkpoint in service");
    let address = format!("unix:{}", place.path().join("http.sock").display());
    let url = address.replacen(":", "://", 1);
    for target in [&address, &url] {
        let (code, action, log) = run(&["predict", target, "--state", "-0.3,0.4,-0.5"], &[]);
        assert!(code == 0 && action.trim().parse::<f64>().is_ok(), "{action}{log}");
        assert_eq!(run(&["healthcheck", "--ready", target], &[]).0, 0);
    }
    assert_eq!(run(&["healthcheck"], &[("SAC_LISTEN", &address)]).0, 0);
    let (code, report, log) = run(&["bench", &address, "-d", "200ms", "--warmup", "0s", "-c", "2", "--json"], &[]);
    assert_eq!(code, 0, "{log}");
    let report = serde_json::from_str::<Value>(&report).unwrap();
    assert!(report["requests"].as_u64().unwrap() > 0 && report["errors"] == serde_json::json!({}), "{report}");
    drop(program);
    let (code, _, log) = run(&["healthcheck", &address], &[]);
    assert!(code == 1 && log.contains(&format!("{address} cannot be reached")), "{log}");
}

#[test]
fn without_a_token_it_answers_only_to_the_names_of_this_machine() {
    let (place, _program) = server(&[]);
    for (host, status) in [("localhost", 200), ("127.0.0.1", 200), ("example.com", 403)] {
        let request = request("GET", "/status", &format!("host: {host}\r\n"), "");
        assert_eq!(connect(place.path()).ask(&request).unwrap().status, status, "{host}");
    }
}

#[test]
fn the_access_log_has_the_user_and_a_request_over_tls_is_shown_as_https() {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (place, mut program) = server(&["--access-log"]);
    assert_eq!(predict(place.path()).0, 200);
    let user = fs::metadata(format!("/proc/{}", program.id())).unwrap().uid();
    program.wait_for(&format!("client=uid:{user} method=POST path=\"/sac/predict\" status=200"));
    drop(program);
    fs::write(place.path().join("chain.pem"), cert.pem()).unwrap();
    fs::write(place.path().join("key.pem"), signing_key.serialize_pem()).unwrap();
    let mut program = start(place.path(), &["--tls-cert", "chain.pem", "--tls-key", "key.pem"]);
    program.wait_for(" https://localhost/sac/predict ");
}
