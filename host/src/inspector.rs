use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use sac_owner::{Content, Source};
use serde::Serialize;

use crate::config::Config;
use crate::sandbox::bindings::{Body, Outcome, Policy, Request, RequestContext, Response};
use crate::sandbox::instance::Instance;
use crate::swap::generation::{Recipe, file};

/// Looks at checkpoint files in the sandbox that would serve them, without serving.
pub struct Inspector {
    recipe: Recipe,
    config: Config,
}

/// What the server would make of a file.
#[derive(Debug, Serialize)]
pub struct Inspection {
    pub path: String,
    pub size_bytes: usize,
    pub sha256: String,
    pub format: String,
    pub layout: String,
    pub layers: Vec<Layer>,
    /// None where the graph itself has it.
    pub activation: Option<String>,
    pub state_dim: u32,
    pub action_dim: u32,
    pub stochastic: bool,
    pub action_low: Option<Vec<f64>>,
    pub action_high: Option<Vec<f64>>,
    /// Told, and not applied; null in JSON where there is no bound.
    pub observation_low: Option<Vec<f64>>,
    pub observation_high: Option<Vec<f64>>,
    pub observation_mean: Option<Vec<f32>>,
    pub observation_std: Option<Vec<f32>>,
    pub observation_clip: Option<f32>,
    /// The deterministic action of a state of zeros.
    pub action_on_zeros: serde_json::Value,
}

#[derive(Debug, Serialize)]
pub struct Layer {
    pub name: String,
    pub inputs: u32,
    pub outputs: u32,
}

impl Inspector {
    /// Compiles the component, or maps it where it was compiled before. Blocks, as the other methods do.
    pub fn new(config: Config) -> Result<Self> {
        Ok(Inspector { recipe: Recipe::new(&config)?, config })
    }

    /// The error is the reason for which the server would refuse the file.
    pub fn inspect(&self, path: &Path) -> Result<Inspection> {
        let content = self.read(path)?;
        let (mut instance, policy) = self.recipe.loaded_instance(&content, 0, None).map_err(|error| anyhow!(error))?;
        let action_on_zeros = act_on_zeros(&mut instance, policy.state_dim)?;
        Ok(Inspection::of(&content, policy, action_on_zeros))
    }

    /// The policy of a file as an ONNX file that stands by itself: from `state` to `mean`, `log_std` and `action`.
    pub fn convert(&self, path: &Path) -> Result<Vec<u8>> {
        let content = self.read(path)?;
        let activation = self.config.activation.map(Into::into);
        self.recipe.instance()?.convert(file(&content), activation)?.map_err(|error| anyhow!(error))
    }

    /// Status and body of what the server would answer to the body of a POST /sac/predict, serving this file.
    pub fn predict(&self, path: &Path, body: &str) -> Result<(u16, Vec<u8>)> {
        let content = self.read(path)?;
        let (mut instance, _) = self.recipe.loaded_instance(&content, 0, None).map_err(|error| anyhow!(error))?;
        predict(&mut instance, body)
    }

    fn read(&self, path: &Path) -> Result<Content> {
        let mut source = Source::new(Some(path), None, None);
        source.limits = self.config.source.limits;
        let candidate = source.candidates()?.pop().context("there is no such file")?;
        Ok(source.read(&candidate)?)
    }
}

fn act_on_zeros(instance: &mut Instance, state_dim: u32) -> Result<serde_json::Value> {
    let body = serde_json::json!({ "state": vec![0.0; state_dim as usize] }).to_string();
    let (status, body) = predict(instance, &body)?;
    if status != 200 {
        bail!("no action on zeros: {}", String::from_utf8_lossy(&body));
    }
    let answer = serde_json::from_slice::<serde_json::Value>(&body)?;
    Ok(answer["action"].clone())
}

fn predict(instance: &mut Instance, body: &str) -> Result<(u16, Vec<u8>)> {
    let request =
        Request { method: "POST", path: "/sac/predict", authorization: None, body: Body::Complete(body.as_bytes()) };
    let context = RequestContext { tokens: &[], refusal: None, reloaded: None, may_block: true };
    match instance.answer(request, context)? {
        Outcome::Respond(Response { status, body, .. }) => Ok((status, body)),
        _ => bail!("the component does not answer"),
    }
}

impl Inspection {
    fn of(content: &Content, policy: Policy, action_on_zeros: serde_json::Value) -> Self {
        let layer = |layer: crate::sandbox::bindings::Layer| Layer {
            name: layer.name,
            inputs: layer.inputs,
            outputs: layer.outputs,
        };
        let (action_low, action_high) = policy.action_bounds.map(|bounds| (bounds.low, bounds.high)).unzip();
        let (observation_low, observation_high) =
            policy.observation_bounds.map(|bounds| (bounds.low, bounds.high)).unzip();
        let (clip, normalisation) = match policy.normalisation {
            Some(normalisation) => (normalisation.clip, Some((normalisation.mean, normalisation.std))),
            None => (None, None),
        };
        let (observation_mean, observation_std) = normalisation.unzip();
        Inspection {
            path: content.path.display().to_string(),
            size_bytes: content.bytes.len(),
            sha256: content.sha256.clone(),
            format: policy.format,
            layout: policy.layout,
            layers: policy.layers.into_iter().map(layer).collect(),
            activation: policy.activation,
            state_dim: policy.state_dim,
            action_dim: policy.action_dim,
            stochastic: policy.stochastic,
            action_low,
            action_high,
            observation_low,
            observation_high,
            observation_mean,
            observation_std,
            observation_clip: clip,
            action_on_zeros,
        }
    }
}
