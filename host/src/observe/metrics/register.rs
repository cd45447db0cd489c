use anyhow::Result;
use prometheus::core::Collector;
use prometheus::{Gauge, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// Twenty buckets, each up to twice the one before: from 20 µs to 10 s.
const LEAST_SECONDS: f64 = 20e-6;

/// Makes what is counted, and has the registry tell it.
#[derive(Default)]
pub(super) struct Register(pub(super) Registry);

impl Register {
    pub(super) fn counters(&self, name: &str, labels: &[&str], help: &str) -> Result<IntCounterVec> {
        self.with(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> Result<IntGauge> {
        self.with(IntGauge::new(name, help)?)
    }

    pub(super) fn gauges(&self, name: &str, labels: &[&str], help: &str) -> Result<IntGaugeVec> {
        self.with(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    pub(super) fn seconds(&self, name: &str, help: &str) -> Result<Gauge> {
        self.with(Gauge::new(name, help)?)
    }

    pub(super) fn time(&self, name: &str, help: &str) -> Result<Histogram> {
        self.with(Histogram::with_opts(histogram(name, help)?)?)
    }

    pub(super) fn times(&self, name: &str, labels: &[&str], help: &str) -> Result<HistogramVec> {
        self.with(HistogramVec::new(histogram(name, help)?, labels)?)
    }

    pub(super) fn with<C: Collector + Clone + 'static>(&self, collector: C) -> Result<C> {
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }
}

fn histogram(name: &str, help: &str) -> Result<HistogramOpts> {
    let buckets = prometheus::exponential_buckets(LEAST_SECONDS, 2.0, 20)?;
    Ok(HistogramOpts::new(name, help).buckets(buckets))
}
