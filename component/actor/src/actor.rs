use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::kernel::Kernel;
use crate::model::{Description, Model};
use crate::onnx::{Heads, Network, Recognised};
use crate::policy::{Normalisation, Squashing};
use crate::tract::Tract;

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
    /// Makes a model ready to run, and checks that a state of zeros gives finite outputs.
    pub fn new(model: Model, optimised: bool) -> Result<Self> {
        let Model { network, normalisation, squashing, description, recognised, .. } = model;
        let (state_dim, action_dim, row_time) = (network.state_dim, network.action_dim, Duration::MAX);
        let chosen = choose(network, recognised.filter(|_| optimised), optimised, normalisation, squashing)?;
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

    /// What runs the network.
    pub fn plan(&self) -> &'static str {
        match self.engine {
            Engine::Kernel(_) => "kernel",
            Engine::Tract(_) => "tract",
        }
    }

    /// About how long [`Actor::forward`] takes for so many rows: at least as long, where a plan has to be made first.
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

/// The kernel where the network was recognised and gives what tract gives, or else tract.
fn choose(
    network: Network,
    recognised: Option<Recognised>,
    optimised: bool,
    normalisation: Option<Normalisation>,
    squashing: Squashing,
) -> Result<Chosen> {
    let Some(Recognised { dense, normalisation: inner, log_std }) = recognised else {
        let engine = Engine::Tract(Box::new(Tract::new(network, optimised)?));
        return Ok(Chosen { engine, normalisation, squashing });
    };
    let mut kernel = Kernel::pack(&dense);
    // Not optimised, it is the graph as it is written; and that takes less time than to optimise it.
    let mut reference = Tract::new(network, false)?;
    let rule = log_std.map_or(Some(squashing.log_std), |inner| squashing.log_std.after(inner));
    let one_normalisation = normalisation.is_none() || inner.is_none();
    if let (Some(log_std), true) = (rule, one_normalisation) {
        let fused = Squashing { log_std, ..squashing.clone() };
        if agree(&mut kernel, inner.as_ref(), &fused, &mut reference, &squashing, dense.state_dim())? {
            let normalisation = normalisation.or(inner);
            return Ok(Chosen { engine: Engine::Kernel(Box::new(kernel)), normalisation, squashing: fused });
        }
    }
    let tract = reference.optimised(optimised)?;
    Ok(Chosen { engine: Engine::Tract(Box::new(tract)), normalisation, squashing })
}

/// Compares the two on zeros and on numbers spread over [-1, 1) (a Weyl sequence).
fn agree(
    kernel: &mut Kernel,
    normalisation: Option<&Normalisation>,
    fused: &Squashing,
    reference: &mut Tract,
    squashing: &Squashing,
    state_dim: usize,
) -> Result<bool> {
    let spread = (0..state_dim).map(|i| (i as f32 * 0.618_034).fract() * 2.0 - 1.0).collect::<Vec<_>>();
    for state in [vec![0.0; state_dim], spread] {
        let theirs = reference.run(&state)?;
        let state = normalisation.map_or(state.clone(), |normalisation| normalisation.apply(&state));
        let mut ours = Forward::default();
        kernel.run(&state, &mut ours.mean, Some(&mut ours.log_std));
        let log_stds = ours.log_std.iter().zip(&theirs.log_std);
        let log_stds = log_stds.map(|(ours, theirs)| (fused.log_std.of(*ours), squashing.log_std.of(*theirs)));
        let means = ours.mean.iter().copied().zip(theirs.mean.iter().copied());
        // Anything that is not a number differs.
        if !means.chain(log_stds).all(|(ours, theirs)| (ours - theirs).abs() <= TOLERANCE * theirs.abs().max(1.0)) {
            return Ok(false);
        }
    }
    Ok(true)
}
