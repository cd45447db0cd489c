//! Takes parts of tensors.

use anyhow::{Context, Result, bail, ensure};

use super::axis;
use super::join::joined;
use super::permute::{gathered, strides};
use super::reshape::squeezed;
use crate::program::graph::{Graph, size_text};
use crate::program::operator::Arguments;
use crate::program::value::{Dim, Handle, Kind, Tensor, Value};

pub fn slice(graph: &mut Graph, handle: &Handle, dim: i64, start: i64, end: i64, step: i64) -> Result<Value> {
    let x = handle.read()?;
    let at = axis(dim, x.rank())?;
    ensure!(step == 1, "it takes each {step}th element, which is not served");
    // PyTorch writes the largest number, of 64 or of 63 bits, for the end.
    let is_open = end >= i64::MAX >> 1 || end == i64::from(i32::MAX);
    if start == 0 && is_open {
        return Ok(Value::Tensor(handle.clone()));
    }
    if graph.resolve(x.shape[at]) == Dim::Batch {
        graph.take_one_state()?;
    }
    sliced(graph, &x, at, start, (!is_open).then_some(end)).map(Tensor::value)
}

/// Takes the elements from `start` to before `end`, which count from the end if they are negative.
pub fn sliced(graph: &mut Graph, x: &Tensor, at: usize, start: i64, end: Option<i64>) -> Result<Tensor> {
    let (start, end, size) = match graph.resolve(x.shape[at]) {
        Dim::Known(size) => {
            let clamped = |i: i64| if i < 0 { (i + size as i64).max(0) } else { i.min(size as i64) };
            let start = clamped(start);
            let end = end.map_or(size as i64, clamped).max(start);
            (start, end, Dim::Known(usize::try_from(end - start)?))
        }
        Dim::State(plus) => state_slice(graph, plus, start, end)?,
        Dim::Batch => bail!("it takes some of the states of a batch, which is not served"),
    };
    let mut shape = x.shape.clone();
    shape[at] = size;
    if let (Some(constant), Some(sizes), Some(new)) =
        (x.as_constant(), x.known_shape(), Tensor { shape: shape.clone(), ..x.clone() }.known_shape())
    {
        let strides = strides(&sizes);
        let steps = new.into_iter().zip(strides.iter().copied()).collect::<Vec<_>>();
        let offset = usize::try_from(start)?.saturating_mul(strides[at]);
        return gathered(graph, constant, &steps, offset, shape, x.kind);
    }
    let lists: [&[i64]; 3] = [&[start], &[end], &[at as i64]];
    Ok(Tensor { kind: x.kind, ..graph.add_with("Slice", &[x], &lists, vec![], shape)? })
}

/// Returns the bounds and the size of a slice of state_dim + `plus` elements.
pub fn state_slice(graph: &mut Graph, plus: isize, start: i64, end: Option<i64>) -> Result<(i64, i64, Dim)> {
    let (from, to) = (isize::try_from(start)?, isize::try_from(end.unwrap_or(i64::MAX)).unwrap_or(isize::MAX));
    let (least, size) = match (start < 0, end) {
        (false, Some(end)) if end >= start => (to, Dim::Known(usize::try_from(end - start)?)),
        (false, Some(end)) if end < 0 => {
            (from.saturating_sub(to), Dim::State(plus.saturating_sub(from).saturating_add(to)))
        }
        (false, None) => (from, Dim::State(plus.saturating_sub(from))),
        (true, None) => (from.saturating_neg(), Dim::Known(usize::try_from(start.saturating_neg())?)),
        (true, Some(end)) if end < 0 && end >= start => {
            (from.saturating_neg(), Dim::Known(usize::try_from(end - start)?))
        }
        _ => bail!("it takes a part of the state before state_dim is known"),
    };
    graph.need_state_dim(usize::try_from(least.saturating_sub(plus)).unwrap_or(0));
    Ok((start, end.unwrap_or(i64::MAX), size))
}

