//! Clients that send every kind of request, and check each answer.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use fastrand::Rng;
use sac_tests::{Answer, Connection};
use serde_json::Value;

use crate::Soak;
use crate::folder::STATE;
use crate::server::request;

/// The number of states of a large batch, which are all alike.
const LARGE: usize = 2000;

/// A request, and what the answer has to be.
struct Question {
    name: &'static str,
    request: Vec<u8>,
    status: u16,
    /// Where the answer has the action for [`STATE`].
    action: Option<&'static str>,
    /// The server closes the connection after it.
    last: bool,
}

fn questions() -> Vec<Question> {
    let ask = |name, request, status| Question { name, request, status, action: None, last: false };
    let post = |path: &str, body: &str| request("POST", path, "", body);
    let batch = |rows: usize| format!("{{\"states\":[{}]}}", vec!["[0.3,-0.4,0.5]"; rows].join(","));
    let acting = |name, request, action| Question { action: Some(action), ..ask(name, request, 200) };
    let anonymous = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: soak\r\n\r\n").into_bytes();
    let seeded = STATE.replace('}', ",\"deterministic\":true,\"seed\":7}");
    vec![
        acting("predict", post("/sac/predict", STATE), "/action"),
        acting("predict", post("/sac/predict", STATE), "/action"),
        acting("predict", post("/sac/predict", &seeded), "/action"),
        acting("batch of 32", post("/sac/predict/batch", &batch(32)), "/actions/31"),
        acting("batch of 2000", post("/sac/predict/batch", &batch(LARGE)), "/actions/1999"),
        ask("sampled", post("/sac/predict", &STATE.replace('}', ",\"deterministic\":false}")), 200),
        ask("benchmark", post("/sac/benchmark", r#"{"iterations":20,"warmup":1}"#), 200),
        ask("info", request("GET", "/sac/model/info", "", ""), 200),
        ask("health", anonymous("/sac/health"), 200),
        ask("liveness", anonymous("/healthz"), 200),
        ask("wrong dimension", post("/sac/predict", r#"{"state":[1]}"#), 400),
        ask("no token", anonymous("/sac/model/info"), 401),
        ask("unknown route", post("/sac/none", ""), 404),
        ask("wrong method", request("DELETE", "/sac/predict", "", ""), 405),
        ask("not JSON", post("/sac/predict", "{\"state\":[NaN]"), 422),
        Question { last: true, ..ask("too large a body", too_large(), 413) },
    ]
}

/// A head without a body: the client waits until the server asks for it.
fn too_large() -> Vec<u8> {
    let head = request("POST", "/sac/predict", "expect: 100-continue\r\n", "");
    String::from_utf8_lossy(&head).replace("content-length: 0", "content-length: 99999999").into_bytes()
}

/// Sends requests at random until the soak is over.
pub fn ask(soak: &Soak, number: u64) {
    let (questions, mut rng) = (questions(), Rng::with_seed(number));
    let mut connection = None;
    while soak.goes_on() {
        let life = soak.server.life();
        let question = &questions[rng.usize(..questions.len())];
        if let Err(error) = ask_once(soak, &mut connection, question) {
            connection = None;
            let restarted = !life.is_multiple_of(2) || soak.server.life() != life;
            if restarted && error.downcast_ref::<io::Error>().is_some() {
                soak.record.count("no answer, for it was down");
                thread::sleep(Duration::from_millis(10));
            } else {
                soak.record.unexpected(format!("{}: {error:#}", question.name));
            }
        }
        // Leaves some of the machine to the others.
        thread::sleep(Duration::from_micros(rng.u64(..2000)));
    }
}

fn ask_once(soak: &Soak, connection: &mut Option<Connection>, question: &Question) -> Result<()> {
    let mut open = match connection.take() {
        Some(open) => open,
        None => Connection::open(soak.server.address)?,
    };
    let (newest_before, start) = (soak.folder.published(), Instant::now());
    let answer = open.ask(&question.request)?;
    soak.record.answered(question.name, answer.status, start.elapsed());
    check(soak, question, &answer, newest_before)?;
    if !question.last {
        *connection = Some(open);
    }
    Ok(())
}

fn check(soak: &Soak, question: &Question, answer: &Answer, newest_before: u64) -> Result<()> {
    // The places of benchmarks may be taken by clients that are greedy, and health says that the server stops.
    let is_busy = question.name == "benchmark" && answer.status == 503;
    let is_stopping = question.name == "health" && answer.text().contains("stopping");
    if is_busy || is_stopping {
        return Ok(());
    }
    ensure!(answer.status == question.status, "{} instead of {}: {}", answer.status, question.status, answer.text());
    let json = serde_json::from_str::<Value>(answer.text())?;
    let action = question.action.and_then(|action| json.pointer(action));
    match (question.action, action) {
        (None, _) => Ok(()),
        (Some(_), Some(action)) => soak.folder.check(&json, action, newest_before),
        (Some(at), None) => anyhow::bail!("no {at} in {}", answer.text()),
    }
}
