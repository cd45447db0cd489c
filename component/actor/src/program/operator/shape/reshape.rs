//! Gives tensors another shape, in which each state keeps its own row.

use anyhow::{Result, bail, ensure};

use super::axis;
use crate::program::graph::Graph;
use crate::program::operator::Arguments;
use crate::program::value::{Dim, Handle, Tensor, Value};

pub fn flattened(graph: &mut Graph, x: &Tensor, start: i64, end: i64) -> Result<Vec<Option<Dim>>> {
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
pub fn reshaped(graph: &mut Graph, handle: &Handle, sizes: &[Option<Dim>]) -> Result<Value> {
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
pub fn target_shape(graph: &mut Graph, x: &Tensor, sizes: &[Option<Dim>]) -> Result<Vec<Dim>> {
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
pub fn rest_fits(source: &[Dim], sizes: &[Option<Dim>]) -> bool {
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
pub fn fitted(graph: &mut Graph, source: &[Dim], sizes: &[Option<Dim>]) -> Result<Vec<Dim>> {
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

pub fn squeeze(graph: &mut Graph, arguments: &Arguments) -> Result<Value> {
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
            // The result depends on the number of states, which is one for each answer.
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
