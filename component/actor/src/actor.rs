use anyhow::{Context, Result, ensure};
use tract_onnx::prelude::*;

use crate::onnx::{self, Heads, Network};
use crate::plan::Plan;

/// The policy network of a checkpoint, ready to run.
pub struct Actor {
    network: Network,
    optimised: bool,
    one_row: Plan,
    /// Made when it is first asked for.
    many_rows: Option<ManyRows>,
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
    /// Not clamped. Empty for a checkpoint that is deterministic only.
    pub log_std: Vec<f32>,
}

impl Actor {
    /// Reads and validates a checkpoint: its interface, and that a state of zeros gives finite outputs.
    pub fn load(bytes: &[u8], optimised: bool) -> Result<Self> {
        let network = Network::parse(bytes)?;
        let one_row = Plan::new(&network, 1.to_dim(), optimised)?;
        let mut actor = Actor { network, optimised, one_row, many_rows: None };
        let zeros = vec![0.0; actor.state_dim()];
        let forward = actor.forward(&zeros).context("a forward pass on zeros failed")?;
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

    pub fn format(&self) -> &'static str {
        onnx::FORMAT
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

    /// Runs the network on row-major [rows, state_dim], of at least one row.
    pub fn forward(&mut self, states: &[f32]) -> Result<Forward> {
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
