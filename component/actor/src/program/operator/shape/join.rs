//! Joins tensors, and repeats them to a common shape.

use anyhow::{Context, Result, bail, ensure};

use super::axis;
use crate::program::graph::{Graph, integer};
use crate::program::operator::make::expanded;
use crate::program::value::{Dim, Tensor, Value};

pub fn expand(graph: &mut Graph, x: &Tensor, sizes: &[Option<Dim>]) -> Result<Tensor> {
    let skipped = sizes.len().checked_sub(x.rank()).context("it has fewer sizes than dimensions")?;
    let keep = |i: usize| i.checked_sub(skipped).map_or(Dim::Known(1), |i| x.shape[i]);
    let shape = sizes.iter().enumerate().map(|(i, size)| size.unwrap_or_else(|| keep(i))).collect();
    expanded(graph, x, shape)
}

pub fn broadcast(graph: &mut Graph, tensors: &[Tensor]) -> Result<Value> {
    let mut shape = vec![];
    for tensor in tensors {
        shape = graph.broadcast(&shape, &tensor.shape)?;
    }
    let expanded = tensors.iter().map(|tensor| expanded(graph, tensor, shape.clone()).map(Tensor::value));
    Value::list(expanded.collect::<Result<_>>()?)
}

pub fn joined(graph: &mut Graph, tensors: &[Tensor], dim: i64) -> Result<Tensor> {
    let [first, rest @ ..] = tensors else { bail!("it joins no tensors") };
    let at = axis(dim, first.rank())?;
    if first.shape[at] == Dim::Batch && !rest.is_empty() {
        graph.take_one_state()?;
    }
    let mut shape = first.shape.clone();
    for tensor in rest {
        ensure!(tensor.rank() == shape.len(), "it joins tensors of different numbers of dimensions");
        for (i, dim) in tensor.shape.iter().enumerate().filter(|(i, _)| *i != at) {
            shape[i] = graph.unify(shape[i], *dim)?;
        }
        shape[at] = match (graph.resolve(shape[at]), graph.resolve(tensor.shape[at])) {
            (Dim::Known(a), Dim::Known(b)) => Dim::Known(a.saturating_add(b)),
            (Dim::State(plus), Dim::Known(size)) | (Dim::Known(size), Dim::State(plus)) => {
                Dim::State(plus.saturating_add_unsigned(size))
            }
            _ => bail!("it joins states with one another, or before state_dim is known"),
        };
    }
    let kind = first.kind;
    let inputs = tensors.iter().collect::<Vec<_>>();
    Ok(Tensor { kind, ..graph.add_with("Concat", &inputs, &[], vec![integer("axis", at as i64)], shape)? })
}
