//! A network run by tract.

mod runnable;

use anyhow::Result;
use tract_onnx::prelude::*;

use crate::onnx::Network;
use crate::run::Forward;
use crate::run::tract::runnable::Runnable;

pub struct Tract {
    network: Network,
    optimised: bool,
    one_row: Runnable,
    /// Made when it is first asked for.
    many_rows: Option<ManyRows>,
}

enum ManyRows {
    Together(Box<Runnable>),
    /// A graph that is fixed to one state, as exporters without dynamic axes write it.
    RowByRow,
}

impl Tract {
    pub fn new(network: Network, optimised: bool) -> Result<Self> {
        let one_row = Runnable::new(network.one_row(), &network, optimised)?;
        Ok(Tract { network, optimised, one_row, many_rows: None })
    }

    /// Whether a batch would have to be planned first.
    pub fn is_planned(&self) -> bool {
        self.many_rows.is_some()
    }

    /// Runs the network on row-major [rows, state_dim], of at least one row.
    pub fn run(&mut self, states: &[f32]) -> Result<Forward> {
        if states.len() == self.network.state_dim {
            return collect([self.one_row.run(states)?]);
        }
        if self.many_rows.is_none() {
            self.many_rows = Some(self.plan_many_rows(states));
        }
        match &mut self.many_rows {
            Some(ManyRows::Together(rows)) => collect([rows.run(states)?]),
            _ => states
                .chunks(self.network.state_dim)
                .map(|row| self.one_row.run(row))
                .collect::<Result<Vec<_>>>()
                .and_then(collect),
        }
    }

    fn plan_many_rows(&self, states: &[f32]) -> ManyRows {
        let model = self.network.any_rows();
        let rows = model.and_then(|model| Runnable::new(model, &self.network, self.optimised));
        rows.and_then(|mut rows| rows.run(states).map(|_| ManyRows::Together(Box::new(rows))))
            .unwrap_or(ManyRows::RowByRow)
    }
}

/// Runs the graph as it is written on one state. That takes less time than to optimise it first.
pub fn run_once(network: &Network, state: &[f32]) -> Result<Forward> {
    collect([Runnable::new(network.one_row(), network, false)?.run(state)?])
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
