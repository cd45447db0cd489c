//! Operators that sum over dimensions.

use anyhow::{Result, ensure};

use super::Arguments;
use super::elementwise::binary;
use super::shape::axis;
use crate::program::graph::{Graph, integer, integers};
use crate::program::value::{Dim, Kind, Tensor, Value};

pub fn call(graph: &mut Graph, name: &str, arguments: &Arguments) -> Result<Option<Value>> {
    if !["mean", "sum"].contains(&name) {
        return Ok(None);
    }
    let x = arguments.tensor(0, "self")?;
    let Some(dims) = arguments.get(1, "dim") else {
        anyhow::bail!("it sums over all states, which is not served: name the dimension");
    };
    let dims = if let Value::List(_) | Value::Int(_) = dims { arguments.integers(1, "dim")? } else { vec![] };
    ensure!(!dims.is_empty(), "it sums over all states, which is not served: name the dimension");
    let axes = dims.into_iter().map(|dim| axis(dim, x.rank())).collect::<Result<Vec<_>>>()?;
    let keep = arguments.flag(2, "keepdim")?;
    let mean = mean(graph, &x, &axes, keep)?;
    if name == "mean" {
        return Ok(Some(mean.value()));
    }
    let count = axes.iter().map(|axis| if let Dim::Known(size) = graph.resolve(x.shape[*axis]) { size } else { 1 });
    let count = count.fold(1usize, usize::saturating_mul);
    Ok(Some(binary(graph, "Mul", &mean, &Tensor::scalar(count as f32))?.value()))
}

/// The mean over some dimensions.
pub fn mean(graph: &mut Graph, x: &Tensor, axes: &[usize], keep: bool) -> Result<Tensor> {
    ensure!(x.kind == Kind::Float, "it sums over numbers that are not floats, which is not served");
    let mut shape = graph.shape(x);
    for axis in axes {
        ensure!(shape[*axis] != Dim::Batch, "it sums over the states of a batch, which is not served");
        ensure!(matches!(shape[*axis], Dim::Known(_)), "it sums over a state before state_dim is known");
        shape[*axis] = Dim::Known(1);
    }
    let width = graph.width(&graph.shape(x))?;
    graph.charge(width)?;
    let list = axes.iter().map(|axis| *axis as i64).collect::<Vec<_>>();
    let attributes = vec![integers("axes", &list), integer("keepdims", 1)];
    let reduced = graph.add_with("ReduceMean", &[x], &[], attributes, shape.clone())?;
    if keep {
        return Ok(reduced);
    }
    let dims = shape.iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, dim)| *dim);
    graph.add_with("Squeeze", &[&reduced], &[&list], vec![], dims.collect())
}
