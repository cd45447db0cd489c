//! Looks at checkpoint files without serving them.

mod card;
mod inspection;

use std::io;
use std::path::Path;

use sac_owner::{CheckpointError, Content, Source};
use thiserror::Error;

use crate::config::{Config, SandboxLimits};
use crate::sandbox::bindings::{self, Backend, Body, Outcome, Policy, Request, RequestContext, Response};
use crate::sandbox::factory::{InstanceFactory, LoadError, SetupError};
use crate::sandbox::instance::Instance;
pub use inspection::{Fact, Inspection, Layer};

/// Loads checkpoint files in a sandbox as a server would, without serving them.
pub struct Inspector {
    factory: InstanceFactory,
    /// Its limits and statistics apply, and its files do not matter.
    source: Source,
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
        let content = self.read(path)?;
        let (mut instance, policy) = self.load(&content).map_err(refused)?;
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

    /// Returns a card in JSON, with the facts that the file and its present card say, the examples of the latter, and null for each
    /// fact that is missing. The card `of_folder` has no examples and no statistics of states: both belong to one checkpoint. The
    /// policy's own answers are no examples, since they prove nothing.
    ///
    /// # Errors
    ///
    /// Fails if the file contains no actor that can be recognised, or is refused for another reason than a missing fact.
    pub fn card(&self, path: &Path, of_folder: bool) -> Result<String, InspectError> {
        card::write(self, self.read(path)?, of_folder)
    }

    /// Returns status and body of the response to `POST /sac/predict` with this body, from a server of this file.
    ///
    /// # Errors
    ///
    /// Fails if the server would refuse the file, for the same reason.
    pub fn predict(&self, path: &Path, body: &str) -> Result<(u16, Vec<u8>), InspectError> {
        let (mut instance, _) = self.load(&self.read(path)?).map_err(refused)?;
        Ok(predict(&mut instance, body)?)
    }

    fn load(&self, content: &Content) -> Result<(Instance, Policy), LoadError> {
        let load = |backend| self.factory.loaded_instance(content, 0, backend, true);
        let (instance, policy) = load(None)?;
        // A server compares after the policy is in service, and then acts alike.
        if policy.backend == Backend::Kernel && matches!(self.factory.compare(content), Ok(Some(_))) {
            return load(Some(Backend::Tract));
        }
        Ok((instance, policy))
    }

    fn read(&self, path: &Path) -> Result<Content, InspectError> {
        let source = self.source.of_file(path);
        let candidate = source.candidates()?.pop().ok_or(InspectError::Missing)?;
        Ok(source.read(&candidate)?)
    }
}

fn refused(error: LoadError) -> InspectError {
    InspectError::Refused(error.to_string())
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
