//! Looks at checkpoint files without serving them.

use std::io;
use std::path::Path;

use sac_owner::{CheckpointError, Content, Source};
use serde::Serialize;
use thiserror::Error;

use crate::config::{Config, SandboxLimits};
use crate::sandbox::bindings::{self, Backend, Body, Outcome, Policy, Request, RequestContext, Response};
use crate::sandbox::factory::{InstanceFactory, LoadError, SetupError};
use crate::sandbox::instance::Instance;

/// Loads checkpoint files in a sandbox as a server would, without serving them.
pub struct Inspector {
    factory: InstanceFactory,
    /// Its limits and statistics apply, and its files do not matter.
    source: Source,
}

/// A description of a checkpoint file and its policy. Vectors have one number for each dimension.
#[derive(Debug, Serialize)]
pub struct Inspection {
    /// The absolute path, with symlinks resolved.
    pub path: String,
    /// The size of the file.
    pub size_bytes: usize,
    /// The sha256 of the file, in lowercase hexadecimal.
    pub sha256: String,
    /// The file format, such as `onnx` or `torch`.
    pub format: String,
    /// The naming scheme of the actor's tensors, or `graph` for an ONNX graph.
    pub layout: String,
    /// The linear layers, in the order of computation.
    pub layers: Vec<Layer>,
    /// The facts that the policy is computed from, each with its source.
    pub facts: Vec<Fact>,
    /// The number of examples in cards that the policy was compared with, all of which it reproduces.
    pub verified_examples: u32,
    /// The fact `activation`. `None` if there is none, as for a graph, which contains its own.
    pub activation: Option<String>,
    /// The length of a state.
    pub state_dim: u32,
    /// The length of an action.
    pub action_dim: u32,
    /// True if actions can be sampled.
    pub stochastic: bool,
    /// The lower bounds that actions are scaled to.
    pub action_low: Option<Vec<f64>>,
    /// The upper bounds that actions are scaled to.
    pub action_high: Option<Vec<f64>>,
    /// The lower bounds of observations in training. They are not applied. JSON has null for a missing bound.
    pub observation_low: Option<Vec<f64>>,
    /// The upper bounds of observations in training, as `observation_low`.
    pub observation_high: Option<Vec<f64>>,
    /// The mean that is subtracted from a state.
    pub observation_mean: Option<Vec<f32>>,
    /// The standard deviation that the difference is divided by.
    pub observation_std: Option<Vec<f32>>,
    /// The limit of the absolute value of a normalised state.
    pub observation_clip: Option<f32>,
    /// The deterministic action for a state of zeros: a number, or a list of numbers.
    pub action_on_zeros: serde_json::Value,
}

/// A fact that a policy is computed from.
#[derive(Debug, Serialize)]
pub struct Fact {
    /// The name, such as `activation`.
    pub name: String,
    /// The value, in one line.
    pub value: String,
    /// Where the value comes from, in one line.
    pub source: String,
}

/// A linear layer.
#[derive(Debug, Serialize)]
pub struct Layer {
    /// The name in the file.
    pub name: String,
    /// The number of inputs.
    pub inputs: u32,
    /// The number of outputs.
    pub outputs: u32,
}

