//! The metrics of the server, under the names and in the base units of Prometheus. They take values alone.

mod decisions;
mod model;
mod policies;
mod registry;
mod route;
mod shadows;
mod totals;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use http::StatusCode;
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

pub(crate) use decisions::DecisionMetrics;
use model::ModelMetrics;
pub(crate) use model::{CheckpointState, ModelState};
pub(crate) use policies::{MAX_LABELS, PolicyGauges, PolicyMetrics, PolicyRequests};
use registry::MetricRegistry;
use route::{OTHER, ROUTES, label};
pub(crate) use shadows::{ShadowGauges, ShadowMetrics};
pub(crate) use totals::{PERCENTILES, Totals};

use super::timeline::Timeline;

/// All metrics of a service.
pub(crate) struct Metrics {
    registry: MetricRegistry,
    requests: IntCounterVec,
    /// In the order of [`ROUTES`].
    routes: [RouteMetrics; ROUTES.len()],
    /// The time of the predictions that were answered with 200, for charts. It is in no text of metrics.
    predicted_time: Histogram,
    in_flight: IntGauge,
    connections: IntGauge,
    reloads: IntCounterVec,
    reload_time: Histogram,
    comparisons: IntCounterVec,
    batches: IntCounterVec,
    pub(crate) instances: IntGauge,
    pub(crate) instance_memory: IntGauge,
    lost_instances: IntCounterVec,
    /// Set for each reading, by one reader at a time.
    model: Mutex<ModelMetrics>,
    /// The last hour of these numbers, for charts.
    pub(crate) timeline: Timeline,
}

/// The metrics of one route. They are looked up once, because a look-up by labels takes longer than all other counting for a
/// request.
struct RouteMetrics {
    path: &'static str,
    /// Counts responses of status 200.
    ok: IntCounter,
    time: Histogram,
    inference_time: Option<Histogram>,
}

/// A request in flight. If it is dropped without a status, it counts as aborted, as at the end of a shutdown.
pub(crate) struct InFlight<'a> {
    metrics: &'a Metrics,
    route: &'a RouteMetrics,
    start: Instant,
    status: Option<StatusCode>,
}

