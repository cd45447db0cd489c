//! What a machine may do to the program: kill it, fill its disk, take its files away.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use tempfile::tempdir;

use crate::program::*;

const NAMES: [&str; 2] = ["pendulum_00500.onnx", "pendulum_08000.onnx"];

fn publish(folder: &Path, name: &str, bytes: &[u8]) {
    fs::write(folder.join("next.tmp"), bytes).unwrap();
    fs::rename(folder.join("next.tmp"), folder.join(name)).unwrap();
}

/// `serve` of the folder that it is in, with a limit on what it may do.
fn limited(place: &Path, cache: &Path, resource: Resource, limit: u64) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--dir", ".", "--listen", "127.0.0.1:0"]).current_dir(place).env_clear();
    command.env("SAC_CACHE_DIR", cache);
    let limit = Rlimit { current: Some(limit), maximum: Some(limit) };
    // SAFETY: a system call and nothing else between fork and exec.
    unsafe { command.pre_exec(move || Ok(setrlimit(resource, limit)?)) };
    command
}

#[test]
fn killed_in_the_middle_of_swaps_it_starts_again_and_serves_the_newest() {
    let place = folder();
    for round in 0..5 {
        let mut program = serve(place.path(), &["--dir", "."], &[]);
        let address = program.address();
        assert!(!program.seen.contains("compiling"), "{}", program.seen);
        for swap in 0..10 {
            let name = format!("model_{round}_{swap}.onnx");
            publish(place.path(), &name, &file(NAMES[swap % 2]));
            if swap < 9 {
                assert!(predict(address).1.contains(&name));
            }
        }
        // With the last swap under way.
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET /sac/model/info HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        program.signal(Signal::KILL).unwrap();
        program.end();
        let mut program = serve(place.path(), &["--dir", "."], &[]);
        let (status, body) = predict(program.address());
        assert!(status == 200 && body.contains(&format!("model_{round}_9.onnx")), "{body}");
    }
}

#[test]
fn where_nothing_can_be_written_it_serves_without_a_cache() {
    let place = folder();
    // As a full disk: no file may grow so far. The limit's signal is ignored, so that the write fails.
    let cache = tempdir().unwrap();
    let mut command = limited(place.path(), cache.path(), Resource::Fsize, 8 << 20);
    // SAFETY: as above.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            Ok(())
        });
    }
    // As a read-only one: not even root makes a file there.
    let read_only = Path::new("/proc");
    let read_only = limited(place.path(), read_only, Resource::Nofile, 1024);
    for command in [command, read_only] {
        let mut program = Process::spawn(command).unwrap();
        let address = program.address();
        assert!(program.seen.contains("cannot be kept") || program.seen.contains("for want of"), "{}", program.seen);
        assert_eq!(predict(address).0, 200);
        publish(place.path(), "model_b.onnx", &file(NAMES[1]));
        assert!(predict(address).1.contains("model_b.onnx"));
    }
    let left = fs::read_dir(cache.path()).unwrap().count();
    assert_eq!(left, 0, "half an artefact stays");
}

