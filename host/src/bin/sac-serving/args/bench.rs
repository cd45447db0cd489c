//! The arguments of `bench`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::args::load::LoadArgs;
use crate::args::pattern::PatternArgs;
use crate::args::values::{some_time, whole};
use crate::target::{ClientArgs, Target};

/// The arguments of `bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// A server (HOST:PORT, http://HOST:PORT, https, or unix:PATH), or a checkpoint file or the newest of a folder, which is
    /// served on a free port meanwhile
    #[arg(value_name = "URL|FILE")]
    pub target: Target,

    /// The number of connections. Each has one request in flight at a time
    #[arg(short, long, default_value = "1", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub connections: u16,

    /// The duration of the measurement
    #[arg(short, long, value_parser = some_time, default_value = "5s", value_name = "TIME")]
    pub duration: Duration,

    /// The duration of the warm-up before it
    #[arg(long, value_parser = humantime::parse_duration, default_value = "1s", value_name = "TIME")]
    pub warmup: Duration,

    /// Send batches of this many states
    #[arg(short, long, value_parser = whole::<u32, 1>, value_name = "N")]
    pub batch: Option<u32>,

    /// Send this many requests a second over all connections, on a schedule that does not wait for responses. Latency then
    /// counts from the scheduled time. Without this flag, each connection sends its next request after each response
    #[arg(short, long, value_parser = whole::<u32, 1>, value_name = "N")]
    pub rate: Option<u32>,

    /// Print JSON, with times in seconds
    #[arg(long)]
    pub json: bool,

    /// Write a picture of the latencies
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,

    #[command(flatten)]
    pub client: ClientArgs,

    #[command(flatten)]
    pub names: PatternArgs,

    #[command(flatten)]
    pub load: LoadArgs,
}
