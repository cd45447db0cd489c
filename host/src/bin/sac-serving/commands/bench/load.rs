//! Sends requests to a server and records the latencies.

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

use crate::args::bench::BenchArgs;
use crate::client::{Client, RESPONSE_TIMEOUT};
use crate::target::Endpoint;

/// The precision of the runtime's timer.
const TICK: Duration = Duration::from_millis(2);

/// The settings of a measurement.
pub struct Load {
    endpoint: Endpoint,
    connections: u16,
    /// The time between two scheduled requests of one connection. `None` sends without a schedule.
    period: Option<Duration>,
    warmup: Duration,
    duration: Duration,
}

/// The requests to send. The bodies alternate.
#[derive(Clone)]
pub struct Workload {
    path: &'static str,
    bodies: Vec<Bytes>,
}

/// The result of a measurement, without the warm-up.
pub struct Outcome {
    /// The latencies of responses of status 200, in nanoseconds.
    pub latencies: Histogram<u64>,
    /// The number of these responses that came before the end.
    pub in_time: u64,
    /// The number of scheduled requests that were not sent before the end, because earlier responses came too late.
    pub not_sent: u64,
    /// The number of failed requests by status or by cause.
    pub errors: BTreeMap<String, u64>,
    /// The paths of the checkpoints that answered.
    pub checkpoints: BTreeSet<String>,
    pub elapsed: Duration,
}

impl Workload {
    /// Makes bodies with random states in -1 to 1. The values do not affect the time.
    pub fn new(state_dim: usize, batch: Option<u32>) -> Workload {
        let mut random = fastrand::Rng::with_seed(0);
        let mut state = || (0..state_dim).map(|_| random.f64() * 2.0 - 1.0).collect::<Vec<_>>();
        let mut body = || match batch {
            None => json!({ "state": state() }),
            Some(rows) => json!({ "states": (0..rows).map(|_| state()).collect::<Vec<_>>() }),
        };
        let path = if batch.is_some() { "/sac/predict/batch" } else { "/sac/predict" };
        Workload { path, bodies: (0..16).map(|_| body().to_string().into()).collect() }
    }
}

impl Load {
    pub fn new(args: &BenchArgs, endpoint: Endpoint) -> Load {
        let seconds = |rate: u32| f64::from(args.connections) / f64::from(rate);
        Load {
            endpoint,
            connections: args.connections,
            period: args.rate.map(|rate| Duration::from_secs_f64(seconds(rate)).max(Duration::from_nanos(1))),
            warmup: args.warmup,
            duration: args.duration,
        }
    }

    pub async fn run(self, workload: Workload) -> Result<Outcome> {
        let begin = Instant::now() + self.warmup;
        let whole = self.warmup + self.duration;
        let bar = ProgressBar::new(whole.as_millis() as u64);
        let progress = tokio::spawn(show_progress(bar.clone(), whole));
        let mut senders = JoinSet::new();
        for number in 0..self.connections {
            // The connections are spread over the period.
            let offset = self.period.unwrap_or_default().mul_f64(f64::from(number) / f64::from(self.connections));
            let sender = Sender {
                endpoint: self.endpoint.clone(),
                workload: workload.clone(),
                period: self.period,
                scheduled: Instant::now() + offset,
                begin,
                end: begin + self.duration,
                outcome: Outcome::new(self.warmup, self.duration)?,
            };
            senders.spawn(sender.run());
        }
        let mut outcome = Outcome::new(self.warmup, self.duration)?;
        while let Some(sent) = senders.join_next().await {
            outcome.add(sent?)?;
        }
        progress.abort();
        bar.finish_and_clear();
        Ok(outcome)
    }
}

