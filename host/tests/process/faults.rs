//! The program survives what a machine does to it: it is killed, its disk is full, its files cannot be read.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustix::process::{Resource, Rlimit, setrlimit};
use sac_test_support::{Connection, card, card_of, publish, request};
use tempfile::tempdir;

use crate::program::*;

const NAMES: [&str; 2] = ["pendulum_00500.onnx", "pendulum_08000.onnx"];

/// `serve` with limits, soft and hard, on a resource.
pub fn limited(place: &Path, cache: &Path, resource: Resource, soft: u64, hard: u64) -> Command {
    let mut command = command("serve", place, cache);
    command.args(["--dir", "."]);
    let limit = Rlimit { current: Some(soft), maximum: Some(hard) };
    // SAFETY: a system call and nothing else between fork and exec.
    unsafe { command.pre_exec(move || Ok(setrlimit(resource, limit)?)) };
    command
}

#[test]
fn after_a_kill_in_the_middle_of_swaps_it_starts_and_serves_the_newest() {
    let place = folder();
    for round in 0..5 {
        let mut program = serve(place.path(), &["--dir", "."], &[]);
        let address = program.address();
        assert!(!program.seen.contains("compiling"), "{}", program.seen);
        for swap in 0..10 {
            let name = format!("model_{round}_{swap}.onnx");
            publish(&place.path().join(&name), &file(NAMES[swap % 2]));
            if swap < 9 {
                let (_, body) = predict(address);
                assert!(body.contains(&name), "{name}: {body}");
            }
        }
        // The last swap is under way.
        let mut connection = Connection::open(address).unwrap();
        connection.send(&request("GET", "/sac/model/info", "", "")).unwrap();
        program.signal(Signal::KILL).unwrap();
        program.end();
        let mut program = serve(place.path(), &["--dir", "."], &[]);
        let (status, body) = predict(program.address());
        assert!(status == 200 && body.contains(&format!("model_{round}_9.onnx")), "{body}");
    }
}

#[test]
fn if_nothing_can_be_written_it_serves_without_a_cache() {
    let place = folder();
    // Like a full disk, this limit lets no file grow so far. Its signal is ignored, so that the write fails.
    let cache = tempdir().unwrap();
    let mut full = limited(place.path(), cache.path(), Resource::Fsize, 8 << 20, 8 << 20);
    // SAFETY: as above.
    unsafe {
        full.pre_exec(|| {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            Ok(())
        });
    }
    // Like a read-only disk: not even root can create a file there.
    let mut read_only = command("serve", place.path(), Path::new("/proc"));
    read_only.args(["--dir", "."]);
    for command in [full, read_only] {
        let mut program = Process::spawn(command).unwrap();
        let address = program.address();
        assert!(program.seen.contains("cannot be kept"), "{}", program.seen);
        assert_eq!(predict(address).0, 200);
        publish(&place.path().join("model_b.onnx"), &file(NAMES[1]));
        assert!(predict(address).1.contains("model_b.onnx"));
    }
    let left = fs::read_dir(cache.path()).unwrap().count();
    assert_eq!(left, 0, "half an artefact is left");
}

