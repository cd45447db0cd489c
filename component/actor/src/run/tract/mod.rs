//! Runs any graph on tract.

mod runnable;

use anyhow::Result;
use tract_onnx::prelude::*;

use crate::model::Forward;
use crate::onnx::Network;
use runnable::Runnable;

/// A network on tract.
pub struct Tract {
    network: Network,
    optimised: bool,
    one_row: Runnable,
    /// Made for the first batch.
    many_rows: Option<ManyRows>,
}

enum ManyRows {
    Together(Box<Runnable>),
    /// Runs one row after the other. The graph is fixed to one state, as exporters without dynamic axes write it.
    RowByRow,
}

impl Tract {
    pub fn new(network: Network, optimised: bool) -> Result<Self> {
        let one_row = Runnable::new(network.one_row(), &network, optimised)?;
        Ok(Tract { network, optimised, one_row, many_rows: None })
    }

    /// Returns `true` unless the graph for batches is still to be made.
    pub fn is_ready_for_batches(&self) -> bool {
        self.many_rows.is_some()
    }

    /// Runs the network on row-major states [rows, state_dim], of which there must be at least one.
    pub fn run(&mut self, states: &[f32]) -> Result<Forward> {
        if states.len() == self.network.state_dim {
            return collect([self.one_row.run(states)?]);
        }
        if self.many_rows.is_none() {
            self.many_rows = Some(self.make_many_rows(states));
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

    fn make_many_rows(&self, states: &[f32]) -> ManyRows {
        let model = self.network.any_rows();
        let rows = model.and_then(|model| Runnable::new(model, &self.network, self.optimised));
        rows.and_then(|mut rows| rows.run(states).map(|_| ManyRows::Together(Box::new(rows))))
            .unwrap_or(ManyRows::RowByRow)
    }
}

/// Runs the graph on one state as it is written, which takes less time than to optimise it first.
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
