//! A graph with the interface of an actor, as tract understands it.

use anyhow::{Context, Result, bail, ensure};
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;

use super::interface::{Interface, Rows};
use super::operators;
use crate::model::{check_action_dim, check_fixed, check_state_dim};

/// A graph from `state` to `mean` and `log_std`, or to `action`.
pub struct Network {
    graph: InferenceModel,
    base: TypedModel,
    /// The names in the file, and how they were chosen.
    pub interface: Interface,
    pub state_dim: usize,
    pub action_dim: usize,
}

impl Network {
    /// Parses a graph that [`super::select`] returned, or that [`super::build::model`] built.
    ///
    /// # Errors
    ///
    /// Fails if tract cannot run the graph, if a state or an action is too long, or if an output has not one number of each
    /// kind for each dimension of an action. The error says what was found and what was expected.
    pub fn new(proto: &ModelProto, interface: Interface) -> Result<Self> {
        check_state_dim(interface.state_dim)?;
        let fixed = if let Rows::Fixed(rows) = interface.rows { rows } else { 1 };
        check_fixed(fixed, interface.state_dim, "states")?;
        let graph = operators::parse(proto).context("unusable ONNX graph")?;
        ensure!(
            graph.unresolved_inputs.is_empty(),
            "the graph uses undefined values: {}",
            graph.unresolved_inputs.join(", ")
        );
        let (graph, state_dim) = (graph.model, interface.state_dim);
        let shape: &[usize] = match interface.rows {
            Rows::Any => &[1, state_dim],
            Rows::Fixed(rows) => &[rows, state_dim],
            Rows::Single => &[state_dim],
        };
        let base = typed(&graph, shape.iter().map(ToDim::to_dim))
            .with_context(|| format!("the graph does not fit a state of shape {shape:?}"))?;
        let action_dim = action_dim(&base, &interface)?;
        check_action_dim(action_dim)?;
        check_fixed(fixed, action_dim, "actions")?;
        Ok(Network { graph, base, interface, state_dim, action_dim })
    }

    /// Returns the graph for as many states as it takes at least: one, or as many as it is fixed to.
    pub fn base(&self) -> TypedModel {
        self.base.clone()
    }

    /// Returns the graph for another number of states.
    ///
    /// # Errors
    ///
    /// Fails if something in the graph besides its input is fixed to a number of states.
    pub fn with_rows(&self, rows: usize) -> Result<TypedModel> {
        typed(&self.graph, [rows.to_dim(), self.state_dim.to_dim()])
    }
}

/// Returns the graph for an input of a shape.
fn typed(graph: &InferenceModel, shape: impl IntoIterator<Item = TDim>) -> Result<TypedModel> {
    let fact = InferenceFact::dt_shape(f32::datum_type(), shape.into_iter().collect::<TVec<_>>());
    graph.clone().with_input_fact(0, fact)?.into_typed()
}

fn action_dim(model: &TypedModel, interface: &Interface) -> Result<usize> {
    let rows = if let Rows::Fixed(rows) = interface.rows { rows } else { 1 };
    let mut dims = Vec::new();
    for (outlet, name) in model.output_outlets()?.iter().zip(&interface.outputs) {
        let fact = model.outlet_fact(*outlet)?;
        ensure!(fact.datum_type == f32::datum_type(), "output `{name}`: f32 is expected, found {:?}", fact.datum_type);
        match fact.shape.as_concrete() {
            Some([found, dim]) if *found == rows && *dim > 0 => dims.push(*dim),
            // A module that squeezes its output.
            Some([dim]) if rows == 1 && *dim > 0 => dims.push(*dim),
            Some([found]) if *found == rows => dims.push(1),
            _ => bail!(
                "output `{name}`: shape [batch, action_dim] is expected, found {:?} for {rows} state{}",
                fact.shape,
                if rows == 1 { "" } else { "s" }
            ),
        }
    }
    ensure!(
        dims.windows(2).all(|pair| pair[0] == pair[1]),
        "`mean` and `log_std` must have one dimension, found {} and {}",
        dims[0],
        dims.last().unwrap_or(&0)
    );
    dims.first().copied().context("the graph has no output")
}