pub fn select(graph: &mut Graph, x: &Tensor, dim: i64, index: i64) -> Result<Tensor> {
    let at = axis(dim, x.rank())?;
    match graph.resolve(x.shape[at]) {
        Dim::Batch => graph.take_one_state()?,
        Dim::Known(size) => {
            ensure!(index < size as i64 && index >= -(size as i64), "it reads element {index} of a dimension of {size}")
        }
        Dim::State(_) => {}
    }
    let end = if index == -1 { None } else { Some(index.saturating_add(1)) };
    let one = sliced(graph, x, at, index, end)?;
    squeezed(graph, &one, &[at])
}

pub fn split(graph: &mut Graph, name: &str, arguments: &Arguments) -> Result<Value> {
    let x = arguments.tensor(0, "self")?;
    let at = axis(arguments.integer(2, "dim")?.unwrap_or(0), x.rank())?;
    let given = match name {
        "chunk" => arguments.integers(1, "chunks")?,
        "split_with_sizes" => arguments.integers(1, "split_sizes")?,
        _ if arguments.get(1, "split_size").is_some() => arguments.integers(1, "split_size")?,
        _ => arguments.integers(1, "split_sizes")?,
    };
    let given = given.into_iter().map(usize::try_from).collect::<Result<Vec<_>, _>>().context("a size is negative")?;
    let is_list = name == "split_with_sizes" || matches!(arguments.get(1, "split_size"), Some(Value::List(_)));
    let sizes = if is_list {
        given
    } else {
        let size = known(graph, &x, at)?;
        let number = given.first().copied().filter(|number| *number > 0).context("a size is zero")?;
        let part = if name == "chunk" { size.div_ceil(number) } else { number };
        (0..size).step_by(part.max(1)).map(|start| part.min(size - start)).collect()
    };
    let (mut start, mut parts) = (0usize, vec![]);
    for size in sizes {
        let end = start.saturating_add(size);
        parts.push(sliced(graph, &x, at, i64::try_from(start)?, Some(i64::try_from(end)?))?.value());
        start = end;
    }
    Value::list(parts)
}

/// Takes the elements that a constant lists: `x[:, [0, 2]]`.
pub fn index(graph: &mut Graph, arguments: &Arguments) -> Result<Value> {
    let x = arguments.tensor(0, "self")?;
    let indices = arguments.list(1, "indices")?;
    let mut used = indices.iter().enumerate().filter(|(_, index)| !matches!(index, Value::None));
    let (Some((at, Value::Tensor(index))), None) = (used.next(), used.next()) else {
        bail!("it takes elements by more than one list, which is not served");
    };
    gather(graph, &x, at as i64, &index.read()?).map(Tensor::value)
}

pub fn gather(graph: &mut Graph, x: &Tensor, dim: i64, index: &Tensor) -> Result<Tensor> {
    let at = axis(dim, x.rank())?;
    let constant = index.as_constant().filter(|_| index.kind == Kind::Int && index.rank() == 1);
    let constant = constant.context("it takes elements by a list that is no constant, which is not served")?;
    ensure!(graph.resolve(x.shape[at]) != Dim::Batch, "it takes some of the states of a batch, which is not served");
    let mut parts = vec![];
    for number in constant.numbers.iter() {
        let index = *number as i64;
        let end = if index == -1 { None } else { Some(index.saturating_add(1)) };
        if let Dim::Known(size) = graph.resolve(x.shape[at]) {
            ensure!(
                index < size as i64 && index >= -(size as i64),
                "it reads element {index} of a dimension of {size}"
            );
        }
        parts.push(sliced(graph, x, at, index, end)?);
    }
    joined(graph, &parts, at as i64)
}

pub fn known(graph: &Graph, x: &Tensor, axis: usize) -> Result<usize> {
    match graph.resolve(x.shape[axis]) {
        Dim::Known(size) => Ok(size),
        other => bail!("it divides a dimension whose size is {}", size_text(other)),
    }
}
