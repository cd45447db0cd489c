//! Runs any graph on tract, one state at a time: a state has the same bits alone and in a batch, whatever the graph does
//! across its batch. tract itself multiplies a batch in another order than a single row.

mod indices;
mod runnable;
#[cfg(test)]
mod tests;
mod work;

use anyhow::{Result, ensure};
use tract_onnx::prelude::*;

use crate::model::Forward;
use crate::onnx::{Network, Rows};
use runnable::Runnable;

/// A network on tract.
pub struct Tract {
    pass: Runnable,
    state_dim: usize,
    action_dim: usize,
}

impl Tract {
    /// # Errors
    ///
    /// Fails if tract cannot run the graph, or if the graph is fixed to a number of states whose actions depend on each
    /// other.
    pub fn new(network: &Network, optimised: bool) -> Result<Self> {
        let mut tract = Tract::of(network.base(), network, optimised)?;
        if let Rows::Fixed(rows) = network.interface.rows {
            let probes = probes(network.state_dim);
            let alone = tract.run(&probes)?;
            tract.check_apart(&probes, &alone, rows)?;
            // A pass over one state takes less than one over as many as the graph is fixed to.
            let single = network.with_rows(1).and_then(|model| {
                let mut single = Tract::of(model, network, optimised)?;
                ensure!(is_near(&single.run(&probes)?, &alone), "the graph gives another action for one state");
                Ok(single)
            });
            tract = single.unwrap_or(tract);
        }
        Ok(tract)
    }

    fn of(model: TypedModel, network: &Network, optimised: bool) -> Result<Self> {
        let Network { state_dim, action_dim, .. } = *network;
        Ok(Tract { pass: Runnable::new(model, action_dim, optimised)?, state_dim, action_dim })
    }

    /// Returns `true` if the time of a pass depends on the numbers of the state.
    pub fn depends_on_state(&self) -> bool {
        self.pass.depends_on_state
    }

    /// Runs the network on row-major states [rows, state_dim], of which there must be at least one.
    pub fn run(&mut self, states: &[f32]) -> Result<Forward> {
        let mut forward = Forward::default();
        for state in states.chunks_exact(self.state_dim) {
            // The other rows of a graph that is fixed to several are copies, so that they are the same in every batch.
            let outputs = match self.pass.rows {
                1 => self.pass.run(state)?,
                rows => self.pass.run(&state.repeat(rows))?,
            };
            append(&mut forward, &outputs, self.action_dim)?;
            if state.iter().any(|number| number.abs() > MAX_NUMBER) {
                let mean = forward.mean.len() - self.action_dim;
                forward.mean[mean..].fill(f32::NAN);
            }
        }
        Ok(forward)
    }

    /// Checks that different states in one pass have the actions that each of them has alone.
    fn check_apart(&mut self, probes: &[f32], alone: &Forward, rows: usize) -> Result<()> {
        let mut together = Forward::default();
        let outputs = self.pass.run(&repeated(probes, rows * self.state_dim))?;
        append(&mut together, &outputs, rows * self.action_dim)?;
        let expected = Forward {
            mean: repeated(&alone.mean, together.mean.len()),
            log_std: repeated(&alone.log_std, together.log_std.len()),
        };
        ensure!(
            is_near(&together, &expected),
            "the graph computes an action from all {rows} states of a batch together: export it in eval mode, for one state"
        );
        Ok(())
    }
}

/// A state with a larger number gives no action: the layers' sums may overflow, and tract's activations turn NaN into numbers.
const MAX_NUMBER: f32 = 1e30;

/// Runs the graph on one state as it is written, which takes less time than to optimise it first.
pub fn run_once(network: &Network, state: &[f32]) -> Result<Forward> {
    Tract::of(network.base(), network, false)?.run(state)
}

/// Returns three different states.
fn probes(state_dim: usize) -> Vec<f32> {
    // A Weyl sequence: numbers spread over [-1, 1), and then over wider ranges.
    let number = |i: usize| ((i as f32 * 0.618_034).fract() * 2.0 - 1.0) * (1 + i / state_dim) as f32;
    (0..3 * state_dim).map(number).collect()
}

fn repeated(numbers: &[f32], length: usize) -> Vec<f32> {
    numbers.iter().copied().cycle().take(length).collect()
}

/// Appends the first `length` numbers of each output.
fn append(forward: &mut Forward, outputs: &[TValue], length: usize) -> Result<()> {
    for (all, output) in [&mut forward.mean, &mut forward.log_std].into_iter().zip(outputs) {
        let numbers = output.try_as_plain_ram()?;
        all.extend(numbers.as_slice::<f32>()?.iter().take(length));
    }
    Ok(())
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
