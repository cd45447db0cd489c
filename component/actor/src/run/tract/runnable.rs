//! A graph that is ready to run.

use anyhow::{Context, Result, ensure};
use tract_onnx::prelude::*;

use crate::onnx::Network;

/// A graph of tract's with the buffers that it runs in.
pub struct Runnable {
    state: TypedSimpleState,
    state_dim: usize,
    action_dim: usize,
}

impl Runnable {
    /// Makes the graph of a network, for one state or for any number of them, ready to run.
    pub fn new(mut model: TypedModel, network: &Network, optimised: bool) -> Result<Self> {
        if optimised {
            model = model.into_optimized().context("the graph cannot be optimised")?;
        }
        let state = model.into_runnable().context("the graph cannot be run")?.spawn()?;
        Ok(Runnable { state, state_dim: network.state_dim, action_dim: network.action_dim })
    }

    /// Runs the graph on row-major states [rows, state_dim] and returns each output, row-major [rows, action_dim].
    pub fn run(&mut self, states: &[f32]) -> Result<TVec<TValue>> {
        let rows = states.len() / self.state_dim;
        let input = Tensor::from_shape(&[rows, self.state_dim], states)?;
        let outputs = self.state.run(tvec!(input.into()))?;
        for output in &outputs {
            ensure!(
                output.shape() == [rows, self.action_dim],
                "{rows} states gave an output of the shape {:?}",
                output.shape()
            );
        }
        Ok(outputs)
    }
}
