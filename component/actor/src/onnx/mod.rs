//! An ONNX checkpoint: input `state` [batch, state_dim] of f32; outputs `mean` and `log_std`, or `action` alone,
//! [batch, action_dim].

mod build;
mod export;
mod recognise;

use std::collections::HashMap;
use std::fmt::Debug;

use anyhow::{Context, Result, bail, ensure};
pub use build::model;
pub use export::export;
use prost::Message;
pub use recognise::{Recognised, recognise};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::{DimLike, Factoid};

use crate::file::contents::Contents;
use crate::layout::MAX_NUMBERS;

/// What the graph's outputs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heads {
    /// Outputs `mean` and `log_std`, before squashing.
    Gaussian,
    /// One output `action`, taken as it is.
    Action,
}

/// A graph whose interface is that of an actor.
pub struct Network {
    graph: InferenceModel,
    one_row: TypedModel,
    pub heads: Heads,
    pub state_dim: usize,
    pub action_dim: usize,
}

/// Decodes a file.
pub fn read(bytes: &[u8]) -> Result<ModelProto> {
    let model = ModelProto::decode(bytes).context("not a checkpoint of a known format, and not an ONNX model")?;
    // An activation can hide what is not a number.
    for tensor in model.graph.iter().flat_map(|graph| &graph.initializer) {
        ensure!(!holds_nan(tensor), "`{}` holds NaN: finite weights are expected", tensor.name);
    }
    let numbers = layers(&model).into_iter().map(|(_, inputs, outputs)| inputs.saturating_mul(outputs));
    let numbers = numbers.fold(0, usize::saturating_add);
    // Each layer is planned with weights of its own, whatever it shares with others.
    ensure!(numbers <= MAX_NUMBERS, "the layers take {numbers} numbers, {MAX_NUMBERS} at most are expected");
    // The exporters write this field last: without it the file has been cut short.
    ensure!(!model.opset_import.is_empty(), "the ONNX model has no opset_import: the file is incomplete");
    Ok(model)
}

fn holds_nan(tensor: &TensorProto) -> bool {
    let raw = tensor.raw_data.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    tensor.data_type == i32::from(DataType::Float) && raw.chain(tensor.float_data.iter().copied()).any(f32::is_nan)
}

/// What `metadata_props` says, by name.
pub fn metadata(model: &ModelProto) -> Result<Contents> {
    let mut contents = Contents::default();
    model.metadata_props.iter().try_for_each(|property| contents.insert_setting(&property.key, &property.value))?;
    Ok(contents)
}

/// The linear layers of a graph, in the order of their computation: name, inputs, outputs.
pub fn layers(model: &ModelProto) -> Vec<(String, usize, usize)> {
    let Some(graph) = &model.graph else { return vec![] };
    let constants = constants(graph);
    let products = graph.node.iter().filter(|node| ["Gemm", "MatMul"].contains(&node.op_type.as_str()));
    let layer = |node: &NodeProto| {
        let weight = node.input.get(1)?;
        let [rows, columns] = constants.get(weight.as_str())?.dims[..] else { return None };
        let (rows, columns) = (usize::try_from(rows).ok()?, usize::try_from(columns).ok()?);
        let transposed = node.attribute.iter().any(|attribute| attribute.name == "transB" && attribute.i != 0);
        let (inputs, outputs) = if transposed { (columns, rows) } else { (rows, columns) };
        Some((weight.strip_suffix(".weight").unwrap_or(weight).to_owned(), inputs, outputs))
    };
    products.filter_map(layer).collect()
}

/// The tensors that a graph holds, by the names of their values.
fn constants(graph: &GraphProto) -> HashMap<&str, &TensorProto> {
    let made = graph.node.iter().filter(|node| node.op_type == "Constant").filter_map(|node| {
        Some((node.output.first()?.as_str(), node.attribute.iter().find_map(|attribute| attribute.t.as_ref())?))
    });
    graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).chain(made).collect()
}