impl Metrics {
    pub(crate) fn new() -> Result<Self> {
        let r = MetricRegistry::default();
        #[cfg(target_os = "linux")]
        r.process()?;
        let build = "Always 1; the labels are the version and the sha256 of the embedded component";
        let build = r.gauge_vec("sac_build_info", &["version", "component_sha256"], build)?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), env!("SAC_ACTOR_SHA256")]).set(1);
        let requests = "Requests by status; `aborted` counts requests that were cut off";
        let requests = r.counter_vec("sac_requests_total", &["route", "status"], requests)?;
        let reloads = "Checkpoints that were put into service (outcome `loaded`) or refused (`refused`)";
        let reload_time = "The time from checking the files until a checkpoint is in service or refused";
        let comparisons = "Comparisons of the kernel with tract after a checkpoint was put into service: they `agree`, `differ` (tract then serves it), or tract cannot run it (`failed`)";
        let batches = "Batches whose forward pass was computed in parts, by the `host` in this processor's wide vectors, or by `instances`";
        let lost = "Instances that were dropped after an error (`panic`, `time`, `memory`, `trap`), because a call took longer than expected and was `moved` to another, or because nobody waited any more (`abandoned`)";
        Ok(Metrics {
            routes: routes(&r, &requests)?,
            requests,
            predicted_time: MetricRegistry::hidden_histogram("predicted", "Predictions that were answered with 200")?,
            in_flight: r.gauge("sac_requests_in_flight", "Requests that have no response yet")?,
            connections: r.gauge("sac_connections", "Open connections")?,
            reloads: starting_with(["loaded", "refused"], r.counter_vec("sac_reloads_total", &["outcome"], reloads)?),
            reload_time: r.histogram("sac_reload_duration_seconds", reload_time)?,
            comparisons: starting_with(
                ["agree", "differ", "failed"],
                r.counter_vec("sac_backend_comparisons_total", &["outcome"], comparisons)?,
            ),
            batches: starting_with(["host", "instances"], r.counter_vec("sac_batches_total", &["by"], batches)?),
            instances: r.gauge("sac_instances", "Instances of the component, in all generations")?,
            instance_memory: r.gauge("sac_instance_memory_bytes", "The linear memory of all instances")?,
            lost_instances: starting_with(
                ["panic", "time", "memory", "trap", "moved", "abandoned"],
                r.counter_vec("sac_instances_lost_total", &["reason"], lost)?,
            ),
            model: Mutex::new(ModelMetrics::new(&r)?),
            timeline: Timeline::default(),
            registry: r,
        })
    }

    /// Counts a request as in flight.
    pub(crate) fn request(&self, path: &str) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight { metrics: self, route: self.route(path), start: Instant::now(), status: None }
    }

    fn route(&self, path: &str) -> &RouteMetrics {
        let label = label(path);
        self.routes.iter().find(|route| route.path == label).unwrap_or(&self.routes[ROUTES.len() - 1])
    }

    /// Counts a connection until the returned guard is dropped.
    pub(crate) fn connection(&self) -> Counted {
        self.connections.inc();
        Counted(self.connections.clone())
    }

    /// Records how long the component took for a path that it answered with 200.
    pub(crate) fn predicted(&self, path: &str, time: Duration) {
        if let Some(inference_time) = &self.route(path).inference_time {
            inference_time.observe(time.as_secs_f64());
        }
    }

    /// Counts an instance that was dropped after an error. `reason` is a label value.
    pub(crate) fn instance_lost(&self, reason: &str) {
        self.lost_instances.with_label_values(&[reason]).inc();
    }

    /// Counts a checkpoint that was put into service, or refused if `loaded` is `false`.
    pub(crate) fn reloaded(&self, loaded: bool, time: Duration) {
        self.reloads.with_label_values(&[if loaded { "loaded" } else { "refused" }]).inc();
        self.reload_time.observe(time.as_secs_f64());
    }

    /// Counts a comparison of the kernel with tract. `outcome` is a label value.
    pub(crate) fn compared(&self, outcome: &str) {
        self.comparisons.with_label_values(&[outcome]).inc();
    }

    /// Counts a batch that was computed in parts. `by` is a label value.
    pub(crate) fn batch(&self, by: &str) {
        self.batches.with_label_values(&[by]).inc();
    }

    /// Registers the metrics of the policies of a root.
    pub(crate) fn policies(&self) -> Result<PolicyMetrics> {
        PolicyMetrics::new(&self.registry)
    }

    /// Registers the metrics of the log of decisions.
    pub(crate) fn decisions(&self) -> Result<DecisionMetrics> {
        DecisionMetrics::new(&self.registry)
    }

    /// Registers the metrics of shadows.
    pub(crate) fn shadows(&self) -> Result<ShadowMetrics> {
        ShadowMetrics::new(&self.registry)
    }

    /// Returns all metrics in Prometheus's text format.
    /// `model` is `None` if there is no default policy, and `set` sets the metrics of a root and of shadows.
    pub(crate) fn text(&self, model: Option<&ModelState>, set: impl FnOnce()) -> Result<String> {
        let metrics = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        metrics.set(model);
        set();
        self.registry.text()
    }
}

impl InFlight<'_> {
    /// Returns the route, or `None` for an unknown path.
    pub(crate) fn route(&self) -> Option<&'static str> {
        Some(self.route.path).filter(|path| *path != OTHER)
    }

    pub(crate) fn finish(mut self, status: StatusCode) {
        self.status = Some(status);
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let InFlight { metrics, route, start, ref status } = *self;
        metrics.in_flight.dec();
        let seconds = start.elapsed().as_secs_f64();
        route.time.observe(seconds);
        match status {
            Some(StatusCode::OK) => {
                route.ok.inc();
                if route.inference_time.is_some() {
                    metrics.predicted_time.observe(seconds);
                }
            }
            _ => {
                let status = status.as_ref().map_or("aborted", StatusCode::as_str);
                metrics.requests.with_label_values(&[route.path, status]).inc();
            }
        }
    }
}

/// Something that a gauge counts until this is dropped.
pub(crate) struct Counted(IntGauge);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn routes(r: &MetricRegistry, requests: &IntCounterVec) -> Result<[RouteMetrics; ROUTES.len()]> {
    let times = "The time from a request's head to its response, including its body and all waiting";
    let times = r.histogram_vec("sac_request_duration_seconds", &["route"], times)?;
    let inference = "The time of a prediction within the component: reading JSON, the forward pass, writing JSON";
    let inference = r.histogram_vec("sac_inference_duration_seconds", &["route"], inference)?;
    Ok(ROUTES.map(|path| RouteMetrics {
        path,
        ok: requests.with_label_values(&[path, "200"]),
        time: times.with_label_values(&[path]),
        inference_time: (path.starts_with("/sac/predict") || path.ends_with("/infer"))
            .then(|| inference.with_label_values(&[path])),
    }))
}

/// Creates the counters of these labels at zero, so that a rate includes the first increment.
fn starting_with<const N: usize>(labels: [&str; N], counters: IntCounterVec) -> IntCounterVec {
    for label in labels {
        counters.with_label_values(&[label]);
    }
    counters
}
