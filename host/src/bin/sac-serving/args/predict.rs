//! The arguments of `predict`.

use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::args::load::LoadArgs;
use crate::args::pattern::PatternArgs;
use crate::args::values::whole;
use crate::target::{ClientArgs, Target};

/// The arguments of `predict`.
#[derive(Debug, Args)]
pub struct PredictArgs {
    /// A server (HOST:PORT, http://HOST:PORT, https, or unix:PATH), or a checkpoint file, or a folder, of which the newest is taken
    #[arg(value_name = "URL|FILE")]
    pub target: Target,

    /// The state: numbers separated by commas or spaces, or a JSON array
    #[arg(long, allow_hyphen_values = true, value_name = "NUMBERS")]
    pub state: State,

    /// Sample the action instead of taking the mean
    #[arg(long)]
    pub stochastic: bool,

    /// The seed for sampling
    #[arg(long, value_parser = whole::<u64, 0>, value_name = "N", requires = "stochastic")]
    pub seed: Option<u64>,

    /// Print the whole response
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub client: ClientArgs,

    #[command(flatten)]
    pub names: PatternArgs,

    #[command(flatten)]
    pub load: LoadArgs,
}

/// A state on the command line.
#[derive(Debug, Clone)]
pub struct State(pub Vec<f64>);

impl FromStr for State {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbers = text.trim().trim_start_matches('[').trim_end_matches(']');
        let parse = |number: &str| {
            let parsed = number.parse::<f64>().with_context(|| format!("`{number}` is not a number"))?;
            ensure!(parsed.is_finite(), "`{number}` is not finite");
            Ok(parsed)
        };
        // An empty text between two commas is no number.
        let split = numbers.split(',').flat_map(|part| match part.trim() {
            "" => vec![""],
            part => part.split_whitespace().collect(),
        });
        split.map(parse).collect::<Result<_>>().map(State)
    }
}
