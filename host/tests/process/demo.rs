//! `demo`; its page is looked at in `browser`.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::tempdir;

use crate::program::*;

#[test]
fn the_demo_swaps_and_shows_that_the_next_request_is_answered_by_the_new_policy() {
    let mut command = Command::new(PROGRAM);
    command.args(["demo", "--swap-after", "10ms"]).env_clear().env("SAC_CACHE_DIR", cache());
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut program = Program::spawn(command);
    let mut lines = BufReader::new(program.child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut find = |word: &str| lines.find(|line| line.contains(word)).expect(word);
    assert!(find("curl").contains("/sac/health"));
    assert!(find("Before: ").contains("model_early.onnx"));
    assert!(find("After: ").contains("model_trained.onnx"));
    program.signal(Signal::INT);
    assert_eq!(program.end().0.code(), Some(0));
}

#[test]
fn the_demo_opens_its_page_where_it_is_asked_to() {
    let place = tempdir().unwrap();
    let (opener, opened) = (place.path().join("xdg-open"), place.path().join("opened"));
    assert!(Command::new("mkfifo").arg(&opened).status().unwrap().success());
    fs::write(&opener, format!("#!/bin/sh\necho \"$1\" > {}\n", opened.display())).unwrap();
    fs::set_permissions(&opener, Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["demo", "--open"]).env_clear().env("SAC_CACHE_DIR", cache()).env("PATH", place.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut program = Program::spawn(command);
    let mut told = BufReader::new(program.child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let page = told.find(|line| line.contains("shows the pendulum")).unwrap();
    // Reading waits for the writer, which may never come.
    let (send, told) = channel();
    thread::spawn(move || send.send(fs::read_to_string(opened).unwrap()));
    let url = told.recv_timeout(Duration::from_secs(60)).expect("the page is opened");
    assert!(url.starts_with("http://127.0.0.1:") && page.trim().starts_with(url.trim()), "{url} {page}");
    program.signal(Signal::INT);
    program.end();
}
