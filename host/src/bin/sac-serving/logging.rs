//! Log lines on stderr, and traces if the program is built with them.

use std::io::{self, IsTerminal};

use anyhow::Result;
use clap::ValueEnum;
use tracing::Subscriber;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

#[cfg(feature = "otlp")]
use crate::otlp::traces;

/// The format of log lines.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Starts logging to stderr, from level info or as `RUST_LOG` says. If `serves` is set, traces are sent until the returned
/// guard is dropped.
///
/// # Errors
///
/// Fails if traces are configured and cannot be sent. Logging has started nevertheless.
pub fn init(format: LogFormat, serves: bool) -> Result<Option<impl Sized>> {
    let found = if serves { traces() } else { Ok(None) };
    let (traces, layer) = match found {
        Ok(found) => found.map_or((Ok(None), None), |(traces, layer)| (Ok(Some(traces)), Some(layer))),
        Err(error) => (Err(error), None),
    };
    tracing_subscriber::registry().with(lines(format)).with(layer).init();
    traces
}

fn lines<S>(format: LogFormat) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_target(false);
    // The layer would report an unwritable stderr by `eprintln`, which panics then.
    let lines = lines.log_internal_errors(false);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    lines.with_filter(filter)
}

/// Returns no traces, because the program is built without them.
#[cfg(not(feature = "otlp"))]
fn traces() -> Result<Option<((), tracing_subscriber::layer::Identity)>> {
    Ok(None)
}
