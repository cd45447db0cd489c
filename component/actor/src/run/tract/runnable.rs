//! A graph that is ready to run.

use anyhow::{Context, Result, ensure};
use tract_onnx::prelude::*;

use super::indices;
use super::work;

/// A graph of tract's with the buffers that it runs in.
pub struct Runnable {
    state: TypedSimpleState,
    /// The shape that the graph takes: [rows, state_dim], or [state_dim].
    shape: TVec<usize>,
    pub rows: usize,
    action_dim: usize,
    /// True if the time of a pass depends on the numbers of the state.
    pub depends_on_state: bool,
}

impl Runnable {
    /// Makes a graph ready to run.
    pub fn new(mut model: TypedModel, action_dim: usize, optimised: bool) -> Result<Self> {
        let shape = model.input_fact(0)?.shape.as_concrete().context("the graph takes no state of a fixed shape")?;
        let shape = TVec::from_slice(shape);
        let rows = if let [rows, _] = shape[..] { rows } else { 1 };
        indices::guard(&mut model)?;
        let depends_on_state = work::depends_on_state(&model);
        if optimised {
            model = model.into_optimized().context("the graph cannot be optimised")?;
        }
        let state = model.into_runnable().context("the graph cannot be run")?.spawn()?;
        Ok(Runnable { state, shape, rows, action_dim, depends_on_state })
    }

    /// Runs the graph on as many states as it takes and returns each output, row-major [rows, action_dim].
    pub fn run(&mut self, states: &[f32]) -> Result<TVec<TValue>> {
        let (rows, columns) = (self.rows, self.action_dim);
        let outputs = self.state.run(tvec!(Tensor::from_shape(&self.shape, states)?.into()))?;
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
