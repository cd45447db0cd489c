//! Runs any graph on tract.

mod runnable;
#[cfg(test)]
mod tests;

use anyhow::{Result, ensure};
use tract_onnx::prelude::*;

use crate::model::Forward;
use crate::onnx::{Network, Rows};
use runnable::Runnable;

/// A network on tract.
pub struct Tract {
    network: Network,
    optimised: bool,
    /// Takes one state, or as many as the graph is fixed to.
    base: Runnable,
    /// Made for the first batch.
    many_rows: Option<ManyRows>,
}

enum ManyRows {
    Together(Box<Runnable>),
    /// Runs one row after the other. The graph is fixed to one state, as exporters without dynamic axes write it, or an
    /// action would depend on the other states of its batch.
    RowByRow,
}

impl Tract {
    /// # Errors
    ///
    /// Fails if tract cannot run the graph, or if the graph is fixed to a number of states whose actions depend on each
    /// other.
    pub fn new(network: Network, optimised: bool) -> Result<Self> {
        let base = Runnable::new(network.base(), &network, optimised)?;
        let mut tract = Tract { network, optimised, base, many_rows: None };
        if let Rows::Fixed(rows) = tract.network.interface.rows {
            let (probes, alone) = tract.probe()?;
            let agrees = collect([tract.base.run(&repeated(&probes, rows * tract.network.state_dim))?], usize::MAX)?;
            let expected = Forward {
                mean: repeated(&alone.mean, agrees.mean.len()),
                log_std: repeated(&alone.log_std, agrees.log_std.len()),
            };
            ensure!(
                is_near(&agrees, &expected),
                "the graph computes an action from all {rows} states of a batch together: export it in eval mode, for one state"
            );
        }
        Ok(tract)
    }

    /// Returns `true` unless the graph for batches is still to be made.
    pub fn is_ready_for_batches(&self) -> bool {
        self.many_rows.is_some() || self.network.interface.rows != Rows::Any
    }

    /// Runs the network on row-major states [rows, state_dim], of which there must be at least one.
    pub fn run(&mut self, states: &[f32]) -> Result<Forward> {
        if states.len() == self.network.state_dim || self.network.interface.rows != Rows::Any {
            return run_in_parts(&mut self.base, &self.network, states);
        }
        if self.many_rows.is_none() {
            self.many_rows = Some(self.make_many_rows(states));
        }
        match &mut self.many_rows {
            Some(ManyRows::Together(rows)) => collect([rows.run(states)?], usize::MAX),
            _ => run_in_parts(&mut self.base, &self.network, states),
        }
    }

    /// Batches run together if they can, and if each state then has the action that it has alone.
    fn make_many_rows(&mut self, states: &[f32]) -> ManyRows {
        let model = self.network.any_rows();
        let rows = model.and_then(|model| Runnable::new(model, &self.network, self.optimised));
        rows.and_then(|mut rows| {
            let (probes, alone) = self.probe()?;
            ensure!(
                is_near(&collect([rows.run(&probes)?], usize::MAX)?, &alone),
                "the graph mixes the states of a batch"
            );
            rows.run(states)?;
            Ok(ManyRows::Together(Box::new(rows)))
        })
        .unwrap_or(ManyRows::RowByRow)
    }

    /// Returns three different states, and the outputs for each of them alone.
    fn probe(&mut self) -> Result<(Vec<f32>, Forward)> {
        // A Weyl sequence: numbers spread over [-1, 1), and then over wider ranges.
        let number = |i: usize| ((i as f32 * 0.618_034).fract() * 2.0 - 1.0) * (1 + i / self.network.state_dim) as f32;
        let probes = (0..3 * self.network.state_dim).map(number).collect::<Vec<_>>();
        let mut alone = Forward::default();
        for state in probes.chunks_exact(self.network.state_dim) {
            let Forward { mean, log_std } = run_in_parts(&mut self.base, &self.network, state)?;
            alone.mean.extend(mean);
            alone.log_std.extend(log_std);
        }
        Ok((probes, alone))
    }
}

/// Runs the graph on one state as it is written, which takes less time than to optimise it first.
pub fn run_once(network: &Network, state: &[f32]) -> Result<Forward> {
    run_in_parts(&mut Runnable::new(network.base(), network, false)?, network, state)
}

/// Runs the graph on as many states at a time as it takes. If it is fixed to a number of them, copies of the last state
/// make up for those that are missing.
fn run_in_parts(base: &mut Runnable, network: &Network, states: &[f32]) -> Result<Forward> {
    let (state_dim, rows) = (network.state_dim, states.len() / network.state_dim);
    let at_once = if let Rows::Fixed(at_once) = network.interface.rows { at_once } else { 1 };
    let run = |part: &[f32]| {
        if part.len() == at_once * state_dim {
            return base.run(part);
        }
        let mut padded = part.to_vec();
        padded.extend(repeated(&part[part.len() - state_dim..], at_once * state_dim - part.len()));
        base.run(&padded)
    };
    let parts = states.chunks(at_once * state_dim).map(run).collect::<Result<Vec<_>>>()?;
    collect(parts, rows * network.action_dim)
}

fn repeated(numbers: &[f32], length: usize) -> Vec<f32> {
    numbers.iter().copied().cycle().take(length).collect()
}

/// Joins the outputs of parts, and cuts them to `length` numbers.
fn collect(parts: impl IntoIterator<Item = TVec<TValue>>, length: usize) -> Result<Forward> {
    let mut forward = Forward::default();
    for outputs in parts {
        forward.mean.extend_from_slice(outputs[0].try_as_plain_ram()?.as_slice::<f32>()?);
        if let Some(log_std) = outputs.get(1) {
            forward.log_std.extend_from_slice(log_std.try_as_plain_ram()?.as_slice::<f32>()?);
        }
    }
    forward.mean.truncate(length);
    forward.log_std.truncate(length);
    Ok(forward)
}

/// The largest difference that another order of summation makes, relative to numbers above 1.
const TOLERANCE: f32 = 1e-5;

/// Returns `true` if both are of one length and their numbers differ by no more than rounding. A NaN differs from
/// everything.
fn is_near(found: &Forward, expected: &Forward) -> bool {
    let pairs = |found: &[f32], expected: &[f32]| {
        found.len() == expected.len()
            && found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= TOLERANCE * b.abs().max(1.0))
    };
    pairs(&found.mean, &expected.mean) && pairs(&found.log_std, &expected.log_std)
}