impl Network {
    /// Checks inputs and outputs. The error says what was found and what was expected.
    pub fn of(proto: &ModelProto) -> Result<Self> {
        let known = |name: &str| proto.graph.as_ref().is_some_and(|g| defines(g, name));
        for output in proto.graph.iter().flat_map(|g| &g.output) {
            ensure!(known(&output.name), "output `{}` is computed by no node of the graph", output.name);
        }
        let graph = tract_onnx::onnx().parse(proto, None).context("unusable ONNX graph")?;
        ensure!(
            graph.unresolved_inputs.is_empty(),
            "the graph uses undefined values: {}",
            graph.unresolved_inputs.join(", ")
        );
        let graph = graph.model;
        let state_dim = state_dim(&graph)?;
        let (graph, heads) = select_heads(graph)?;
        let one_row =
            typed(&graph, state_dim, 1.to_dim()).context("the graph does not fit a state of shape [1, state_dim]")?;
        let action_dim = check_outputs(&one_row)?;
        Ok(Network { graph, one_row, heads, state_dim, action_dim })
    }

    /// The graph for one state.
    pub fn one_row(&self) -> TypedModel {
        self.one_row.clone()
    }

    /// The graph for any number of states.
    pub fn any_rows(&self) -> Result<TypedModel> {
        typed(&self.graph, self.state_dim, self.graph.symbols.sym("rows").into())
    }
}

/// For inputs of [rows, state_dim].
fn typed(graph: &InferenceModel, state_dim: usize, rows: TDim) -> Result<TypedModel> {
    let fact = InferenceFact::dt_shape(f32::datum_type(), [rows, state_dim.to_dim()]);
    graph.clone().with_input_fact(0, fact)?.into_typed()
}

fn check_outputs(model: &TypedModel) -> Result<usize> {
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
        dims.windows(2).all(|d| d[0] == d[1]),
        "`mean` and `log_std` must have one dimension, found {} and {}",
        dims[0],
        dims[1]
    );
    Ok(dims[0])
}

fn defines(graph: &GraphProto, name: &str) -> bool {
    graph.node.iter().any(|n| n.output.iter().any(|o| o == name))
        || graph.initializer.iter().any(|i| i.name == name)
        || graph.input.iter().any(|i| i.name == name)
}

fn state_dim(graph: &InferenceModel) -> Result<usize> {
    let names = graph.input_outlets()?.iter().map(|o| graph.node(o.node).name.as_str()).collect::<Vec<_>>();
    ensure!(names == ["state"], "one input named `state` is expected, found {}", list(&names));
    let fact = graph.input_fact(0)?;
    if let Some(found) = fact.datum_type.concretize() {
        ensure!(found == f32::datum_type(), "input `state`: f32 is expected, found {found:?}");
    }
    let rank = fact.shape.rank().concretize().context("input `state` has no shape, [batch, state_dim] is expected")?;
    ensure!(rank == 2, "input `state`: rank 2, [batch, state_dim], is expected, found rank {rank}");
    let dim = fact.shape.dim(1).and_then(|d| d.concretize()).and_then(|d| d.to_usize().ok());
    dim.filter(|d| *d > 0).context("input `state`: the second dimension must be a number, state_dim")
}

fn select_heads(graph: InferenceModel) -> Result<(InferenceModel, Heads)> {
    let outputs = graph.output_outlets()?.to_vec();
    let names = outputs.iter().map(|o| graph.outlet_label(*o).unwrap_or("?")).collect::<Vec<_>>();
    let named = |wanted: &str| names.iter().position(|n| *n == wanted).map(|i| outputs[i]);
    let (selected, heads) = match (named("mean"), named("log_std"), named("action")) {
        (Some(mean), Some(log_std), _) => (vec![mean, log_std], Heads::Gaussian),
        (None, None, Some(action)) => (vec![action], Heads::Action),
        _ => bail!("outputs `mean` and `log_std`, or `action`, are expected, found {}", list(&names)),
    };
    Ok((graph.with_output_outlets(&selected)?, heads))
}

fn list(names: &[impl Debug]) -> String {
    if names.is_empty() { "none".to_owned() } else { format!("{names:?}") }
}
