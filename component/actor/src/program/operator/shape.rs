//! Operators that rearrange numbers: reshaping, transposing, slicing and joining. The dimension of the states keeps its
//! order, so each state has its own result; a program that mixes states is fixed to one of them.

use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};

use super::Arguments;
use super::make::expanded;
use crate::program::graph::{Graph, integer, integers, size_text};
use crate::program::value::{Constant, Content, Dim, Handle, Kind, Tensor, Value};

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
        "transpose" | "swapaxes" | "swapdims" => {
            transposed(graph, handle()?, number(1, "dim0", 0)?, number(2, "dim1", 1)?)?
        }
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

fn known(graph: &Graph, x: &Tensor, axis: usize) -> Result<usize> {
    match graph.resolve(x.shape[axis]) {
        Dim::Known(size) => Ok(size),
        other => bail!("it divides a dimension whose size is {}", size_text(other)),
    }
}

fn flattened(graph: &mut Graph, x: &Tensor, start: i64, end: i64) -> Result<Vec<Option<Dim>>> {
    let rank = x.rank().max(1);
    let (start, end) = (axis(start, rank)?, axis(end, rank)?);
    ensure!(start <= end, "its first dimension is after its last");
    if x.shape.get(start..=end).is_some_and(|dims| dims.len() > 1 && dims.contains(&Dim::Batch)) {
        graph.fix_to_one_state();
    }
    let mut sizes = graph.shape(x).into_iter().map(Some).collect::<Vec<_>>();
    if sizes.is_empty() {
        return Ok(vec![Some(Dim::Known(1))]);
    }
    let merged = sizes[start..=end].iter().flatten().filter(|dim| **dim != Dim::Known(1)).copied().collect::<Vec<_>>();
    let merged = match merged[..] {
        [] => Some(Dim::Known(1)),
        [dim] => Some(dim),
        _ => None,
    };
    sizes.splice(start..=end, [merged]);
    Ok(sizes)
}

/// Gives a tensor another shape. The same shape leaves it the same tensor.
fn reshaped(graph: &mut Graph, handle: &Handle, sizes: &[Option<Dim>]) -> Result<Value> {
    let x = handle.read()?;
    let shape = target_shape(graph, &x, sizes)?;
    if shape == graph.shape(&x) { Ok(Value::Tensor(handle.clone())) } else { Ok(reshape(graph, &x, shape)?.value()) }
}

pub fn reshape(graph: &mut Graph, x: &Tensor, shape: Vec<Dim>) -> Result<Tensor> {
    if x.as_constant().is_some() {
        return Ok(Tensor { shape, ..x.clone() });
    }
    // One size may be open.
    let size = |dim: &Dim| if let Dim::Known(size) = graph.resolve(*dim) { size as i64 } else { -1 };
    let list = shape.iter().map(size).collect::<Vec<_>>();
    let open = list.iter().filter(|size| **size == -1).count();
    ensure!(open <= 1, "it reshapes a state before state_dim is known");
    let kind = x.kind;
    Ok(Tensor { kind, ..graph.add_with("Reshape", &[x], &[&list], vec![], shape)? })
}

/// Returns the shape that a list of sizes describes, of which one may be open.
fn target_shape(graph: &mut Graph, x: &Tensor, sizes: &[Option<Dim>]) -> Result<Vec<Dim>> {
    ensure!(sizes.iter().filter(|size| size.is_none()).count() <= 1, "more than one of its sizes is open");
    let source = graph.shape(x);
    if let Some(batch) = source.iter().position(|dim| *dim == Dim::Batch) {
        let target = sizes.iter().position(|size| size.is_some_and(|dim| graph.resolve(dim) == Dim::Batch));
        let is_one = |size: &Option<Dim>| *size == Some(Dim::Known(1));
        // An open size stands for the states if it comes first and the rest has as many numbers as a state.
        let open = sizes.iter().position(Option::is_none).filter(|open| {
            target.is_none() && sizes.len() > open + 1 && rest_fits(&source[batch + 1..], &sizes[open + 1..])
        });
        let leading = |at: usize| sizes[..at].iter().all(is_one);
        if let Some(at) =
            target.or(open).filter(|at| leading(*at) && source[..batch].iter().all(|d| *d == Dim::Known(1)))
        {
            let rest = fitted(graph, &source[batch + 1..], &sizes[at + 1..])?;
            return Ok([vec![Dim::Known(1); at], vec![Dim::Batch], rest].concat());
        }
        graph.fix_to_one_state();
    }
    let source = graph.shape(x);
    fitted(graph, &source, sizes)
}

