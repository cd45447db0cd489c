//! Log lines on stderr, and traces if the program is built with them. A thread of its own writes the lines, so that a reader
//! who stalls holds up nothing else.

use std::io::{self, IsTerminal};

use anyhow::Result;
use clap::ValueEnum;
use tracing::Subscriber;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

#[cfg(feature = "otlp")]
use crate::otlp::traces;
use crate::platform::shows_colours;

/// The format of log lines.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// The number of lines that wait for a reader of stderr. Any more are dropped.
const WAITING_LINES: usize = 4096;

/// Starts logging to stderr, from level info or as `RUST_LOG` says. If `serves` is set, traces are sent until the second
/// value is dropped, or that value says why they cannot be. When the first value is dropped, lines that wait are written,
/// unless stderr stalls for a second.
pub fn init(format: LogFormat, serves: bool) -> (WorkerGuard, Result<Option<impl Sized>>) {
    let found = if serves { traces() } else { Ok(None) };
    let (traces, layer) = match found {
        Ok(found) => found.map_or((Ok(None), None), |(traces, layer)| (Ok(Some(traces)), Some(layer))),
        Err(error) => (Err(error), None),
    };
    let (writer, guard) =
        NonBlockingBuilder::default().buffered_lines_limit(WAITING_LINES).thread_name("sac-log").finish(io::stderr());
    tracing_subscriber::registry().with(lines(format, writer)).with(layer).init();
    (guard, traces)
}

/// Returns `true` if lines have colours: on a terminal, unless the user wants none (<https://no-color.org>).
fn is_coloured() -> bool {
    let is_wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    is_wanted && io::stderr().is_terminal() && shows_colours()
}

fn lines<S>(format: LogFormat, writer: NonBlocking) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_target(false);
    // The layer would report an unwritable stderr by `eprintln`, which panics then.
    let lines = lines.log_internal_errors(false);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(is_coloured()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    lines.with_filter(filter)
}

/// Returns no traces, because the program is built without them.
#[cfg(not(feature = "otlp"))]
fn traces() -> Result<Option<((), tracing_subscriber::layer::Identity)>> {
    Ok(None)
}