/// The error of an [`Inspector`].
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InspectError {
    /// The path leads to no file.
    #[error("there is no such file")]
    Missing,
    /// The file's folder cannot be accessed at this time.
    #[error(transparent)]
    Access(#[from] io::Error),
    /// The file cannot be read whole.
    #[error(transparent)]
    Read(#[from] CheckpointError),
    /// The component refuses the checkpoint, for this reason in one line.
    #[error("{0}")]
    Refused(String),
    /// The component answers the checkpoint's policy with this status and body.
    #[error("no action on zeros: {1}")]
    NoAction(u16, String),
    /// The sandbox failed.
    #[error(transparent)]
    Sandbox(#[from] anyhow::Error),
}

impl Inspector {
    /// Compiles the component, or maps the compiled artefact from the cache. Blocks, as the other methods do.
    ///
    /// # Errors
    ///
    /// Fails if the component does not compile or link.
    pub fn new(config: Config) -> Result<Self, SetupError> {
        Ok(Inspector { factory: InstanceFactory::new(&config)?, source: config.source })
    }

    /// Describes a file.
    ///
    /// # Errors
    ///
    /// Fails if the server would refuse the file, for the same reason.
    pub fn inspect(&self, path: &Path) -> Result<Inspection, InspectError> {
        let (content, mut instance, policy) = self.load(path)?;
        let action_on_zeros = act_on_zeros(&mut instance, policy.state_dim)?;
        Ok(Inspection::new(&content, policy, action_on_zeros))
    }

    /// Returns the policy of a file as an ONNX model, with the input `state` and the outputs `mean`, `log_std` and `action`.
    ///
    /// # Errors
    ///
    /// Fails if the server would refuse the file, for the same reason.
    pub fn convert(&self, path: &Path) -> Result<Vec<u8>, InspectError> {
        let (content, mut instance) = (self.read(path)?, self.factory.instance()?);
        let converted = bindings::with_file(&content, |file| instance.convert(file, self.factory.facts()));
        converted.map_err(anyhow::Error::from)?.map_err(InspectError::Refused)
    }

    /// Describes what a file says and lacks, as a card in JSON for its owner to complete. Cards beside the file count too.
    ///
    /// # Errors
    ///
    /// Fails if the file contains no actor that can be recognised.
    pub fn card(&self, path: &Path) -> Result<String, InspectError> {
        let (content, mut instance) = (self.read(path)?, self.factory.instance()?);
        let card = bindings::with_file(&content, |file| instance.card(file, self.factory.facts()));
        card.map_err(anyhow::Error::from)?.map_err(InspectError::Refused)
    }

    /// Returns status and body of the response to `POST /sac/predict` with this body, from a server of this file.
    ///
    /// # Errors
    ///
    /// Fails if the server would refuse the file, for the same reason.
    pub fn predict(&self, path: &Path, body: &str) -> Result<(u16, Vec<u8>), InspectError> {
        let (_, mut instance, _) = self.load(path)?;
        Ok(predict(&mut instance, body)?)
    }

    fn load(&self, path: &Path) -> Result<(Content, Instance, Policy), InspectError> {
        let content = self.read(path)?;
        let refused = |error: LoadError| InspectError::Refused(error.to_string());
        let load = |backend| self.factory.loaded_instance(&content, 0, backend, true).map_err(refused);
        let (mut instance, mut policy) = load(None)?;
        // A server compares after the policy is in service, and then acts alike.
        if policy.backend == Backend::Kernel && matches!(self.factory.compare(&content), Ok(Some(_))) {
            (instance, policy) = load(Some(Backend::Tract))?;
        }
        Ok((content, instance, policy))
    }

    fn read(&self, path: &Path) -> Result<Content, InspectError> {
        let source = self.source.of_file(path);
        let candidate = source.candidates()?.pop().ok_or(InspectError::Missing)?;
        Ok(source.read(&candidate)?)
    }
}

fn act_on_zeros(instance: &mut Instance, state_dim: u32) -> Result<serde_json::Value, InspectError> {
    let body = serde_json::json!({ "state": vec![0.0; state_dim as usize] }).to_string();
    let (status, body) = predict(instance, &body)?;
    if status != 200 {
        return Err(InspectError::NoAction(status, String::from_utf8_lossy(&body).into_owned()));
    }
    let answer = serde_json::from_slice::<serde_json::Value>(&body).map_err(anyhow::Error::from)?;
    Ok(answer["action"].clone())
}

fn predict(instance: &mut Instance, body: &str) -> anyhow::Result<(u16, Vec<u8>)> {
    let request = Request {
        method: "POST",
        path: "/sac/predict",
        authorization: None,
        inference_header_content_length: None,
        body: Body::Complete(body.as_bytes()),
    };
    let context = RequestContext {
        tokens: &[],
        refusal: None,
        absence: None,
        reloaded: None,
        may_block: true,
        wants_decision: false,
    };
    match instance.answer(request, context, SandboxLimits::default().long_call_time.into())? {
        Outcome::Respond(Response { status, body, .. }) => Ok((status, body)),
        _ => anyhow::bail!("the component does not answer"),
    }
}

impl From<bindings::Fact> for Fact {
    fn from(fact: bindings::Fact) -> Self {
        Fact { name: fact.name, value: fact.value, source: fact.source }
    }
}

impl From<bindings::Layer> for Layer {
    fn from(layer: bindings::Layer) -> Self {
        Layer { name: layer.name, inputs: layer.inputs, outputs: layer.outputs }
    }
}

impl Inspection {
    fn new(content: &Content, policy: Policy, action_on_zeros: serde_json::Value) -> Self {
        let activation = policy.fact("activation").map(str::to_owned);
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
            layers: policy.layers.into_iter().map(Into::into).collect(),
            facts: policy.facts.into_iter().map(Into::into).collect(),
            verified_examples: policy.verified_examples,
            activation,
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