/// Returns `true` if sizes that are all known may have as many numbers as `source`.
fn rest_fits(source: &[Dim], sizes: &[Option<Dim>]) -> bool {
    fn known(dims: impl IntoIterator<Item = Option<Dim>>) -> Option<usize> {
        dims.into_iter().try_fold(1usize, |product, dim| match dim {
            Some(Dim::Known(size)) => product.checked_mul(size),
            _ => None,
        })
    }
    let own = known(source.iter().copied().map(Some));
    let target = known(sizes.iter().copied());
    target.is_some() && (own == target || matches!(source, [Dim::State(_)]))
}

/// Fills the open size, or settles state_dim, so that `sizes` have as many numbers as `source`.
fn fitted(graph: &mut Graph, source: &[Dim], sizes: &[Option<Dim>]) -> Result<Vec<Dim>> {
    let split = |dims: &[Dim]| {
        let open = dims.iter().copied().filter(|dim| !matches!(dim, Dim::Known(_))).collect::<Vec<_>>();
        let known = dims.iter().map(|dim| if let Dim::Known(size) = dim { *size } else { 1 });
        (known.fold(1usize, usize::saturating_mul), open)
    };
    let given = sizes.iter().flatten().map(|dim| graph.resolve(*dim)).collect::<Vec<_>>();
    let ((have, have_open), (want, want_open)) = (split(source), split(&given));
    let misfit = || {
        format!("it reshapes {have} numbers to {want}: the program may be fixed to another number of states than one")
    };
    let has_gap = sizes.contains(&None);
    let gap = match (&have_open[..], &want_open[..], has_gap) {
        (a, b, true) if a == b => {
            ensure!(want > 0 && have % want == 0, misfit());
            Dim::Known(have / want)
        }
        ([open], [], true) if have == want => *open,
        ([open], [], false) if have > 0 && want % have == 0 => {
            graph.unify(*open, Dim::Known(want / have))?;
            Dim::Known(1)
        }
        (a, b, false) if a == b => {
            ensure!(have == want, misfit());
            Dim::Known(1)
        }
        _ => bail!("it reshapes a tensor whose size is not known, which is not served"),
    };
    Ok(sizes.iter().map(|size| graph.resolve(size.unwrap_or(gap))).collect())
}

/// Adds a dimension of size one.
pub fn unsqueezed(graph: &mut Graph, x: &Tensor, at: usize) -> Result<Tensor> {
    let mut shape = x.shape.clone();
    shape.insert(at, Dim::Known(1));
    if x.as_constant().is_some() {
        return Ok(Tensor { shape, ..x.clone() });
    }
    Ok(Tensor { kind: x.kind, ..graph.add_with("Unsqueeze", &[x], &[&[at as i64]], vec![], shape)? })
}

fn squeeze(graph: &mut Graph, arguments: &Arguments) -> Result<Value> {
    let handle = arguments.handle(0, "self")?;
    let x = handle.read()?;
    let dims = match arguments.get(1, "dim") {
        Some(_) => arguments.integers(1, "dim")?,
        None => (0..x.rank() as i64).collect(),
    };
    let mut axes = vec![];
    for dim in dims {
        let at = axis(dim, x.rank())?;
        match graph.resolve(x.shape[at]) {
            Dim::Known(1) => axes.push(at),
            Dim::Known(_) => {}
            // What it does depends on the number of states, which is one for each answer.
            Dim::Batch => {
                graph.fix_to_one_state();
                axes.push(at);
            }
            Dim::State(_) => bail!("it squeezes a state before state_dim is known"),
        }
    }
    if axes.is_empty() { Ok(Value::Tensor(handle.clone())) } else { Ok(squeezed(graph, &x, &axes)?.value()) }
}

/// Removes dimensions of size one.
pub fn squeezed(graph: &mut Graph, x: &Tensor, axes: &[usize]) -> Result<Tensor> {
    let dims = x.shape.iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, dim)| *dim);
    let shape = dims.collect::<Vec<_>>();
    if x.as_constant().is_some() {
        return Ok(Tensor { shape, ..x.clone() });
    }
    let list = axes.iter().map(|axis| *axis as i64).collect::<Vec<_>>();
    Ok(Tensor { kind: x.kind, ..graph.add_with("Squeeze", &[x], &[&list], vec![], shape)? })
}

fn transposed(graph: &mut Graph, handle: &Handle, a: i64, b: i64) -> Result<Value> {
    let x = handle.read()?;
    if x.rank() < 2 {
        return Ok(Value::Tensor(handle.clone()));
    }
    let mut order = (0..x.rank()).collect::<Vec<_>>();
    order.swap(axis(a, x.rank())?, axis(b, x.rank())?);
    Ok(permuted(graph, &x, &order)?.value())
}

