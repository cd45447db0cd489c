//! The command `predict`: prints the action for a state.

use std::io::Write;

use anyhow::{Context, Result};
use http::Method;
use sac_serving::{Config, Inspector, Source};
use serde_json::json;

use crate::args::predict::PredictArgs;
use crate::client::{Client, json as json_of};
use crate::commands::{checkpoint, on_runtime};
use crate::target::Target;

pub fn run(args: &PredictArgs, defaults: Config) -> Result<()> {
    let mut body = json!({ "state": args.state.0, "deterministic": !args.stochastic });
    if let Some(seed) = args.seed {
        body["seed"] = seed.into();
    }
    let body = body.to_string();
    let response = match &args.target {
        Target::File(file) => {
            let file = checkpoint(file, &args.names)?;
            let config = args.load.config(Source::new(Some(&file), None, None), defaults);
            let refused = || format!("{} gives no action", file.display());
            let (status, body) = Inspector::new(config)?.predict(&file, &body).with_context(refused)?;
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
