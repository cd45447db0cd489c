//! The command `predict`: prints the action for a state.

use std::io::Write;
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use clap::Args;
use http::Method;
use sac_serving::{Config, Inspector, Source};
use serde_json::json;

use crate::args::LoadArgs;
use crate::client::{Client, json as json_of};
use crate::commands::on_runtime;
use crate::target::{ClientArgs, Target};

#[derive(Debug, Args)]
pub struct PredictArgs {
    /// A server (http://HOST:PORT, or https), or a checkpoint file
    #[arg(value_name = "URL|FILE")]
    pub target: Target,

    /// The state: numbers separated by commas, or a JSON array
    #[arg(long, allow_hyphen_values = true, value_name = "NUMBERS")]
    pub state: State,

    /// Sample the action instead of taking the mean
    #[arg(long)]
    pub stochastic: bool,

    /// The seed for sampling
    #[arg(long, value_name = "N", requires = "stochastic")]
    pub seed: Option<u64>,

    /// Print the whole response
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub client: ClientArgs,

    #[command(flatten)]
    pub load: LoadArgs,
}

/// A state on the command line.
#[derive(Debug, Clone)]
pub struct State(Vec<f64>);

impl FromStr for State {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbers = text.trim().trim_start_matches('[').trim_end_matches(']');
        let parse = |number: &str| {
            let number = number.trim();
            let parsed = number.parse::<f64>().with_context(|| format!("`{number}` is not a number"))?;
            ensure!(parsed.is_finite(), "`{number}` is not finite");
            Ok(parsed)
        };
        numbers.split(',').map(parse).collect::<Result<_>>().map(State)
    }
}

pub fn run(args: &PredictArgs, defaults: Config) -> Result<()> {
    let mut body = json!({ "state": args.state.0, "deterministic": !args.stochastic });
    if let Some(seed) = args.seed {
        body["seed"] = seed.into();
    }
    let body = body.to_string();
    let response = match &args.target {
        Target::File(file) => {
            let config = args.load.config(Source::new(Some(file), None, None), defaults);
            let refused = || format!("{} gives no action", file.display());
            let (status, body) = Inspector::new(config)?.predict(file, &body).with_context(refused)?;
            json_of(status, &body).with_context(refused)?
        }
        Target::Server(address) => on_runtime(1, async {
            let mut client = Client::connect(&args.client.endpoint(address)?).await?;
            client.json(Method::POST, "/sac/predict", body.into()).await
        })?,
    };
    let printed = if args.json { &response } else { &response["action"] };
    writeln!(std::io::stdout().lock(), "{printed}")?;
    Ok(())
}
