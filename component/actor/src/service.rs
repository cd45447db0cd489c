//! The service: a policy and the routes that it answers. It hands requests to `routes` and checkpoints to `load` and
//! `run`, and does nothing else.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;

use crate::load::Model;
use crate::model::Forward;
use crate::routes::{self, Documents, Loaded};
use crate::run::{self, Actor};
use crate::wit::{
    Backend, Batch, Checkpoint, File, Network, OperatorFacts, Outcome, Policy, Request, RequestContext, RouterConfig,
    RowOutputs,
};

/// A policy and the routes that it answers: the resource `service` of `wit/serving.wit`.
///
/// Without a loaded policy it still answers, with 503 where a policy is needed.
pub struct Service {
    config: RouterConfig,
    loaded: Option<Loaded>,
    documents: Documents,
}

impl Service {
    /// Makes a service without a policy.
    pub fn new(config: RouterConfig) -> Self {
        Service { config, loaded: None, documents: Documents::default() }
    }

    /// Loads a checkpoint and replaces the policy in service.
    ///
    /// `backend` is the backend that was chosen for the same file and config before; if it is given, the kernel is not
    /// proven again.
    ///
    /// # Errors
    ///
    /// Fails if the file is no checkpoint of a known format and layout, lacks a fact, or does not compute the examples of
    /// its card; or if a forward pass on a state of zeros is not finite, or fails on ones. The policy in service then stays.
    pub fn load(&mut self, checkpoint: Checkpoint, file: File, backend: Option<Backend>) -> Result<Policy> {
        let bytes = Bytes::from(file.bytes);
        let model = Model::of_bytes(bytes.clone(), file.sidecars, &self.config.operator_facts)?;
        let actor = Actor::new(model, self.config.optimised, backend)?;
        let policy = Policy::of(&actor)?;
        self.loaded = Some(Loaded::new(actor, checkpoint, bytes));
        self.documents = Documents::default();
        Ok(policy)
    }

    /// Compares the kernel with tract for a checkpoint that the kernel serves. Returns what they differ in, if they differ by
    /// more than rounding.
    ///
    /// # Errors
    ///
    /// Fails as [`Service::load`] does, and if tract cannot run the network.
    pub fn compare(file: File, facts: &OperatorFacts) -> Result<Option<String>> {
        run::compare(&Model::read(file, facts)?)
    }

    /// Converts a checkpoint to an ONNX model that computes `mean`, `log_std` and `action` from `state`, without help
    /// from this crate. `facts` are those that the operator supplies for files that do not contain them.
    ///
    /// # Errors
    ///
    /// Fails as [`Service::load`] does.
    pub fn convert(file: File, facts: &OperatorFacts) -> Result<Vec<u8>> {
        Model::read(file, facts)?.export()
    }

    /// Writes a card in JSON for a checkpoint, with null for each fact that it lacks.
    ///
    /// # Errors
    ///
    /// Fails if the file contains no actor that can be recognised.
    pub fn card(file: File, facts: &OperatorFacts) -> Result<String> {
        Model::card(file, facts)
    }

    /// Answers one request. Faults of the client and of the checkpoint are responses with a status of 4xx or 5xx.
    pub fn answer(&mut self, request: &Request, context: &RequestContext) -> Outcome {
        routes::answer(&self.config, &mut self.loaded, &mut self.documents, request, context)
    }

    /// Runs the network on a part of a batch.
    ///
    /// # Errors
    ///
    /// Fails without a policy, or if the states are not whole rows.
    pub fn forward(&mut self, part: &Batch) -> Result<RowOutputs> {
        let actor = &mut self.loaded.as_mut().context("no policy is loaded")?.actor;
        let (found, expected) = (part.states.len(), actor.state_dim());
        ensure!(found > 0 && found % expected == 0, "{found} numbers are not whole states of {expected}");
        let Forward { mean, log_std } = actor.forward(&part.states, part.log_std)?;
        Ok(RowOutputs { mean, log_std })
    }

    /// Describes the layers of the policy in service to an owner that computes the parts of a batch itself. There is nothing
    /// to describe without a policy, if tract serves it, or if it has a step that only the component computes.
    pub fn network(&self) -> Option<Network> {
        self.loaded.as_ref()?.actor.network()
    }

    /// Computes the actions of a decision again.
    ///
    /// # Errors
    ///
    /// Fails without a policy, if the states are not whole rows, if the policy cannot be sampled and there is a seed, or if an
    /// action is not finite.
    pub fn decide(&mut self, states: &[f32], seed: Option<u64>) -> Result<Vec<f32>> {
        routes::decide(self.loaded.as_mut().context("no policy is loaded")?, states, seed)
    }

    /// Answers the request that [`Service::answer`] answered with [`Outcome::Split`], by the outputs of all its rows.
    pub fn finish(&mut self, outputs: RowOutputs) -> Outcome {
        let RowOutputs { mean, log_std } = outputs;
        routes::finish(&self.config, &mut self.loaded, Forward { mean, log_std })
    }
}

impl Policy {
    fn of(actor: &Actor) -> Result<Self> {
        let facts = actor.facts();
        let bounds = actor.squashing().bounds.as_ref();
        Ok(Policy {
            format: facts.format.name().to_owned(),
            layout: facts.layout.to_owned(),
            backend: actor.backend(),
            layers: facts.layers.clone(),
            facts: facts.list.clone(),
            verified_examples: u32::try_from(facts.verified_examples)?,
            state_dim: u32::try_from(actor.state_dim())?,
            action_dim: u32::try_from(actor.action_dim())?,
            stochastic: actor.stochastic(),
            action_bounds: bounds.map(|bounds| bounds.bounds().clone()),
            observation_bounds: facts.observation_bounds.clone(),
            normalisation: actor.normalisation().cloned(),
        })
    }
}
