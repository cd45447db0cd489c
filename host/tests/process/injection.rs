//! The calls of the system that serving and swapping make fail one after another, and the server is well afterwards.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use sac_test_support::{Connection, memory, publish, request};

use crate::program::{STATE, ask, file, folder, predict, serve};

/// However busy the machine is, a fault has passed after this.
const PATIENCE: Duration = Duration::from_secs(120);

/// The calls that fail together, and the error. A `?` stands before those that not every machine has.
const FAULTS: [(&str, &str); 5] = [
    ("?stat,?newfstatat,?statx,?fstat", "EIO"),
    ("?open,?openat,?openat2", "EMFILE"),
    ("?read,?pread64", "EIO"),
    ("?getdents,?getdents64", "EIO"),
    ("?clone,?clone3", "EAGAIN"),
];
/// The number of calls of each kind that fail, one in each round.
const ROUNDS: usize = 4;

/// Calls fail while this lives.
struct Injection(Child);

impl Injection {
    /// Lets the call of this number fail, on each thread of a process. Returns `None` if this machine has no `strace`.
    fn begin(process: u32, calls: &str, error: &str, number: usize) -> Option<Injection> {
        let inject = format!("inject={calls}:error={error}:when={number}");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-p", &process.to_string()]);
        strace.args(["-e", &format!("trace={calls}"), "-e", &inject]).stderr(Stdio::null());
        let mut injection = match strace.spawn() {
            Ok(child) => Injection(child),
            Err(error) if error.kind() == io::ErrorKind::NotFound && std::env::var_os("CI").is_none() => {
                eprintln!("not tested, because `strace` is missing: {calls}");
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        while !is_traced(process) {
            if injection.0.try_wait().unwrap().is_some() {
                assert!(std::env::var_os("CI").is_none(), "strace does not trace");
                eprintln!("not tested, because `strace` is missing or may not trace: {calls}");
                return None;
            }
            thread::yield_now();
        }
        Some(injection)
    }
}

/// The process goes on as it is.
impl Drop for Injection {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.0), Signal::INT);
        let _ = self.0.wait();
    }
}

fn is_traced(process: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    threads.map_while(Result::ok).all(|thread| {
        let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        !status.contains("TracerPid:\t0\n")
    })
}

/// Asks until this file answers.
#[track_caller]
fn wait_for(address: SocketAddr, name: &str) {
    let start = Instant::now();
    while !predict(address).1.contains(name) {
        let info = ask(address, "GET", "/sac/model/info", "", "").1;
        assert!(start.elapsed() < PATIENCE, "{name} does not serve: {info}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn after_any_call_of_the_system_has_failed_once_the_newest_file_serves() {
    thread::scope(|scope| {
        for (calls, error) in FAULTS {
            scope.spawn(move || fail_each(calls, error));
        }
    });
}

fn fail_each(calls: &str, error: &str) {
    let place = folder();
    let mut program = serve(place.path(), &["--dir", "."], &[]);
    let (process, address) = (program.id(), program.address());
    program.read_on(drop);
    let mut kept = Connection::open(address).unwrap();
    let asked = request("POST", "/sac/predict", "", STATE);
    assert_eq!(kept.ask(&asked).unwrap().status, 200);
    for number in 1..=ROUNDS {
        let name = format!("model_b{number}.onnx");
        let Some(injection) = Injection::begin(process, calls, error, number) else { return };
        publish(&place.path().join(&name), &file("pendulum_08000.onnx"));
        for _ in 0..3 {
            assert_eq!(kept.ask(&asked).unwrap().status, 200, "{calls} {number}");
        }
        drop(injection);
        wait_for(address, &name);
        let health = ask(address, "GET", "/sac/health", "", "");
        assert_eq!(health, (200, r#"{"status":"ok","model_loaded":true}"#.to_owned()), "{calls} {number}");
        assert_eq!(ask(address, "POST", "/sac/benchmark", "", r#"{"iterations":1}"#).0, 200, "{calls} {number}");
    }
}

#[test]
fn a_shortage_of_memory_refuses_no_checkpoint_for_good() {
    let place = folder();
    let flags = ["--dir", ".", "--activation", "relu", "--action-bounds", "unit"];
    let mut program = serve(place.path(), &flags, &[]);
    let address = program.address();
    assert!(predict(address).1.contains("model_a.onnx"));
    let process = Some(Pid::from_raw(program.id().try_into().unwrap()).unwrap());
    // There is room for the file, and not for the instance that loads it.
    let size = memory(program.id(), "VmData").unwrap() + (24 << 20);
    let before = prlimit(process, Resource::Data, Rlimit { current: Some(size), maximum: None }).unwrap();
    publish(&place.path().join("model_b.safetensors"), &large_checkpoint());
    assert!(predict(address).1.contains("model_a.onnx"));
    let info = ask(address, "GET", "/sac/model/info", "", "").1;
    assert!(info.contains("the system has no memory for the component"), "{info}");
    prlimit(process, Resource::Data, before).unwrap();
    wait_for(address, "model_b.safetensors");
}

/// A policy of zeros, of 8 MB. It takes its bytes several times to load it.
fn large_checkpoint() -> Vec<u8> {
    const WIDTH: usize = 1400;
    let shapes = [("net.0", [WIDTH, 3]), ("net.2", [WIDTH, WIDTH]), ("mean", [1, WIDTH]), ("log_std", [1, WIDTH])];
    let (mut tensors, mut end) = (serde_json::Map::new(), 0);
    for (name, [outputs, inputs]) in shapes {
        for (part, shape) in [("weight", vec![outputs, inputs]), ("bias", vec![outputs])] {
            let begin = end;
            end += 4 * shape.iter().product::<usize>();
            let tensor = serde_json::json!({ "dtype": "F32", "shape": shape, "data_offsets": [begin, end] });
            tensors.insert(format!("{name}.{part}"), tensor);
        }
    }
    let header = serde_json::Value::from(tensors).to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; end]].concat()
}

#[test]
fn with_a_limit_of_addresses_it_serves_and_swaps() {
    let place = folder();
    let limit = 8 << 30;
    let program = crate::faults::limited(place.path(), &crate::program::cache(), Resource::As, limit, limit);
    let mut program = sac_test_support::Process::spawn(program).unwrap();
    let address = program.address();
    assert!(program.seen.contains("ulimit -v"), "{}", program.seen);
    for (name, content) in [("model_b.onnx", "pendulum_08000.onnx"), ("model_c.onnx", "pendulum_00500.onnx")] {
        publish(&place.path().join(name), &file(content));
        assert!(predict(address).1.contains(name));
    }
}