/// Puts the dimensions in another order.
pub fn permuted(graph: &mut Graph, x: &Tensor, order: &[usize]) -> Result<Tensor> {
    let mut sorted = order.to_vec();
    sorted.sort_unstable();
    ensure!(sorted.into_iter().eq(0..x.rank()), "its order names not each dimension once");
    let shape = order.iter().map(|at| x.shape[*at]).collect::<Vec<_>>();
    if let (Some(constant), Some(sizes)) = (x.as_constant(), x.known_shape()) {
        let strides = strides(&sizes);
        let steps = order.iter().map(|at| (sizes[*at], strides[*at])).collect::<Vec<_>>();
        return gathered(graph, constant, &steps, 0, shape, x.kind);
    }
    let order = order.iter().map(|at| *at as i64).collect::<Vec<_>>();
    Ok(Tensor { kind: x.kind, ..graph.add_with("Transpose", &[x], &[], vec![integers("perm", &order)], shape)? })
}

fn strides(sizes: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; sizes.len()];
    for i in (1..sizes.len()).rev() {
        strides[i - 1] = strides[i].saturating_mul(sizes[i]);
    }
    strides
}

/// Reads a constant by the size and the stride of each dimension, from an offset.
fn gathered(
    graph: &mut Graph,
    constant: &Constant,
    steps: &[(usize, usize)],
    offset: usize,
    shape: Vec<Dim>,
    kind: Kind,
) -> Result<Tensor> {
    let count = steps.iter().map(|(size, _)| *size).product();
    graph.charge(count)?;
    let mut numbers = Vec::with_capacity(count);
    for index in 0..count {
        let (mut index, mut at) = (index, offset);
        for (size, stride) in steps.iter().rev() {
            at += index % size * stride;
            index /= size;
        }
        numbers.push(*constant.numbers.get(at).context("a constant is too short")?);
    }
    let content = Content::Constant(Constant { numbers: Rc::new(numbers), label: constant.label.clone() });
    Ok(Tensor { shape, kind, content })
}

fn expand(graph: &mut Graph, x: &Tensor, sizes: &[Option<Dim>]) -> Result<Tensor> {
    let skipped = sizes.len().checked_sub(x.rank()).context("it has fewer sizes than dimensions")?;
    let keep = |i: usize| i.checked_sub(skipped).map_or(Dim::Known(1), |i| x.shape[i]);
    let shape = sizes.iter().enumerate().map(|(i, size)| size.unwrap_or_else(|| keep(i))).collect();
    expanded(graph, x, shape)
}

fn broadcast(graph: &mut Graph, tensors: &[Tensor]) -> Result<Value> {
    let mut shape = vec![];
    for tensor in tensors {
        shape = graph.broadcast(&shape, &tensor.shape)?;
    }
    let expanded = tensors.iter().map(|tensor| expanded(graph, tensor, shape.clone()).map(Tensor::value));
    Value::list(expanded.collect::<Result<_>>()?)
}

fn joined(graph: &mut Graph, tensors: &[Tensor], dim: i64) -> Result<Tensor> {
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

fn slice(graph: &mut Graph, handle: &Handle, dim: i64, start: i64, end: i64, step: i64) -> Result<Value> {
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
fn sliced(graph: &mut Graph, x: &Tensor, at: usize, start: i64, end: Option<i64>) -> Result<Tensor> {
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
fn state_slice(graph: &mut Graph, plus: isize, start: i64, end: Option<i64>) -> Result<(i64, i64, Dim)> {
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

fn select(graph: &mut Graph, x: &Tensor, dim: i64, index: i64) -> Result<Tensor> {
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

fn split(graph: &mut Graph, name: &str, arguments: &Arguments) -> Result<Value> {
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
fn index(graph: &mut Graph, arguments: &Arguments) -> Result<Value> {
    let x = arguments.tensor(0, "self")?;
    let indices = arguments.list(1, "indices")?;
    let mut used = indices.iter().enumerate().filter(|(_, index)| !matches!(index, Value::None));
    let (Some((at, Value::Tensor(index))), None) = (used.next(), used.next()) else {
        bail!("it takes elements by more than one list, which is not served");
    };
    gather(graph, &x, at as i64, &index.read()?).map(Tensor::value)
}

fn gather(graph: &mut Graph, x: &Tensor, dim: i64, index: &Tensor) -> Result<Tensor> {
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
