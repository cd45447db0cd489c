use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tract_onnx::prelude::*;

use crate::model::{Description, Model};
use crate::onnx::{Heads, Network};
use crate::plan::Plan;
use crate::policy::{Normalisation, Squashing};

/// The policy network of a checkpoint, ready to run.
pub struct Actor {
    network: Network,
    normalisation: Option<Normalisation>,
    squashing: Squashing,
    description: Description,
    optimised: bool,
    one_row: Plan,
    /// Made when it is first asked for.
    many_rows: Option<ManyRows>,
    /// What one state took when the checkpoint was validated.
    row_time: Duration,
}

enum ManyRows {
    Plan(Plan),
    /// A graph that is fixed to one state, as exporters without dynamic axes write it.
    RowByRow,
}

/// What the network says of a batch of states, each row-major [rows, action_dim].
#[derive(Debug, Default, PartialEq)]
pub struct Forward {
    /// The mean before squashing, or the action itself where there is no `log_std`.
    pub mean: Vec<f32>,
    /// As the network gives it. Empty for a checkpoint that is deterministic only.
    pub log_std: Vec<f32>,
}

impl Actor {
    /// Makes a model ready to run, and checks that a state of zeros gives finite outputs.
    pub fn new(model: Model, optimised: bool) -> Result<Self> {
        let Model { network, normalisation, squashing, description, .. } = model;
        let one_row = Plan::new(&network, 1.to_dim(), optimised)?;
        let (many_rows, row_time) = (None, Duration::MAX);
        let mut actor =
            Actor { network, normalisation, squashing, description, optimised, one_row, many_rows, row_time };
        let zeros = vec![0.0; actor.state_dim()];
        let mut forward = Forward::default();
        // The first pass finds caches cold.
        for _ in 0..2 {
            let start = Instant::now();
            forward = actor.forward(&zeros).context("a forward pass on zeros failed")?;
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
        self.network.state_dim
    }

    pub fn action_dim(&self) -> usize {
        self.network.action_dim
    }

    pub fn stochastic(&self) -> bool {
        self.network.heads == Heads::Gaussian
    }

    pub fn optimised(&self) -> bool {
        self.optimised
    }

    /// About how long [`Actor::forward`] takes for so many rows: at least as long, where a plan has to be made first.
    pub fn expected_time(&self, rows: usize) -> Duration {
        let planning = if rows > 1 && self.many_rows.is_none() { Self::PLANNING } else { Duration::ZERO };
        planning + self.row_time.saturating_mul(u32::try_from(rows).unwrap_or(u32::MAX))
    }

    /// What it takes to optimise a small network.
    const PLANNING: Duration = Duration::from_millis(2);

    /// Runs the network on row-major [rows, state_dim], of at least one row.
    pub fn forward(&mut self, states: &[f32]) -> Result<Forward> {
        match self.normalisation.as_ref().map(|normalisation| normalisation.apply(states)) {
            Some(normalised) => self.run(&normalised),
            None => self.run(states),
        }
    }

    fn run(&mut self, states: &[f32]) -> Result<Forward> {
        if states.len() == self.state_dim() {
            return collect([self.one_row.run(states)?]);
        }
        if self.many_rows.is_none() {
            self.many_rows = Some(self.plan_many_rows(states));
        }
        match &mut self.many_rows {
            Some(ManyRows::Plan(plan)) => collect([plan.run(states)?]),
            _ => states
                .chunks(self.network.state_dim)
                .map(|row| self.one_row.run(row))
                .collect::<Result<Vec<_>>>()
                .and_then(collect),
        }
    }

    fn plan_many_rows(&self, states: &[f32]) -> ManyRows {
        let plan = Plan::new(&self.network, self.network.any_rows(), self.optimised);
        plan.and_then(|mut plan| plan.run(states).map(|_| ManyRows::Plan(plan))).unwrap_or(ManyRows::RowByRow)
    }
}

fn collect(parts: impl IntoIterator<Item = TVec<TValue>>) -> Result<Forward> {
    let mut forward = Forward::default();
    for outputs in parts {
        forward.mean.extend_from_slice(outputs[0].try_as_plain_ram()?.as_slice::<f32>()?);
        if let Some(log_std) = outputs.get(1) {
            forward.log_std.extend_from_slice(log_std.try_as_plain_ram()?.as_slice::<f32>()?);
        }
    }
    Ok(forward)
}
