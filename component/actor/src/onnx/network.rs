//! A graph with the interface of an actor, as tract understands it.

use std::fmt::Debug;

use anyhow::{Context, Result, bail, ensure};
use tract_onnx::pb::{GraphProto, ModelProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::{DimLike, Factoid};

use crate::model::Outputs;

/// A graph from `state` to `mean` and `log_std`, or to `action`.
pub struct Network {
    graph: InferenceModel,
    one_row: TypedModel,
    pub outputs: Outputs,
    pub state_dim: usize,
    pub action_dim: usize,
}

impl Network {
    /// Parses a graph.
    ///
    /// # Errors
    ///
    /// Fails unless the inputs and outputs are those of an actor. The error says what was found and what was expected.
    pub fn new(proto: &ModelProto) -> Result<Self> {
        let is_defined = |name: &str| proto.graph.as_ref().is_some_and(|graph| defines(graph, name));
        for output in proto.graph.iter().flat_map(|graph| &graph.output) {
            ensure!(is_defined(&output.name), "output `{}` is computed by no node of the graph", output.name);
        }
        let graph = tract_onnx::onnx().parse(proto, None).context("unusable ONNX graph")?;
        ensure!(
            graph.unresolved_inputs.is_empty(),
            "the graph uses undefined values: {}",
            graph.unresolved_inputs.join(", ")
        );
        let graph = graph.model;
        let state_dim = state_dim(&graph)?;
        let (graph, outputs) = select_outputs(graph)?;
        let one_row =
            typed(&graph, state_dim, 1.to_dim()).context("the graph does not fit a state of shape [1, state_dim]")?;
        let action_dim = action_dim(&one_row)?;
        Ok(Network { graph, one_row, outputs, state_dim, action_dim })
    }

    /// Returns the graph for one state.
    pub fn one_row(&self) -> TypedModel {
        self.one_row.clone()
    }

    /// Returns the graph for any number of states.
    ///
    /// # Errors
    ///
    /// Fails if the graph is fixed to one state, as exporters without dynamic axes write it.
    pub fn any_rows(&self) -> Result<TypedModel> {
        typed(&self.graph, self.state_dim, self.graph.symbols.sym("rows").into())
    }
}

/// Returns the graph for an input of [rows, state_dim].
fn typed(graph: &InferenceModel, state_dim: usize, rows: TDim) -> Result<TypedModel> {
    let fact = InferenceFact::dt_shape(f32::datum_type(), [rows, state_dim.to_dim()]);
    graph.clone().with_input_fact(0, fact)?.into_typed()
}

fn defines(graph: &GraphProto, name: &str) -> bool {
    graph.node.iter().any(|node| node.output.iter().any(|output| output == name))
        || graph.initializer.iter().any(|tensor| tensor.name == name)
        || graph.input.iter().any(|input| input.name == name)
}

fn state_dim(graph: &InferenceModel) -> Result<usize> {
    let names = graph.input_outlets()?.iter().map(|outlet| graph.node(outlet.node).name.as_str()).collect::<Vec<_>>();
    ensure!(names == ["state"], "one input named `state` is expected, found {}", list(&names));
    let fact = graph.input_fact(0)?;
    if let Some(found) = fact.datum_type.concretize() {
        ensure!(found == f32::datum_type(), "input `state`: f32 is expected, found {found:?}");
    }
    let rank = fact.shape.rank().concretize().context("input `state` has no shape, [batch, state_dim] is expected")?;
    ensure!(rank == 2, "input `state`: rank 2, [batch, state_dim], is expected, found rank {rank}");
    let dim = fact.shape.dim(1).and_then(|dim| dim.concretize()).and_then(|dim| dim.to_usize().ok());
    dim.filter(|dim| *dim > 0).context("input `state`: the second dimension must be a number, state_dim")
}

fn select_outputs(graph: InferenceModel) -> Result<(InferenceModel, Outputs)> {
    let outlets = graph.output_outlets()?.to_vec();
    let names = outlets.iter().map(|outlet| graph.outlet_label(*outlet).unwrap_or("?")).collect::<Vec<_>>();
    let named = |wanted: &str| names.iter().position(|name| *name == wanted).map(|index| outlets[index]);
    let (selected, outputs) = match (named("mean"), named("log_std"), named("action")) {
        (Some(mean), Some(log_std), _) => (vec![mean, log_std], Outputs::MeanAndLogStd),
        (None, None, Some(action)) | (Some(action), None, None) => (vec![action], Outputs::Action),
        _ => bail!("outputs `mean` and `log_std`, or `action`, are expected, found {}", list(&names)),
    };
    Ok((graph.with_output_outlets(&selected)?, outputs))
}

fn action_dim(model: &TypedModel) -> Result<usize> {
    let mut dims = Vec::new();
    for outlet in model.output_outlets()? {
        let name = model.outlet_label(*outlet).unwrap_or("output");
        let fact = model.outlet_fact(*outlet)?;
        ensure!(fact.datum_type == f32::datum_type(), "output `{name}`: f32 is expected, found {:?}", fact.datum_type);
        match fact.shape.as_concrete() {
            Some([1, dim]) if *dim > 0 => dims.push(*dim),
            _ => bail!("output `{name}`: shape [batch, action_dim] is expected, found {:?} for one state", fact.shape),
        }
    }
    ensure!(
        dims.windows(2).all(|pair| pair[0] == pair[1]),
        "`mean` and `log_std` must have one dimension, found {} and {}",
        dims[0],
        dims[1]
    );
    Ok(dims[0])
}

fn list(names: &[impl Debug]) -> String {
    if names.is_empty() { "none".to_owned() } else { format!("{names:?}") }
}