impl Outcome {
    fn new(warmup: Duration, elapsed: Duration) -> Result<Outcome> {
        // A request that was scheduled at the beginning may be sent at the end.
        let most = warmup + elapsed + 2 * RESPONSE_TIMEOUT;
        let latencies = Histogram::new_with_bounds(1, most.as_nanos() as u64, 3)?;
        let (in_time, not_sent, errors, checkpoints) = Default::default();
        Ok(Outcome { latencies, in_time, not_sent, errors, checkpoints, elapsed })
    }

    /// Returns the errors as the continuation of a sentence.
    pub fn error_summary(&self) -> String {
        self.errors.iter().map(|(error, times)| format!(", {times} × {error}")).collect()
    }

    fn add(&mut self, other: Outcome) -> Result<()> {
        self.latencies.add(other.latencies)?;
        self.in_time += other.in_time;
        self.not_sent = self.not_sent.saturating_add(other.not_sent);
        self.checkpoints.extend(other.checkpoints);
        for (error, times) in other.errors {
            *self.errors.entry(error).or_default() += times;
        }
        Ok(())
    }

    fn answered(&mut self, latency: Duration, in_time: bool, body: &[u8]) {
        #[derive(Deserialize)]
        struct Prediction {
            model_path: String,
        }
        self.latencies.saturating_record(latency.as_nanos() as u64);
        self.in_time += u64::from(in_time);
        if let Ok(prediction) = serde_json::from_slice::<Prediction>(body) {
            self.checkpoints.insert(prediction.model_path);
        }
    }
}

/// The requests of one connection.
struct Sender {
    endpoint: Endpoint,
    workload: Workload,
    period: Option<Duration>,
    /// The time of the next request, if there is a schedule.
    scheduled: Instant,
    begin: Instant,
    end: Instant,
    outcome: Outcome,
}

impl Sender {
    /// Sends requests until the end. A response during the warm-up does not count.
    async fn run(mut self) -> Outcome {
        let mut client = None;
        for turn in 0.. {
            self.wait().await;
            if Instant::now() >= self.end {
                break;
            }
            let start = if self.period.is_some() { self.scheduled } else { Instant::now() };
            self.scheduled += self.period.unwrap_or_default();
            let body = self.workload.bodies[turn % self.workload.bodies.len()].clone();
            let sent = timeout(RESPONSE_TIMEOUT, self.send(&mut client, body)).await;
            let answered = Instant::now();
            let error = match sent {
                Ok(Ok((StatusCode::OK, body))) => {
                    if answered >= self.begin {
                        self.outcome.answered(answered - start, answered < self.end, &body);
                    }
                    continue;
                }
                Ok(Ok((status, _))) => format!("status {}", status.as_u16()),
                Ok(Err(_)) => "connection lost".to_owned(),
                Err(_) => format!("no answer within {} s", RESPONSE_TIMEOUT.as_secs()),
            };
            if !error.starts_with("status") {
                client = None;
            }
            if answered >= self.begin {
                *self.outcome.errors.entry(error).or_default() += 1;
            }
            // Otherwise a server that is down or overloaded would get thousands of requests a second.
            sleep(Duration::from_millis(10)).await;
        }
        if let Some(period) = self.period {
            let left = self.end.saturating_duration_since(self.scheduled);
            self.outcome.not_sent = left.div_duration_f64(period).ceil() as u64;
        }
        self.outcome
    }

    /// Waits until the next scheduled time, which does not depend on any response.
    async fn wait(&mut self) {
        if self.period.is_none() {
            return;
        }
        let next = self.scheduled.min(self.end);
        if let Some(early) = next.checked_sub(TICK) {
            sleep_until(early).await;
        }
        while Instant::now() < next {
            tokio::task::yield_now().await;
        }
    }

    async fn send(&self, client: &mut Option<Client>, body: Bytes) -> Result<(StatusCode, Bytes)> {
        let client = match client {
            Some(client) => client,
            None => client.insert(Client::connect(&self.endpoint).await?),
        };
        client.send(Method::POST, self.workload.path, body).await
    }
}

/// Shows a bar on stderr if that is a terminal.
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