#[test]
fn a_log_that_cannot_be_written_ends_nothing() {
    let place = folder();
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--dir", ".", "--listen", "127.0.0.1:0"]).current_dir(&place).env_clear();
    command.env("SAC_CACHE_DIR", cache()).env("RUST_LOG", "debug");
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut child = command.stdout(full.try_clone().unwrap()).stderr(full).spawn().unwrap();
    let address = loop {
        if let Some(address) = listening(child.id()) {
            break address;
        }
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        thread::yield_now();
    };
    publish(place.path(), "model_b.onnx", b"broken");
    for _ in 0..3 {
        assert!(predict(address).1.contains("model_a.onnx"));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Where a process listens, as the kernel tells it.
fn listening(process: u32) -> Option<String> {
    let sockets = fs::read_dir(format!("/proc/{process}/fd")).ok()?;
    let sockets = sockets.filter_map(|entry| Some(fs::read_link(entry.ok()?.path()).ok()?.to_str()?.to_owned()));
    let sockets = sockets.collect::<Vec<_>>();
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    table.lines().skip(1).find_map(|line| {
        let columns = line.split_whitespace().collect::<Vec<_>>();
        let (local, state, inode) = (columns.get(1)?, columns.get(3)?, columns.get(9)?);
        let (_, port) = local.split_once(':')?;
        let ours = *state == "0A" && sockets.contains(&format!("socket:[{inode}]"));
        ours.then(|| Some(format!("127.0.0.1:{}", u16::from_str_radix(port, 16).ok()?)))?
    })
}

#[test]
fn a_checkpoint_that_gives_a_read_error_unseats_nothing_and_heals() {
    let place = folder();
    let mut program = serve(place.path(), &["--dir", "."], &[]);
    let address = program.address();
    assert_eq!(predict(address).0, 200);
    // A regular file, of which no byte can be read: EIO.
    symlink("/proc/self/mem", place.path().join("model_b.onnx")).unwrap();
    for _ in 0..3 {
        assert!(predict(address).1.contains("model_a.onnx"));
    }
    let info = ask(address, "GET", "/sac/model/info", "", "").1;
    assert!(info.contains("\"stale\":true") && info.contains("Input/output error"), "{info}");
    publish(place.path(), "model_b.onnx", &file(NAMES[1]));
    assert!(predict(address).1.contains("model_b.onnx"));
}

#[test]
fn a_checkpoint_that_grows_slowly_is_served_when_it_is_whole_and_not_before() {
    for name in ["pendulum_08000.onnx", "pendulum_08000.state_dict.pt", "pendulum_08000.sb3.zip"] {
        let place = folder();
        let mut program = serve(place.path(), &["--dir", "."], &[]);
        let address = program.address();
        let extension = name.rsplit('.').next().unwrap();
        let next = format!("model_b.{extension}");
        let mut file = File::create(place.path().join(&next)).unwrap();
        let bytes = file(name);
        for part in bytes.chunks(bytes.len().div_ceil(20)) {
            assert!(predict(address).1.contains("model_a.onnx"), "{name}");
            file.write_all(part).unwrap();
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
    publish(place.path(), "model_b.onnx", &file(NAMES[1]));
    assert!(predict(address).1.contains("model_b.onnx"));
}

#[test]
fn with_all_descriptors_taken_it_answers_who_is_in_and_still_swaps() {
    let place = folder();
    let mut program = Program::spawn(limited(place.path(), &cache(), Resource::Nofile, 100));
    let address = program.address();
    assert!(program.seen.contains("the limit of open files"), "{}", program.seen);
    let mut first = TcpStream::connect(address).unwrap();
    let health = |stream: &mut TcpStream| -> io::Result<String> {
        stream.write_all(b"GET /sac/health HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
        let mut start = [0; 12];
        stream.read_exact(&mut start)?;
        Ok(String::from_utf8_lossy(&start).into_owned())
    };
    assert_eq!(health(&mut first).unwrap(), "HTTP/1.1 200");
    let others = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect::<Vec<_>>();
    publish(place.path(), "model_b.onnx", &file(NAMES[1]));
    write!(first, "POST /sac/predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{STATE}", STATE.len())
        .unwrap();
    let mut answer = Vec::new();
    // After what is left of the answer before.
    while !String::from_utf8_lossy(&answer).contains("latency_ms") {
        let mut more = [0; 4096];
        let read = first.read(&mut more).unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&more[..read]);
    }
    assert!(String::from_utf8_lossy(&answer).contains("model_b.onnx"));
    // Those beyond the limit were told so: with 64 of the descriptors kept free, the last hundred are.
    for mut stream in others.into_iter().skip(100) {
        let mut start = [0; 12];
        stream.read_exact(&mut start).unwrap();
        assert_eq!(start, *b"HTTP/1.1 503");
    }
    while !health(&mut TcpStream::connect(address).unwrap()).is_ok_and(|start| start == "HTTP/1.1 200") {}
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
                while let Ok(answer) = predict_once(&address) {
                    // Closed before the request was read, or answered whole.
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

/// The whole answer, or nothing where the connection ended without one.
fn predict_once(address: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    let length = STATE.len();
    let head =
        format!("POST /sac/predict HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n");
    let mut answer = String::new();
    let said =
        stream.write_all(format!("{head}\r\n{STATE}").as_bytes()).and_then(|()| stream.read_to_string(&mut answer));
    match said {
        // In the backlog of a listener that was closed.
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => Ok(answer),
        said => said.map(|_| answer),
    }
}

#[test]
fn the_soft_limit_of_open_files_is_raised() {
    let place = folder();
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--dir", ".", "--listen", "127.0.0.1:0"]).current_dir(&place).env_clear();
    command.env("SAC_CACHE_DIR", cache()).stdin(Stdio::null());
    // SAFETY: a system call and nothing else between fork and exec.
    unsafe {
        command.pre_exec(|| {
            let limit = Rlimit { current: Some(128), maximum: Some(2000) };
            Ok(setrlimit(Resource::Nofile, limit)?)
        });
    }
    let mut program = Process::spawn(command).unwrap();
    program.address();
    let limits = fs::read_to_string(format!("/proc/{}/limits", program.child.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(line.split_whitespace().nth(3), Some("2000"), "{line}");
}
