//! Runs a policy network: by the kernel, or by tract.

mod kernel;
mod tract;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::policy::{Normalisation, Squashing};
use crate::model::{Description, Model};
use crate::onnx::{Heads, Network, Recognised};
use crate::run::kernel::Kernel;
use crate::run::tract::Tract;

/// The policy network of a checkpoint, ready to run.
pub struct Actor {
    state_dim: usize,
    action_dim: usize,
    normalisation: Option<Normalisation>,
    squashing: Squashing,
    description: Description,
    optimised: bool,
    engine: Engine,
    /// What one state took when the checkpoint was validated.
    row_time: Duration,
}

enum Engine {
    /// For a network of linear layers.
    Kernel(Box<Kernel>),
    /// For any other graph, and for comparison.
    Tract(Box<Tract>),
}

/// What runs a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    Kernel,
    Tract,
}

/// What the network says of a batch of states, each row-major [rows, action_dim].
#[derive(Debug, Default, PartialEq)]
pub struct Forward {
    /// The mean before squashing, or the action itself where there is no `log_std`.
    pub mean: Vec<f32>,
    /// As the network gives it. Empty where it was not asked for, or for a checkpoint that is deterministic only.
    pub log_std: Vec<f32>,
}

/// How far the kernel and tract may differ: about ten times what their orders of summation make.
const TOLERANCE: f32 = 1e-5;

impl Actor {
    /// Makes a model ready to run, and checks that a state of zeros gives finite outputs. With a backend that was found for
    /// the same model before, nothing is compared with tract again.
    pub fn new(model: Model, optimised: bool, backend: Option<Backend>) -> Result<Self> {
        let Model { network, normalisation, squashing, description, recognised, .. } = model;
        let (state_dim, action_dim, row_time) = (network.state_dim, network.action_dim, Duration::MAX);
        let recognised = recognised.filter(|_| optimised && backend != Some(Backend::Tract));
        let chosen = choose(network, recognised, optimised, backend, normalisation, squashing)?;
        let Chosen { engine, normalisation, squashing } = chosen;
        let mut actor =
            Actor { state_dim, action_dim, normalisation, squashing, description, optimised, engine, row_time };
        let zeros = vec![0.0; state_dim];
        let mut forward = Forward::default();
        // The first pass finds caches cold.
        for _ in 0..2 {
            let start = Instant::now();
            forward = actor.forward(&zeros, true).context("a forward pass on zeros failed")?;
            actor.row_time = actor.row_time.min(start.elapsed());
        }
        for (name, values) in [("mean", &forward.mean), ("log_std", &forward.log_std)] {
            let found = values.iter().find(|v| !v.is_finite());
            ensure!(
                found.is_none(),
                "a forward pass on zeros gave {name} = {}: finite numbers are expected",
                found.unwrap_or(&0.0)
            );
        }
        Ok(actor)
    }

    pub fn description(&self) -> &Description {
        &self.description
    }

    pub fn normalisation(&self) -> Option<&Normalisation> {
        self.normalisation.as_ref()
    }

    /// How the outputs of [`Actor::forward`] become actions.
    pub fn squashing(&self) -> &Squashing {
        &self.squashing
    }

    pub fn state_dim(&self) -> usize {
        self.state_dim
    }

    pub fn action_dim(&self) -> usize {
        self.action_dim
    }

    pub fn stochastic(&self) -> bool {
        self.squashing.heads == Heads::Gaussian
    }

    pub fn optimised(&self) -> bool {
        self.optimised
    }

    pub fn backend(&self) -> Backend {
        match self.engine {
            Engine::Kernel(_) => Backend::Kernel,
            Engine::Tract(_) => Backend::Tract,
        }
    }

    /// About how long [`Actor::forward`] takes for so many rows: at least as long, where a backend has to be made first.
    pub fn expected_time(&self, rows: usize) -> Duration {
        let planned = rows == 1 || !matches!(&self.engine, Engine::Tract(tract) if !tract.is_planned());
        let planning = if planned { Duration::ZERO } else { Self::PLANNING };
        planning + self.row_time.saturating_mul(u32::try_from(rows).unwrap_or(u32::MAX))
    }

