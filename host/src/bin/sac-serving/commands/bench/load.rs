use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use hdrhistogram::Histogram;
use http::{Method, StatusCode};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, sleep_until, timeout};

use super::BenchArgs;
use crate::client::{Client, PATIENCE};
use crate::target::Server;

/// What the runtime's timer may be late by.
const TICK: Duration = Duration::from_millis(2);

/// Who asks, how often and for how long.
pub struct Load {
    server: Server,
    connections: u16,
    /// Of one connection.
    period: Option<Duration>,
    warmup: Duration,
    duration: Duration,
}

/// What is asked: one of these bodies at a time.
#[derive(Clone)]
pub struct Question {
    path: &'static str,
    bodies: Vec<Bytes>,
}

/// What came of it, after the warm-up.
pub struct Outcome {
    /// Of the answers of status 200, in nanoseconds.
    pub latencies: Histogram<u64>,
    /// Of these, how many came before the end.
    pub in_time: u64,
    /// What was planned and not asked before the end, for the answers before came too late.
    pub not_asked: u64,
    /// How many, by their status or what else was wrong.
    pub errors: BTreeMap<String, u64>,
    /// Which checkpoints answered.
    pub checkpoints: BTreeSet<String>,
    pub elapsed: Duration,
}

impl Question {
    /// Standard normal would be as good: what is in a state costs nothing.
    pub fn new(state_dim: usize, batch: Option<u32>) -> Question {
        let mut random = fastrand::Rng::with_seed(0);
        let mut state = || (0..state_dim).map(|_| random.f64() * 2.0 - 1.0).collect::<Vec<_>>();
        let mut body = || match batch {
            None => json!({ "state": state() }),
            Some(rows) => json!({ "states": (0..rows).map(|_| state()).collect::<Vec<_>>() }),
        };
        let path = if batch.is_some() { "/sac/predict/batch" } else { "/sac/predict" };
        Question { path, bodies: (0..16).map(|_| body().to_string().into()).collect() }
    }
}

impl Load {
    pub fn new(args: &BenchArgs, server: Server) -> Load {
        let seconds = |rate: u32| f64::from(args.connections) / f64::from(rate);
        Load {
            server,
            connections: args.connections,
            period: args.rate.map(|rate| Duration::from_secs_f64(seconds(rate)).max(Duration::from_nanos(1))),
            warmup: args.warmup,
            duration: args.duration,
        }
    }

    pub async fn run(self, question: Question) -> Result<Outcome> {
        let begin = Instant::now() + self.warmup;
        let whole = self.warmup + self.duration;
        let bar = ProgressBar::new(whole.as_millis() as u64);
        let progress = tokio::spawn(show_progress(bar.clone(), whole));
        let mut askers = JoinSet::new();
        for number in 0..self.connections {
            // Spread over the period.
            let ahead = self.period.unwrap_or_default().mul_f64(f64::from(number) / f64::from(self.connections));
            let asker = Asker {
                server: self.server.clone(),
                question: question.clone(),
                period: self.period,
                planned: Instant::now() + ahead,
                begin,
                end: begin + self.duration,
                outcome: Outcome::new(self.warmup, self.duration)?,
            };
            askers.spawn(asker.run());
        }
        let mut outcome = Outcome::new(self.warmup, self.duration)?;
        while let Some(asked) = askers.join_next().await {
            outcome.add(asked?)?;
        }
        progress.abort();
        bar.finish_and_clear();
        Ok(outcome)
    }
}

impl Outcome {
    fn new(warmup: Duration, elapsed: Duration) -> Result<Outcome> {
        // What was planned at the beginning may be asked at the end.
        let most = warmup + elapsed + 2 * PATIENCE;
        let latencies = Histogram::new_with_bounds(1, most.as_nanos() as u64, 3)?;
        let (in_time, not_asked, errors, checkpoints) = Default::default();
        Ok(Outcome { latencies, in_time, not_asked, errors, checkpoints, elapsed })
    }

    /// To be said after something else.
    pub fn told_errors(&self) -> String {
        self.errors.iter().map(|(error, times)| format!(", {times} × {error}")).collect()
    }

    fn add(&mut self, other: Outcome) -> Result<()> {
        self.latencies.add(other.latencies)?;
        self.in_time += other.in_time;
        self.not_asked = self.not_asked.saturating_add(other.not_asked);
        self.checkpoints.extend(other.checkpoints);
        for (error, times) in other.errors {
            *self.errors.entry(error).or_default() += times;
        }
        Ok(())
    }

    fn answered(&mut self, latency: Duration, in_time: bool, body: &[u8]) {
        #[derive(Deserialize)]
        struct Told {
            model_path: String,
        }
        self.latencies.saturating_record(latency.as_nanos() as u64);
        self.in_time += u64::from(in_time);
        if let Ok(told) = serde_json::from_slice::<Told>(body) {
            self.checkpoints.insert(told.model_path);
        }
    }
}

/// One connection.
struct Asker {
    server: Server,
    question: Question,
    period: Option<Duration>,
    planned: Instant,
    begin: Instant,
    end: Instant,
    outcome: Outcome,
}

impl Asker {
    /// What is answered during the warm-up does not count, whenever it was planned.
    async fn run(mut self) -> Outcome {
        let mut client = None;
        for turn in 0.. {
            self.wait().await;
            if Instant::now() >= self.end {
                break;
            }
            let start = if self.period.is_some() { self.planned } else { Instant::now() };
            self.planned += self.period.unwrap_or_default();
            let body = self.question.bodies[turn % self.question.bodies.len()].clone();
            let asked = timeout(PATIENCE, self.ask(&mut client, body)).await;
            let answered = Instant::now();
            let error = match asked {
                Ok(Ok((StatusCode::OK, body))) => {
                    if answered >= self.begin {
                        self.outcome.answered(answered - start, answered < self.end, &body);
                    }
                    continue;
                }
                Ok(Ok((status, _))) => format!("status {}", status.as_u16()),
                Ok(Err(_)) => "connection lost".to_owned(),
                Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
            };
            if !error.starts_with("status") {
                client = None;
            }
            if answered >= self.begin {
                *self.outcome.errors.entry(error).or_default() += 1;
            }
            // A server that is gone, or has too much to do, is not asked a thousand times a second.
            sleep(Duration::from_millis(10)).await;
        }
        if let Some(period) = self.period {
            let left = self.end.saturating_duration_since(self.planned);
            self.outcome.not_asked = left.div_duration_f64(period).ceil() as u64;
        }
        self.outcome
    }

    /// For the next planned moment, which does not depend on any answer.
    async fn wait(&mut self) {
        if self.period.is_none() {
            return;
        }
        let next = self.planned.min(self.end);
        if let Some(early) = next.checked_sub(TICK) {
            sleep_until(early).await;
        }
        while Instant::now() < next {
            tokio::task::yield_now().await;
        }
    }

    async fn ask(&self, client: &mut Option<Client>, body: Bytes) -> Result<(StatusCode, Bytes)> {
        let client = match client {
            Some(client) => client,
            None => client.insert(Client::connect(&self.server).await?),
        };
        client.ask(Method::POST, self.question.path, body).await
    }
}

/// On stderr, where that is a terminal.
async fn show_progress(bar: ProgressBar, whole: Duration) {
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent} %") {
        bar.set_style(style);
    }
    let start = Instant::now();
    let mut ticks = interval(Duration::from_millis(100));
    while start.elapsed() < whole {
        ticks.tick().await;
        bar.set_position(start.elapsed().as_millis() as u64);
    }
}
