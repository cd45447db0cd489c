//! Puts the dimensions of tensors in another order.

use std::rc::Rc;

use anyhow::{Context, Result, ensure};

use super::axis;
use crate::program::graph::{Graph, integers};
use crate::program::value::{Constant, Content, Dim, Handle, Kind, Tensor, Value};

pub fn transposed(graph: &mut Graph, handle: &Handle, a: i64, b: i64) -> Result<Value> {
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

pub fn strides(sizes: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; sizes.len()];
    for i in (1..sizes.len()).rev() {
        strides[i - 1] = strides[i].saturating_mul(sizes[i]);
    }
    strides
}

/// Reads a constant by the size and the stride of each dimension, from an offset.
pub fn gathered(
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