    /// What it takes to optimise a small network.
    const PLANNING: Duration = Duration::from_millis(2);

    /// Runs the network on row-major [rows, state_dim], of at least one row. Without `log_std` that may be left out.
    pub fn forward(&mut self, states: &[f32], log_std: bool) -> Result<Forward> {
        match self.normalisation.as_ref().map(|normalisation| normalisation.apply(states)) {
            Some(normalised) => self.engine.run(&normalised, log_std),
            None => self.engine.run(states, log_std),
        }
    }
}

impl Engine {
    fn run(&mut self, states: &[f32], log_std: bool) -> Result<Forward> {
        match self {
            Engine::Kernel(kernel) => {
                let mut forward = Forward::default();
                kernel.run(states, &mut forward.mean, log_std.then_some(&mut forward.log_std));
                Ok(forward)
            }
            Engine::Tract(tract) => tract.run(states),
        }
    }
}

/// What runs the network, and what is done before and after.
struct Chosen {
    engine: Engine,
    normalisation: Option<Normalisation>,
    squashing: Squashing,
}

/// The kernel where the network was recognised and gives what tract gives, as it does by `backend` already, or else tract.
fn choose(
    network: Network,
    recognised: Option<Recognised>,
    optimised: bool,
    backend: Option<Backend>,
    normalisation: Option<Normalisation>,
    squashing: Squashing,
) -> Result<Chosen> {
    if let Some(mut fused) = recognised.and_then(|recognised| fuse(recognised, normalisation.as_ref(), &squashing))
        && (backend.is_some() || agree(&mut fused, &network, &squashing)?)
    {
        let Fused { kernel, squashing, inner } = fused;
        let normalisation = normalisation.or(inner);
        return Ok(Chosen { engine: Engine::Kernel(Box::new(kernel)), normalisation, squashing });
    }
    Ok(Chosen { engine: Engine::Tract(Box::new(Tract::new(network, optimised)?)), normalisation, squashing })
}

/// The network as the kernel runs it, with what the graph itself does before and after.
struct Fused {
    kernel: Kernel,
    squashing: Squashing,
    inner: Option<Normalisation>,
}

/// Nothing where the two normalisations, or the two rules for log_std, do not make one.
fn fuse(recognised: Recognised, outer: Option<&Normalisation>, squashing: &Squashing) -> Option<Fused> {
    let Recognised { dense, normalisation: inner, log_std } = recognised;
    (outer.is_none() || inner.is_none()).then_some(())?;
    let log_std = log_std.map_or(Some(squashing.log_std), |inner| squashing.log_std.after(inner))?;
    Some(Fused { kernel: Kernel::pack(&dense), squashing: Squashing { log_std, ..squashing.clone() }, inner })
}

/// Compares the two on one state, of numbers spread over [-1, 1) (a Weyl sequence). On one, for a pass through the graph
/// as it is written is a quarter of the load; and biases are part of every answer.
fn agree(fused: &mut Fused, network: &Network, squashing: &Squashing) -> Result<bool> {
    let state = (0..network.state_dim).map(|i| (i as f32 * 0.618_034).fract() * 2.0 - 1.0).collect::<Vec<_>>();
    let theirs = tract::run_once(network, &state)?;
    let state = fused.inner.as_ref().map_or(state.clone(), |inner| inner.apply(&state));
    let mut ours = Forward::default();
    fused.kernel.run(&state, &mut ours.mean, Some(&mut ours.log_std));
    let log_stds = ours.log_std.iter().zip(&theirs.log_std);
    let log_stds = log_stds.map(|(ours, theirs)| (fused.squashing.log_std.of(*ours), squashing.log_std.of(*theirs)));
    let mut both = ours.mean.iter().copied().zip(theirs.mean.iter().copied()).chain(log_stds);
    // Anything that is not a number differs.
    Ok(both.all(|(ours, theirs)| (ours - theirs).abs() <= TOLERANCE * theirs.abs().max(1.0)))
}
