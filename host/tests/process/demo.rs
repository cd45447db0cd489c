//! The command `demo`. Its page is tested in `browser`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use tempfile::tempdir;

use sac_test_support::{Connection, request};

use crate::program::*;

#[test]
fn the_demo_shows_that_the_next_request_after_a_swap_is_answered_by_the_new_policy() {
    let place = tempdir().unwrap();
    let mut command = command("demo", place.path(), &cache());
    command.args(["--swap-after", "10ms"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut program = Process::spawn(command).unwrap();
    let mut lines = BufReader::new(program.child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut find = |word: &str| lines.find(|line| line.contains(word)).expect(word);
    assert!(find("curl").contains("/sac/health"));
    assert!(find("Before: ").contains("model_early.onnx"));
    assert!(find("After: ").contains("model_trained.onnx"));
    program.signal(Signal::INT).unwrap();
    assert_eq!(program.end().0.code(), Some(0));
}

#[test]
fn the_demo_opens_its_page_with_the_flag_open() {
    let place = tempdir().unwrap();
    let (opener, opened) = (place.path().join("xdg-open"), place.path().join("opened"));
    assert!(Command::new("mkfifo").arg(&opened).status().unwrap().success());
    let script = place.path().join("script");
    fs::write(&script, format!("#!/bin/sh\necho \"$1\" > {}\n", opened.display())).unwrap();
    install(&script, &opener);
    let mut command = command("demo", place.path(), &cache());
    command.arg("--open").env("PATH", place.path()).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut program = Process::spawn(command).unwrap();
    let mut printed = BufReader::new(program.child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let page = printed.find(|line| line.contains("shows the pendulum")).unwrap();
    // Reading blocks until the opener writes, which may never happen.
    let (send, received) = channel();
    thread::spawn(move || send.send(fs::read_to_string(opened).unwrap()));
    let url = received.recv_timeout(Duration::from_secs(300)).expect("the page is opened");
    assert!(url.starts_with("http://127.0.0.1:") && page.trim().starts_with(url.trim()), "{url} {page}");
    program.signal(Signal::INT).unwrap();
    program.end();
}

#[test]
fn without_a_browser_the_demo_names_the_page() {
    let place = tempdir().unwrap();
    let mut command = command("demo", place.path(), &cache());
    command.arg("--open").env("PATH", place.path()).stdin(Stdio::null()).stdout(Stdio::null());
    let line = Process::spawn(command).unwrap().wait_for("no browser opens here: visit http://127.0.0.1:");
    assert!(line.trim().ends_with("/ yourself"), "{line}");
}

#[test]
fn the_demos_own_routes_answer_head_as_get_and_name_their_methods() {
    let place = tempdir().unwrap();
    let mut command = command("demo", place.path(), &cache());
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut program = Process::spawn(command).unwrap();
    let mut printed = BufReader::new(program.child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let line = printed.find(|line| line.contains("shows the pendulum")).unwrap();
    let address = line.trim().strip_prefix("http://").unwrap().split('/').next().unwrap().to_owned();
    for (method, path, status, allow) in [
        ("HEAD", "/", 200, None),
        ("HEAD", "/extension.js", 200, None),
        ("POST", "/extension.js", 405, Some("GET, HEAD")),
        ("GET", "/extension/early", 405, Some("POST")),
        ("POST", "/extension/early", 200, None),
        ("POST", "/extension/nothing", 404, None),
    ] {
        let mut connection = Connection::open(&*address).unwrap();
        let answer = connection.ask(&request(method, path, "", "")).unwrap();
        assert_eq!((answer.status, answer.header("allow")), (status, allow), "{method} {path}");
    }
    program.signal(Signal::INT).unwrap();
    program.end();
}
