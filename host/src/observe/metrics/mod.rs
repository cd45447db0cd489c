mod model;
mod register;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use http::StatusCode;
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, TextEncoder};

use crate::sandbox::instance::Broken;
use crate::swap::holder::Current;
use model::Model;
use register::Register;

/// Whatever else is asked for: a client makes no label.
const OTHER: &str = "other";

/// The last is [`OTHER`].
const ROUTES: [&str; 8] = [
    "/sac/predict",
    "/sac/predict/batch",
    "/sac/health",
    "/sac/model/info",
    "/sac/model/reload",
    "/sac/benchmark",
    "/sac/openapi.json",
    OTHER,
];

/// What is counted, under Prometheus's names and in its base units.
pub(crate) struct Metrics {
    register: Register,
    requests: IntCounterVec,
    /// In the order of [`ROUTES`].
    routes: [Route; ROUTES.len()],
    in_flight: IntGauge,
    connections: IntGauge,
    reloads: IntCounterVec,
    reload_time: Histogram,
    pub(crate) instances: IntGauge,
    pub(crate) instance_memory: IntGauge,
    lost_instances: IntCounterVec,
    /// Set anew for each reading, by one reader at a time.
    model: Mutex<Model>,
}

/// A route's own, found once: a look-up by labels takes longer than all else that is counted of a request.
struct Route {
    path: &'static str,
    /// Of status 200.
    ok: IntCounter,
    time: Histogram,
    inference_time: Option<Histogram>,
}

/// A request under way. Dropped without a status it was cut off, as at the end of a shutdown.
pub(crate) struct Watched<'a> {
    metrics: &'a Metrics,
    route: &'a Route,
    start: Instant,
    status: Option<StatusCode>,
}

impl Metrics {
    pub(crate) fn new() -> Result<Self> {
        let r = Register::default();
        #[cfg(target_os = "linux")]
        r.0.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let build = "1, by the version and by the sha256 of the component that it was built with";
        let build = r.gauges("sac_build_info", &["version", "component_sha256"], build)?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), env!("SAC_ACTOR_SHA256")]).set(1);
        let requests = "Requests answered; the status `aborted` is of those that were cut off";
        let requests = r.counters("sac_requests_total", &["route", "status"], requests)?;
        let reloads = "Checkpoints that were put into service, outcome `loaded`, or `refused`";
        let reload_time = "From the look at the files to a checkpoint in service, or to its refusal";
        let lost = "Instances thrown away for what they did: `panic`, `time`, `memory` or `trap`";
        Ok(Metrics {
            routes: routes(&r, &requests)?,
            requests,
            in_flight: r.gauge("sac_requests_in_flight", "Requests not answered yet")?,
            connections: r.gauge("sac_connections", "Open connections")?,
            reloads: starting_with(["loaded", "refused"], r.counters("sac_reloads_total", &["outcome"], reloads)?),
            reload_time: r.time("sac_reload_duration_seconds", reload_time)?,
            instances: r.gauge("sac_instances", "Instances of the component, of all generations")?,
            instance_memory: r.gauge("sac_instance_memory_bytes", "Linear memory of all instances")?,
            lost_instances: starting_with(
                ["panic", "time", "memory", "trap"],
                r.counters("sac_instances_lost_total", &["reason"], lost)?,
            ),
            model: Mutex::new(Model::new(&r)?),
            register: r,
        })
    }

    pub(crate) fn watch(&self, path: &str) -> Watched<'_> {
        self.in_flight.inc();
        let other = &self.routes[ROUTES.len() - 1];
        let route = self.routes.iter().find(|route| route.path == path).unwrap_or(other);
        Watched { metrics: self, route, start: Instant::now(), status: None }
    }

    /// Counts a connection for as long as what it gives lives.
    pub(crate) fn connected(&self) -> impl Drop + Send + 'static {
        self.connections.inc();
        Connected(self.connections.clone())
    }

    /// The component answered this path with a 200.
    pub(crate) fn predicted(&self, path: &str, time: Duration) {
        let route = self.routes.iter().find(|route| route.path == path);
        if let Some(inference_time) = route.and_then(|route| route.inference_time.as_ref()) {
            inference_time.observe(time.as_secs_f64());
        }
    }

    pub(crate) fn lost(&self, broken: &Broken) {
        let reason = match broken {
            Broken::Panicked(_) => "panic",
            Broken::TookTooLong(_) => "time",
            Broken::TookTooMuch(_) => "memory",
            Broken::Trapped(_) => "trap",
        };
        self.lost_instances.with_label_values(&[reason]).inc();
    }

    pub(crate) fn reloaded(&self, loaded: bool, time: Duration) {
        self.reloads.with_label_values(&[if loaded { "loaded" } else { "refused" }]).inc();
        self.reload_time.observe(time.as_secs_f64());
    }

    /// Prometheus's text.
    pub(crate) fn text(&self, current: &Current) -> Result<String> {
        let model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        model.set(current);
        Ok(TextEncoder::new().encode_to_string(&self.register.0.gather())?)
    }
}

impl Watched<'_> {
    /// None for one that is not known.
    pub(crate) fn route(&self) -> Option<&'static str> {
        Some(self.route.path).filter(|path| *path != OTHER)
    }

    pub(crate) fn answered(mut self, status: StatusCode) {
        self.status = Some(status);
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        let Watched { metrics, route, start, ref status } = *self;
        metrics.in_flight.dec();
        route.time.observe(start.elapsed().as_secs_f64());
        match status {
            Some(StatusCode::OK) => route.ok.inc(),
            _ => {
                let status = status.as_ref().map_or("aborted", StatusCode::as_str);
                metrics.requests.with_label_values(&[route.path, status]).inc();
            }
        }
    }
}

struct Connected(IntGauge);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn routes(r: &Register, requests: &IntCounterVec) -> Result<[Route; ROUTES.len()]> {
    let times = "From a request's head to its answer, its body and all waiting included";
    let times = r.times("sac_request_duration_seconds", &["route"], times)?;
    let within = "What a prediction takes within the component: reading JSON, the forward pass, writing JSON";
    let within = r.times("sac_inference_duration_seconds", &["route"], within)?;
    Ok(ROUTES.map(|path| Route {
        path,
        ok: requests.with_label_values(&[path, "200"]),
        time: times.with_label_values(&[path]),
        inference_time: path.starts_with("/sac/predict").then(|| within.with_label_values(&[path])),
    }))
}

/// Shown as zero before they happen, so that a rate sees the first.
fn starting_with<const N: usize>(labels: [&str; N], counters: IntCounterVec) -> IntCounterVec {
    for label in labels {
        counters.with_label_values(&[label]);
    }
    counters
}
