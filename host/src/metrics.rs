use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use http::StatusCode;
use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};
use sac_checkpoint::since_epoch;

use crate::holder::Current;
use crate::instance::Broken;

/// Whatever else is asked for counts as `other`: a client makes no label.
const ROUTES: [&str; 7] = [
    "/sac/health",
    "/sac/model/info",
    "/sac/model/reload",
    "/sac/predict",
    "/sac/predict/batch",
    "/sac/benchmark",
    "/sac/openapi.json",
];
const OTHER: &str = "other";

/// What is counted, under Prometheus's names and in its base units.
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_time: HistogramVec,
    inference_time: HistogramVec,
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

/// What is in service.
struct Model {
    info: IntGaugeVec,
    loaded: IntGauge,
    stale: IntGauge,
    generation: IntGauge,
    modified: Gauge,
    age: Gauge,
    read: Gauge,
}

/// A request under way; dropped before it has a status, its client went away.
pub(crate) struct Watched<'a> {
    metrics: &'a Metrics,
    route: &'static str,
    start: Instant,
    status: Option<StatusCode>,
}

impl Metrics {
    pub(crate) fn new() -> Result<Self> {
        let registry = Registry::new();
        let r = &registry;
        #[cfg(target_os = "linux")]
        r.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let build = IntGaugeVec::new(
            Opts::new("sac_build_info", "1, by the version and by the sha256 of the component it was built with"),
            &["version", "component_sha256"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), env!("SAC_ACTOR_SHA256")]).set(1);
        registered(r, build)?;
        Ok(Metrics {
            requests: counters(
                r,
                "sac_requests_total",
                "Requests answered; status `aborted`: the client went away",
                &["route", "status"],
            )?,
            request_time: times(
                r,
                "sac_request_duration_seconds",
                "From a request's head to its answer, body and waiting included",
            )?,
            inference_time: times(
                r,
                "sac_inference_duration_seconds",
                "What a prediction takes within the component: reading its JSON, the forward pass, writing the answer",
            )?,
            in_flight: gauge(r, "sac_requests_in_flight", "Requests not answered yet")?,
            connections: gauge(r, "sac_connections", "Open connections")?,
            reloads: counters(
                r,
                "sac_reloads_total",
                "Checkpoints that were put into service (outcome `loaded`) or refused",
                &["outcome"],
            )?,
            reload_time: {
                let help = "From the look at the files to a new checkpoint in service, or to its refusal";
                registered(
                    r,
                    Histogram::with_opts(
                        HistogramOpts::new("sac_reload_duration_seconds", help).buckets(buckets(0.001)?),
                    )?,
                )?
            },
            instances: gauge(r, "sac_instances", "Instances of the component, of all generations")?,
            instance_memory: gauge(r, "sac_instance_memory_bytes", "Linear memory of all instances")?,
            lost_instances: counters(
                r,
                "sac_instances_lost_total",
                "Instances thrown away for what they did: `panic`, `time`, `memory` or `trap`",
                &["reason"],
            )?,
            model: Mutex::new(Model {
                info: registered(
                    r,
                    IntGaugeVec::new(
                        Opts::new("sac_model_info", "1, by what is in service"),
                        &["path", "format", "layout", "plan", "sha256"],
                    )?,
                )?,
                loaded: gauge(r, "sac_model_loaded", "Whether a checkpoint is in service")?,
                stale: gauge(r, "sac_model_stale", "Whether a newer checkpoint was refused")?,
                generation: gauge(r, "sac_model_generation", "How many checkpoints were put into service")?,
                modified: seconds(
                    r,
                    "sac_model_mtime_timestamp_seconds",
                    "The mtime of the checkpoint in service, since 1970",
                )?,
                age: seconds(r, "sac_model_age_seconds", "How long ago that is")?,
                read: seconds(
                    r,
                    "sac_model_loaded_timestamp_seconds",
                    "When the checkpoint in service was read, since 1970",
                )?,
            }),
            registry,
        }
        .with_every_label())
    }

    /// Shown as zero before they happen, so that a rate sees the first.
    fn with_every_label(self) -> Self {
        for route in ROUTES {
            self.request_time.with_label_values(&[route]);
        }
        for outcome in ["loaded", "refused"] {
            self.reloads.with_label_values(&[outcome]);
        }
        for reason in ["panic", "time", "memory", "trap"] {
            self.lost_instances.with_label_values(&[reason]);
        }
        self
    }

    pub(crate) fn watch(&self, path: &str) -> Watched<'_> {
        self.in_flight.inc();
        let route = ROUTES.into_iter().find(|route| *route == path).unwrap_or(OTHER);
        Watched { metrics: self, route, start: Instant::now(), status: None }
    }

    /// Counts a connection for as long as what it gives lives.
    pub(crate) fn connected(&self) -> impl Drop + Send + 'static {
        self.connections.inc();
        Connected(self.connections.clone())
    }

    /// The component answered this path.
    pub(crate) fn answered(&self, path: &str, time: Duration) {
        if let Some(route) = ROUTES.into_iter().find(|route| *route == path && route.starts_with("/sac/predict")) {
            self.inference_time.with_label_values(&[route]).observe(time.as_secs_f64());
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
        Ok(TextEncoder::new().encode_to_string(&self.registry.gather())?)
    }
}

impl Model {
    fn set(&self, current: &Current) {
        self.info.reset();
        self.generation.set(current.generation.number as i64);
        self.stale.set(current.refusal.is_some().into());
        let loaded = current.generation.loaded.as_ref();
        self.loaded.set(loaded.is_some().into());
        let Some(loaded) = loaded else { return };
        let (path, policy) = (loaded.path.to_string_lossy(), &loaded.policy);
        let labels = [&*path, &policy.format, &policy.layout, policy.plan.name(), &loaded.sha256];
        self.info.with_label_values(&labels).set(1);
        self.modified.set(timestamp(loaded.modified));
        self.age.set(timestamp(SystemTime::now()) - timestamp(loaded.modified));
        self.read.set(timestamp(loaded.read_at));
    }
}

impl Watched<'_> {
    pub(crate) fn answered(mut self, status: StatusCode) {
        self.status = Some(status);
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        let Watched { metrics, route, start, ref status } = *self;
        metrics.in_flight.dec();
        metrics.requests.with_label_values(&[route, status.as_ref().map_or("aborted", StatusCode::as_str)]).inc();
        metrics.request_time.with_label_values(&[route]).observe(start.elapsed().as_secs_f64());
    }
}

struct Connected(IntGauge);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn timestamp(time: SystemTime) -> f64 {
    let (seconds, nanoseconds) = since_epoch(time);
    seconds as f64 + f64::from(nanoseconds) / 1e9
}

/// Twenty, each up to twice the one before.
fn buckets(least: f64) -> Result<Vec<f64>> {
    Ok(prometheus::exponential_buckets(least, 2.0, 20)?)
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec> {
    registered(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn times(registry: &Registry, name: &str, help: &str) -> Result<HistogramVec> {
    let options = HistogramOpts::new(name, help).buckets(buckets(20e-6)?);
    registered(registry, HistogramVec::new(options, &["route"])?)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge> {
    registered(registry, IntGauge::new(name, help)?)
}

fn seconds(registry: &Registry, name: &str, help: &str) -> Result<Gauge> {
    registered(registry, Gauge::new(name, help)?)
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}
