//! The operators of ONNX that an actor may use.
//!
//! tract's own list holds every operator that tract knows, and each that a list holds is in the component, with all that
//! it calls: audio, recurrence, quantisation and trees are a fifth of it. This list holds what exporters write for actors.
//! Most operators are those of tract's, with the attributes that ONNX gives them; [`lowered`] makes the others.

mod activation;
mod arithmetic;
mod attributes;
mod convolution;
mod indexing;
mod lowered;
mod normalisation;
mod reduction;
mod shape;
#[cfg(test)]
mod tests;

use anyhow::{Context, Result, bail};
use tract_onnx::Onnx;
use tract_onnx::model::{OnnxOpRegister, ParseResult, ParsingContext};
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto};
use tract_onnx::tract_hir::internal::*;

use super::IS_RECURRENT;

/// The result of a builder: the operator, and the names of the outer values that its graphs use.
type Built = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

/// Makes an operator from a node.
type Builder = fn(&ParsingContext, &NodeProto) -> Built;

/// Parses a graph whose operators are all in the list.
///
/// # Errors
///
/// Fails if a node has another operator, which the error names, or if its attributes do not fit.
pub fn parse(proto: &ModelProto) -> Result<ParseResult> {
    // Exporters leave shapes of the example in the file, which contradict the graph for any other number of states.
    let parser = Onnx { op_register: register(), ignore_value_info: true, ..Onnx::default() };
    check(proto.graph.as_ref().context("the model holds no graph")?, &parser.op_register)?;
    parser.parse(proto, None)
}

fn check(graph: &GraphProto, register: &OnnxOpRegister) -> Result<()> {
    for node in &graph.node {
        if !register.0.contains_key(&node.op_type) {
            let is_recurrent = ["LSTM", "GRU", "RNN"].contains(&node.op_type.as_str());
            let [colon, reason] = if is_recurrent { [": ", IS_RECURRENT] } else { [""; 2] };
            bail!("the operator `{:.256}` is not supported{colon}{reason}", node.op_type);
        }
        let inner = node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs));
        inner.into_iter().try_for_each(|graph| check(graph, register))?;
    }
    Ok(())
}

fn register() -> OnnxOpRegister {
    let mut register = OnnxOpRegister::default();
    // Comparisons, `Where` and `If`.
    tract_onnx::ops::logic::register_all_ops(&mut register);
    tract_onnx::ops::cumsum::register_all_ops(&mut register);
    let lists = [
        activation::BUILDERS,
        arithmetic::BUILDERS,
        convolution::BUILDERS,
        indexing::BUILDERS,
        normalisation::BUILDERS,
        reduction::BUILDERS,
        shape::BUILDERS,
    ];
    for (name, builder) in lists.into_iter().flatten() {
        register.insert(name, *builder);
    }
    register
}

/// Returns an operator that uses no value from outside of its node.
fn alone(operator: Box<dyn InferenceOp>) -> Built {
    Ok((operator, vec![]))
}
