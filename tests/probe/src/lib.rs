//! Answers /sac/ATTEMPT by trying to do what ATTEMPT says. The body is `null` if that failed.
#![cfg(target_family = "wasm")]

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs, process};

wit_bindgen::generate!({ world: "actor", path: "../../wit" });
export!(Probe);

use exports::sac::serving::serving::*;

struct Probe;

impl Guest for Probe {
    type Service = Probe;
}

impl GuestService for Probe {
    fn new(_: RouterConfig) -> Self {
        Probe
    }

    fn load(&self, _: Checkpoint, file: File, _: Option<Backend>) -> Result<Policy, String> {
        if file.bytes == b"spin" {
            spin();
        }
        if file.bytes == b"policy" {
            return Ok(policy());
        }
        Err("a probe loads nothing else".to_owned())
    }

    fn compare(_: File, _: OperatorFacts) -> Result<Option<String>, String> {
        Err("a probe compares nothing".to_owned())
    }

    fn convert(_: File, _: OperatorFacts) -> Result<Vec<u8>, String> {
        Err("a probe converts nothing".to_owned())
    }

    fn card(_: File, _: OperatorFacts) -> Result<String, String> {
        Err("a probe describes nothing".to_owned())
    }

    fn forward(&self, _: Batch) -> Result<Outputs, String> {
        Err("a probe has no network".to_owned())
    }

    fn network(&self) -> Option<Network> {
        None
    }

    fn decide(&self, _: Vec<f32>, _: Option<u64>) -> Result<Vec<f32>, String> {
        Err("a probe decides nothing".to_owned())
    }

    fn finish(&self, _: Outputs) -> Outcome {
        Outcome::Long
    }

    fn answer(&self, request: Request, context: RequestContext) -> Outcome {
        CALLS.fetch_add(1, Ordering::Relaxed);
        let attempt = request.path.trim_start_matches("/sac/");
        if let Some(numbers) = attempt.strip_prefix("split/").and_then(|numbers| numbers.parse().ok()) {
            return Outcome::Split(Batch { states: vec![0.0; numbers], log_std: true });
        }
        let answer = match context.refusal {
            Some(refusal) if attempt == "refusal" => Some(format!("{:?}", refusal.detail)),
            _ => attempt_to(attempt),
        };
        let mut body = answer.unwrap_or("null".to_owned()).into_bytes();
        if let Some(mebibytes) = attempt.strip_prefix("body/").and_then(|size| size.parse::<usize>().ok()) {
            body.resize(mebibytes << 20, b' ');
        }
        let status = attempt.strip_prefix("status/").and_then(|status| status.parse().ok()).unwrap_or(200);
        Outcome::Respond(Response { status, headers: headers(attempt), body, decision: None })
    }
}

/// The headers of the answer: `header/NAME` has one of this name, `value/HEX` one whose value has these bytes, and
/// `headers/N` has N of them.
fn headers(attempt: &str) -> Vec<(String, String)> {
    let header = |name: &str| (name.to_owned(), "1".to_owned());
    match attempt.split_once('/') {
        Some(("header", name)) => vec![header(name)],
        Some(("value", byte)) => {
            let byte = u8::from_str_radix(byte, 16).map_or(' ', char::from);
            vec![("allow".to_owned(), format!("GET{byte}x: y"))]
        }
        Some(("headers", count)) => (0..count.parse().unwrap_or(0)).map(|n| header(&format!("x-{n}"))).collect(),
        _ => vec![],
    }
}

/// A policy that computes nothing.
fn policy() -> Policy {
    Policy {
        format: "probe".to_owned(),
        layout: "probe".to_owned(),
        backend: Backend::Tract,
        layers: vec![],
        facts: vec![],
        verified_examples: 0,
        state_dim: 1,
        action_dim: 1,
        stochastic: false,
        action_bounds: None,
        observation_bounds: None,
        normalisation: None,
    }
}

/// The calls that this instance has answered.
static CALLS: AtomicU32 = AtomicU32::new(0);

fn spin() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

fn attempt_to(what: &str) -> Option<String> {
    let done = |word: &str| Some(format!("{word:?}"));
    match what {
        "environment" => Some(env::vars().count().to_string()),
        "arguments" => Some(env::args().count().to_string()),
        "read-folder" => fs::read_dir("/").ok().and_then(|_| done("read")),
        "read-file" => fs::read("/etc/hostname").ok().and_then(|_| done("read")),
        "write-file" => fs::write("/tmp/probe", "probe").ok().and_then(|_| done("written")),
        "print-a-megabyte" => {
            eprintln!("{}", "x".repeat(1 << 20));
            println!("{}", "x".repeat(1 << 20));
            done("printed")
        }
        "clock" => {
            let start = Instant::now();
            while start.elapsed() == Duration::ZERO {}
            done("ticks")
        }
        "random" => Some(RandomState::new().hash_one(0).to_string()),
        "listen" => TcpListener::bind("127.0.0.1:0").ok().and_then(|_| done("bound")),
        "sleep" => {
            thread::sleep(Duration::from_millis(1));
            done("slept")
        }
        "exit" => process::exit(0),
        "panic" => panic!("as asked"),
        "take-all-memory" => {
            // 16 GiB, where 32 bits address 4.
            let hoard = (0..1024).map(|_| vec![1u8; 16 << 20]).collect::<Vec<_>>();
            done(&hoard.len().to_string())
        }
        "spin" => spin(),
        "calls" => Some(CALLS.load(Ordering::Relaxed).to_string()),
        _ if what.starts_with("hold/") => {
            // The allocator gets it back, and the memory stays as large.
            let mebibytes = what.strip_prefix("hold/")?.parse::<usize>().ok()?;
            done(&std::hint::black_box(vec![1u8; mebibytes << 20]).len().to_string())
        }
        _ => {
            let port = what.strip_prefix("connect/")?.parse::<u16>().ok()?;
            TcpStream::connect(("127.0.0.1", port)).ok().and_then(|_| done("connected"))
        }
    }
}
