//! The actor: a policy that is ready to run.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::engine::{Engine, Selected};
use crate::card::Example;
use crate::load::Model;
use crate::model::{Facts, Forward, Normalisation, Squashing};
use crate::wit::{Backend, Network};

/// The policy of a checkpoint, ready to run.
pub struct Actor {
    state_dim: usize,
    action_dim: usize,
    normalisation: Option<Normalisation>,
    squashing: Squashing,
    facts: Facts,
    optimised: bool,
    engine: Engine,
    /// The longest time that a forward pass of one state took when the checkpoint was loaded. `Duration::MAX` if it depends
    /// on the numbers of the state.
    row_time: Duration,
}

impl Actor {
    /// Makes a model ready to run. With a `backend` that was chosen for the same model before, the kernel is not proven
    /// again.
    ///
    /// # Errors
    ///
    /// Fails if neither backend can run the network, if a forward pass on a state of zeros is not finite, or if one of ones
    /// fails.
    pub fn new(model: Model, optimised: bool, backend: Option<Backend>) -> Result<Self> {
        let Selected { engine, normalisation, squashing } = Selected::new(&model, optimised, backend)?;
        let Model { network, facts, examples, .. } = model;
        let (state_dim, action_dim, row_time) = (network.state_dim, network.action_dim, Duration::ZERO);
        let mut actor = Actor { state_dim, action_dim, normalisation, squashing, facts, optimised, engine, row_time };
        actor.check_zeros()?;
        actor.try_others()?;
        actor.check_examples(&examples)?;
        Ok(actor)
    }

    /// Checks that a state of zeros gives finite outputs, and measures how long that takes.
    fn check_zeros(&mut self) -> Result<()> {
        let forward = self.time(&vec![0.0; self.state_dim]).context("a forward pass on zeros failed")?;
        for (name, values) in [("mean", &forward.mean), ("log_std", &forward.log_std)] {
            let found = values.iter().find(|value| !value.is_finite());
            ensure!(
                found.is_none(),
                "a forward pass on zeros gave {name} = {}: finite numbers are expected",
                found.unwrap_or(&0.0)
            );
        }
        Ok(())
    }

    /// Runs a graph, whose time and success may depend on the numbers of a state, on states other than zeros. One that fails
    /// on ones is no policy. On the others it may: a state that picks a row of a table is never negative.
    fn try_others(&mut self) -> Result<()> {
        let Engine::Tract(tract) = &self.engine else { return Ok(()) };
        let depends_on_state = tract.depends_on_state();
        // A Weyl sequence: numbers spread over [-1, 1).
        let spread = (0..self.state_dim).map(|i| (i as f32 * 0.618_034).fract() * 2.0 - 1.0).collect::<Vec<_>>();
        self.time(&vec![1.0; self.state_dim]).context("a forward pass on ones failed")?;
        for state in [&vec![-1.0; self.state_dim], &spread] {
            let _ = self.time(state);
        }
        if depends_on_state {
            // A graph that takes memory or time by the size of its numbers takes too much here, rather than in service.
            let _ = self.forward(&spread.iter().map(|x| x * 1e3).collect::<Vec<_>>(), true);
            self.row_time = Duration::MAX;
        }
        Ok(())
    }

    /// Runs the network on a state, and measures how long that takes.
    fn time(&mut self, state: &[f32]) -> Result<Forward> {
        let (mut forward, mut least) = (Forward::default(), Duration::MAX);
        // The first pass finds the caches cold, and the machine may be busy during another. Those of the kernel take microseconds.
        let passes = if matches!(self.engine, Engine::Kernel(_)) { 8 } else { 2 };
        for _ in 0..passes {
            let start = Instant::now();
            forward = self.forward(state, true)?;
            least = least.min(start.elapsed());
        }
        self.row_time = self.row_time.max(least);
        Ok(forward)
    }

    /// Checks that the policy computes the examples of its card.
    fn check_examples(&mut self, examples: &[Example]) -> Result<()> {
        for (index, example) in examples.iter().enumerate() {
            ensure!(
                (example.state.len(), example.action.len()) == (self.state_dim, self.action_dim),
                "the examples of the card have states of {} and actions of {} numbers: {} and {} are expected",
                example.state.len(),
                example.action.len(),
                self.state_dim,
                self.action_dim
            );
            let state = example.state.iter().map(|x| *x as f32).collect::<Vec<_>>();
            let forward = self.forward(&state, false)?;
            let action = self.squashing.actions(forward, None);
            ensure!(
                example.fits(action.iter().map(|x| f64::from(*x))),
                "the policy does not compute example {} of its card: it gives {action:.5?}, and {:.5?} is expected",
                index + 1,
                example.action
            );
        }
        self.facts.verified_examples = examples.len();
        Ok(())
    }

    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    pub fn normalisation(&self) -> Option<&Normalisation> {
        self.normalisation.as_ref()
    }

    /// Returns the map from the outputs of [`Actor::forward`] to actions.
    pub fn squashing(&self) -> &Squashing {
        &self.squashing
    }

    pub fn state_dim(&self) -> usize {
        self.state_dim
    }

    pub fn action_dim(&self) -> usize {
        self.action_dim
    }

    /// Returns `true` if actions can be sampled.
    pub fn stochastic(&self) -> bool {
        self.squashing.log_std.is_some()
    }

    pub fn optimised(&self) -> bool {
        self.optimised
    }

    pub fn backend(&self) -> Backend {
        self.engine.backend()
    }

    /// Describes what [`Actor::forward`] computes, if an owner can compute it with the same bits.
    pub fn network(&self) -> Option<Network> {
        self.engine.network(self.normalisation.as_ref())
    }

    /// Estimates the time that [`Actor::forward`] takes for a number of rows.
    pub fn expected_time(&self, rows: usize) -> Duration {
        self.row_time.saturating_mul(u32::try_from(rows).unwrap_or(u32::MAX))
    }

    /// Runs the network on row-major states [rows, state_dim], of which there must be at least one. Without `log_std` the
    /// result may lack it.
    pub fn forward(&mut self, states: &[f32], log_std: bool) -> Result<Forward> {
        match self.normalisation.as_ref().map(|normalisation| normalisation.apply(states)) {
            Some(normalised) => self.engine.run(&normalised, log_std),
            None => self.engine.run(states, log_std),
        }
    }
}