#[test]
fn a_log_that_cannot_be_written_does_not_end_the_program() {
    let place = folder();
    let mut command = command("serve", place.path(), &cache());
    command.args(["--dir", "."]).env("RUST_LOG", "debug");
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut child = command.stdout(full.try_clone().unwrap()).stderr(full).spawn().unwrap();
    let address = loop {
        if let Some(address) = listening(child.id()) {
            break address;
        }
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        thread::yield_now();
    };
    publish(&place.path().join("model_b.onnx"), b"broken");
    for _ in 0..3 {
        assert!(predict(address).1.contains("model_a.onnx"));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The address that a process listens on, as the kernel shows it.
fn listening(process: u32) -> Option<SocketAddr> {
    let sockets = fs::read_dir(format!("/proc/{process}/fd")).ok()?;
    let sockets = sockets.filter_map(|entry| Some(fs::read_link(entry.ok()?.path()).ok()?.to_str()?.to_owned()));
    let sockets = sockets.collect::<Vec<_>>();
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    table.lines().skip(1).find_map(|line| {
        let columns = line.split_whitespace().collect::<Vec<_>>();
        let (local, state, inode) = (columns.get(1)?, columns.get(3)?, columns.get(9)?);
        let (_, port) = local.split_once(':')?;
        let ours = *state == "0A" && sockets.contains(&format!("socket:[{inode}]"));
        ours.then(|| Some((Ipv4Addr::LOCALHOST, u16::from_str_radix(port, 16).ok()?).into()))?
    })
}

#[test]
fn a_checkpoint_with_a_read_error_replaces_nothing_until_it_can_be_read() {
    let place = folder();
    let mut program = serve(place.path(), &["--dir", "."], &[]);
    let address = program.address();
    assert_eq!(predict(address).0, 200);
    // A regular file whose every byte gives EIO.
    symlink("/proc/self/mem", place.path().join("model_b.onnx")).unwrap();
    for _ in 0..3 {
        assert!(predict(address).1.contains("model_a.onnx"));
    }
    let info = ask(address, "GET", "/sac/model/info", "", "").1;
    assert!(info.contains("\"stale\":true") && info.contains("Input/output error"), "{info}");
    publish(&place.path().join("model_b.onnx"), &file(NAMES[1]));
    assert!(predict(address).1.contains("model_b.onnx"));
}

#[test]
fn a_checkpoint_that_grows_slowly_is_not_served_before_it_is_whole() {
    for name in ["pendulum_08000.onnx", "pendulum_08000.state_dict.pt", "pendulum_08000.sb3.zip"] {
        let place = folder();
        let mut program = serve(place.path(), &["--dir", "."], &[]);
        let address = program.address();
        let extension = name.rsplit('.').next().unwrap();
        let next = format!("model_b.{extension}");
        if let Some(card) = card(name) {
            publish(&card_of(&place.path().join(&next)), &card);
        }
        let mut growing = File::create(place.path().join(&next)).unwrap();
        let bytes = file(name);
        for part in bytes.chunks(bytes.len().div_ceil(20)) {
            assert!(predict(address).1.contains("model_a.onnx"), "{name}");
            growing.write_all(part).unwrap();
        }
        assert!(predict(address).1.contains(&next), "{name}");
    }
}

#[test]
fn ten_thousand_other_files_hide_no_checkpoint() {
    let place = folder();
    for index in 0..10_000 {
        File::create(place.path().join(format!("junk_{index:05}.onnx"))).unwrap();
    }
    let mut program = serve(place.path(), &["--dir", "."], &[]);
    let address = program.address();
    assert!(predict(address).1.contains("model_a.onnx"));
    publish(&place.path().join("model_b.onnx"), &file(NAMES[1]));
    assert!(predict(address).1.contains("model_b.onnx"));
}

#[test]
fn with_all_descriptors_taken_it_answers_open_connections_and_still_swaps() {
    let place = folder();
    let mut program = Process::spawn(limited(place.path(), &cache(), Resource::Nofile, 100, 100)).unwrap();
    let address = program.address();
    assert!(program.seen.contains("the limit of open files"), "{}", program.seen);
    let health = request("GET", "/sac/health", "", "");
    let mut first = Connection::open(address).unwrap();
    assert_eq!(first.ask(&health).unwrap().status, 200);
    let others = (0..200).map(|_| Connection::open(address).unwrap()).collect::<Vec<_>>();
    publish(&place.path().join("model_b.onnx"), &file(NAMES[1]));
    let answer = first.ask(&request("POST", "/sac/predict", "", STATE)).unwrap();
    assert!(answer.text().contains("model_b.onnx"), "{}", answer.text());
    // 64 of the descriptors are kept free, so that there is room for 36 connections. The oldest of those that have not asked
    // gave way to the newest.
    for mut connection in others.into_iter().rev().take(20) {
        assert_eq!(connection.ask(&health).unwrap().status, 200);
    }
    assert_eq!(first.ask(&health).unwrap().status, 200);
}

#[test]
fn sigterm_under_load_cuts_no_answer_short() {
    let place = folder();
    let mut program = serve(place.path(), &["--dir", "."], &[]);
    let address = program.address();
    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Ok(answer) = predict_once(address) {
                    // The connection was closed before the request was read, or the answer is whole.
                    assert!(answer.is_empty() || answer.ends_with('}'), "{answer}");
                    answered.fetch_add(1, Ordering::Relaxed);
                    if stop.load(Ordering::Relaxed) && answer.is_empty() {
                        break;
                    }
                }
            });
        }
        while answered.load(Ordering::Relaxed) < 200 {
            thread::yield_now();
        }
        program.signal(Signal::TERM).unwrap();
        stop.store(true, Ordering::Relaxed);
    });
    let (status, log) = program.end();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("cut off"), "{log}");
}

/// Reads until the connection is closed. Returns the whole answer, or nothing if the server closed it before.
fn predict_once(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    let mut answer = String::new();
    let request = request("POST", "/sac/predict", "connection: close\r\n", STATE);
    match stream.write_all(&request).and_then(|()| stream.read_to_string(&mut answer)) {
        // The connection was in the backlog of a listener that was closed.
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => Ok(answer),
        outcome => outcome.map(|_| answer),
    }
}

#[test]
fn the_soft_limit_of_open_files_is_raised() {
    let place = folder();
    let mut program = Process::spawn(limited(place.path(), &cache(), Resource::Nofile, 128, 2000)).unwrap();
    program.address();
    let limits = fs::read_to_string(format!("/proc/{}/limits", program.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(line.split_whitespace().nth(3), Some("2000"), "{line}");
}
