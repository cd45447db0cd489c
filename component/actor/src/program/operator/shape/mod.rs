//! Operators that rearrange numbers: reshaping, transposing, slicing and joining. The dimension of the states keeps its
//! order, so each state has its own result; a program that mixes states is fixed to one of them.

mod join;
mod permute;
mod reshape;
mod slice;

use anyhow::{Context, Result};

use super::Arguments;
use super::make::expanded;
use crate::program::graph::Graph;
use crate::program::value::{Tensor, Value};

use join::{broadcast, expand, joined};
pub use permute::permuted;
use permute::transposed;
use reshape::{flattened, reshaped, squeeze};
pub use reshape::{squeezed, unsqueezed};
use slice::{gather, index, known, select, slice, split};

pub fn call(graph: &mut Graph, name: &str, arguments: &Arguments) -> Result<Option<Value>> {
    let handle = || arguments.handle(0, "self");
    let x = || arguments.tensor(0, "self");
    let number = |index, name, default: i64| anyhow::Ok(arguments.integer(index, name)?.unwrap_or(default));
    Ok(Some(match name {
        "flatten" => {
            let (start, end) = (number(1, "start_dim", 0)?, number(2, "end_dim", -1)?);
            let sizes = flattened(graph, &x()?, start, end)?;
            reshaped(graph, handle()?, &sizes)?
        }
        "view" | "reshape" | "_unsafe_view" => {
            let name = if name == "reshape" { "shape" } else { "size" };
            reshaped(graph, handle()?, &arguments.sizes(1, name)?)?
        }
        "view_as" | "reshape_as" => {
            let sizes = arguments.tensor(1, "other")?.shape.into_iter().map(Some).collect::<Vec<_>>();
            reshaped(graph, handle()?, &sizes)?
        }
        "unsqueeze" => {
            let (x, dim) = (x()?, number(1, "dim", 0)?);
            unsqueezed(graph, &x, axis(dim, x.rank() + 1)?)?.value()
        }
        "squeeze" => squeeze(graph, arguments)?,
        "t" | "numpy_T" => transposed(graph, handle()?, 0, -1)?,
        "transpose" | "swapdims" => transposed(graph, handle()?, number(1, "dim0", 0)?, number(2, "dim1", 1)?)?,
        "swapaxes" => transposed(graph, handle()?, number(1, "axis0", 0)?, number(2, "axis1", 1)?)?,
        "permute" => {
            let (x, dims) = (x()?, arguments.integers(1, "dims")?);
            let order = dims.into_iter().map(|dim| axis(dim, x.rank())).collect::<Result<Vec<_>>>()?;
            permuted(graph, &x, &order)?.value()
        }
        "expand" | "broadcast_to" => {
            let (x, sizes) = (x()?, arguments.sizes(1, "size")?);
            expand(graph, &x, &sizes)?.value()
        }
        "expand_as" => {
            let other = arguments.tensor(1, "other")?;
            expanded(graph, &x()?, other.shape)?.value()
        }
        "broadcast_tensors" => broadcast(graph, &arguments.tensors(0, "tensors")?)?,
        "cat" | "concat" | "concatenate" => {
            let dim = number(1, "dim", 0)?;
            joined(graph, &arguments.tensors(0, "tensors")?, dim)?.value()
        }
        "stack" => {
            let (tensors, dim) = (arguments.tensors(0, "tensors")?, number(1, "dim", 0)?);
            let rank = tensors.first().context("it joins no tensors")?.rank() + 1;
            let at = axis(dim, rank)?;
            let rows = tensors.iter().map(|tensor| unsqueezed(graph, tensor, at)).collect::<Result<Vec<_>>>()?;
            joined(graph, &rows, at as i64)?.value()
        }
        "slice" => {
            let step = number(4, "step", 1)?;
            let (dim, start) = (number(1, "dim", 0)?, number(2, "start", 0)?);
            slice(graph, handle()?, dim, start, number(3, "end", i64::MAX)?, step)?
        }
        "narrow" => {
            let (start, length) = (number(2, "start", 0)?, number(3, "length", 0)?);
            slice(graph, handle()?, number(1, "dim", 0)?, start, start.saturating_add(length), 1)?
        }
        "select" => {
            let (dim, index) = (number(1, "dim", 0)?, number(2, "index", 0)?);
            select(graph, &x()?, dim, index)?.value()
        }
        "unbind" => {
            let (x, dim) = (x()?, number(1, "dim", 0)?);
            let count = known(graph, &x, axis(dim, x.rank())?)?;
            let parts = (0..count as i64).map(|i| select(graph, &x, dim, i).map(Tensor::value));
            Value::list(parts.collect::<Result<_>>()?)?
        }
        "chunk" | "split" | "split_with_sizes" => split(graph, name, arguments)?,
        "index_select" => {
            let index = arguments.tensor(2, "index")?;
            gather(graph, &x()?, number(1, "dim", 0)?, &index)?.value()
        }
        "index" => index(graph, arguments)?,
        _ => return Ok(None),
    }))
}

/// Returns the dimension that a number names; a negative one counts from the end.
pub fn axis(dim: i64, rank: usize) -> Result<usize> {
    let from_start = if dim < 0 { dim + rank as i64 } else { dim };
    let axis = usize::try_from(from_start).ok().filter(|axis| *axis < rank);
    axis.with_context(|| format!("dimension {dim} is out of the range of {rank} dimensions"))
}
