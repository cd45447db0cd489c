//! The commands `inspect` and `convert`.

use std::fmt::{self, Display};
use std::io::Write;

use anyhow::{Context, Result};
use sac_owner::one_line;
use sac_serving::{Config, Fact, Inspection, Inspector, Source};

use crate::args::{ConvertArgs, InspectArgs};
use crate::commands::checkpoint;
use crate::commands::output::{check_output, write_output};

pub fn inspect(args: &InspectArgs, defaults: Config) -> Result<()> {
    let found = checkpoint(&args.file, &args.names);
    let file = found.inspect_err(|error| print_refusal(args, error))?;
    let config = args.load.config(Source::new(Some(&file), None, None), defaults);
    let inspection = Inspector::new(config)?.inspect(&file).map_err(anyhow::Error::from);
    let inspection = inspection.inspect_err(|error| print_refusal(args, error));
    let inspection = inspection.with_context(|| format!("{} is refused", file.display()))?;
    let mut out = std::io::stdout().lock();
    match args.json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&inspection)?)?,
        false => write!(out, "{}", Table(&inspection))?,
    }
    Ok(())
}

/// Prints the reason as JSON, if that is asked for. The error itself goes to stderr.
fn print_refusal(args: &InspectArgs, error: &anyhow::Error) {
    if args.json {
        let refusal = serde_json::json!({ "refused": format!("{error:#}") });
        // If stdout cannot be written, stderr has the reason.
        drop(writeln!(std::io::stdout().lock(), "{refusal:#}"));
    }
}

pub fn convert(args: &ConvertArgs, defaults: Config) -> Result<()> {
    check_output(&args.output, args.force)?;
    let file = checkpoint(&args.file, &args.names)?;
    let config = args.load.config(Source::new(Some(&file), None, None), defaults);
    let bytes = Inspector::new(config)?.convert(&file);
    let bytes = bytes.with_context(|| format!("{} is refused", file.display()))?;
    write_output(&args.output, &bytes, args.force)
        .with_context(|| format!("{} cannot be written", args.output.display()))
}

/// Shows an inspection as lines of names and values.
struct Table<'a>(&'a Inspection);

impl Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let i = self.0;
        let mut line = |name: &str, value: &dyn Display| writeln!(f, "{name:<22}{value}");
        line("file", &one_line(&i.path))?;
        line("size", &format_args!("{} bytes", i.size_bytes))?;
        line("sha256", &i.sha256)?;
        line("format", &i.format)?;
        line("layout", &i.layout)?;
        for (index, layer) in i.layers.iter().enumerate() {
            let name = if index == 0 { "layers" } else { "" };
            line(name, &format_args!("{} ({} to {})", one_line(&layer.name), layer.inputs, layer.outputs))?;
        }
        for (index, Fact { name, value, source }) in i.facts.iter().enumerate() {
            line(
                if index == 0 { "facts" } else { "" },
                &format_args!("{name}: {} ({})", one_line(value), one_line(source)),
            )?;
        }
        let verified = match i.verified_examples {
            0 => "none: no card has examples".to_owned(),
            count => format!("{count}, all reproduced"),
        };
        line("verified examples", &verified)?;
        line("state_dim", &i.state_dim)?;
        line("action_dim", &i.action_dim)?;
        line("stochastic", if i.stochastic { &"yes" } else { &"no: deterministic only" })?;
        line("actions within", &bounds(&i.action_low, &i.action_high, unscaled(&i.facts)))?;
        line("observations within", &bounds(&i.observation_low, &i.observation_high, "not given"))?;
        match (&i.observation_mean, &i.observation_std) {
            (Some(mean), Some(std)) => {
                line("normalised by mean", &format_args!("{mean:?}"))?;
                line("and std", &format_args!("{std:?}"))?;
                if let Some(clip) = i.observation_clip {
                    line("and clipped to", &format_args!("±{clip}"))?;
                }
            }
            _ => line("observations", &"not normalised")?,
        }
        line("action on zeros", &i.action_on_zeros)
    }
}

/// Returns the bounds of actions that are not scaled.
fn unscaled(facts: &[Fact]) -> &str {
    match facts.iter().find(|fact| fact.name == "squash").map(|fact| fact.value.as_str()) {
        Some("tanh" | "clip") => "-1 to 1",
        Some("none") => "no bounds",
        Some(other) => other,
        None => "not given",
    }
}

fn bounds(low: &Option<Vec<f64>>, high: &Option<Vec<f64>>, none: &str) -> String {
    match (low, high) {
        (Some(low), Some(high)) => format!("{low:?} to {high:?}"),
        _ => none.to_owned(),
    }
}
