//! Creates metrics and registers them. It knows none by name.

use anyhow::Result;
use prometheus::core::Collector;
#[cfg(target_os = "linux")]
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// The upper bound of the first bucket. Twenty buckets reach from 20 µs to 10 s, each twice as far as the one before.
const FIRST_BUCKET_SECONDS: f64 = 20e-6;

/// Creates metrics and registers them.
#[derive(Default)]
pub(super) struct MetricRegistry(Registry);

impl MetricRegistry {
    pub(super) fn counter_vec(&self, name: &str, labels: &[&str], help: &str) -> Result<IntCounterVec> {
        self.register(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> Result<IntGauge> {
        self.register(IntGauge::new(name, help)?)
    }

    pub(super) fn gauge_vec(&self, name: &str, labels: &[&str], help: &str) -> Result<IntGaugeVec> {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    pub(super) fn float_gauge_vec(&self, name: &str, labels: &[&str], help: &str) -> Result<GaugeVec> {
        self.register(GaugeVec::new(Opts::new(name, help), labels)?)
    }

    pub(super) fn histogram(&self, name: &str, help: &str) -> Result<Histogram> {
        self.register(Histogram::with_opts(options(name, help)?)?)
    }

    pub(super) fn histogram_vec(&self, name: &str, labels: &[&str], help: &str) -> Result<HistogramVec> {
        self.register(HistogramVec::new(options(name, help)?, labels)?)
    }

    /// Makes a histogram that is in no text of metrics.
    pub(super) fn hidden_histogram(name: &str, help: &str) -> Result<Histogram> {
        Ok(Histogram::with_opts(options(name, help)?)?)
    }

    /// Registers the metrics of the process: memory, processor time and open files.
    #[cfg(target_os = "linux")]
    pub(super) fn process(&self) -> Result<()> {
        Ok(self.0.register(Box::new(ProcessCollector::for_self()))?)
    }

    /// Returns all metrics in Prometheus's text format.
    pub(super) fn text(&self) -> Result<String> {
        Ok(TextEncoder::new().encode_to_string(&self.0.gather())?)
    }

    fn register<C: Collector + Clone + 'static>(&self, collector: C) -> Result<C> {
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }
}

fn options(name: &str, help: &str) -> Result<HistogramOpts> {
    let buckets = prometheus::exponential_buckets(FIRST_BUCKET_SECONDS, 2.0, 20)?;
    Ok(HistogramOpts::new(name, help).buckets(buckets))
}
