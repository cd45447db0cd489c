//! A graph that is ready to run.

use anyhow::{Context, Result, ensure};
use tract_onnx::prelude::*;

use crate::onnx::{Network, Rows};

/// A graph of tract's with the buffers that it runs in.
pub struct Runnable {
    state: TypedSimpleState,
    state_dim: usize,
    action_dim: usize,
    /// True if the graph takes a state of one dimension.
    single: bool,
}

impl Runnable {
    /// Makes the graph of a network, for one state or for a number of them, ready to run.
    pub fn new(mut model: TypedModel, network: &Network, optimised: bool) -> Result<Self> {
        if optimised {
            model = model.into_optimized().context("the graph cannot be optimised")?;
        }
        let state = model.into_runnable().context("the graph cannot be run")?.spawn()?;
        let single = network.interface.rows == Rows::Single;
        Ok(Runnable { state, state_dim: network.state_dim, action_dim: network.action_dim, single })
    }

    /// Runs the graph on row-major states [rows, state_dim] and returns each output, row-major [rows, action_dim].
    pub fn run(&mut self, states: &[f32]) -> Result<TVec<TValue>> {
        let (rows, columns) = (states.len() / self.state_dim, self.action_dim);
        let shape: &[usize] = if self.single { &[self.state_dim] } else { &[rows, self.state_dim] };
        let outputs = self.state.run(tvec!(Tensor::from_shape(shape, states)?.into()))?;
        for output in &outputs {
            let shape = output.shape();
            // An output without its batch axis is one row, and one without the other axis has one number a row.
            let fits =
                shape == [rows, columns] || (rows == 1 && shape == [columns]) || (columns == 1 && shape == [rows]);
            ensure!(fits, "{rows} states gave an output of the shape {shape:?}");
        }
        Ok(outputs)
    }
}
