//! Reads what nodes have in common.

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// Returns the place of each input among those that the node has, by its place in the definition of the operator.
pub fn inputs<const N: usize>(node: &NodeProto) -> [Option<usize>; N] {
    let mut count = 0;
    std::array::from_fn(|i| {
        let found = node.input.get(i).is_some_and(|input| !input.is_empty());
        count += usize::from(found);
        found.then(|| count - 1)
    })
}

/// Returns `true` if the node has the output of that place in the definition of the operator.
pub fn has_output(node: &NodeProto, place: usize) -> bool {
    node.output.get(place).is_some_and(|output| !output.is_empty())
}

pub fn float(node: &NodeProto, name: &str, usual: f32) -> TractResult<f32> {
    Ok(node.get_attr_opt(name)?.unwrap_or(usual))
}

pub fn integer(node: &NodeProto, name: &str, usual: i64) -> TractResult<i64> {
    Ok(node.get_attr_opt(name)?.unwrap_or(usual))
}

/// Returns the axis that a number stands for, which counts from the end if it is negative.
pub fn axis(number: i64, rank: usize) -> TractResult<usize> {
    let found = if number < 0 { i64::try_from(rank)?.checked_add(number) } else { Some(number) };
    let found = found.and_then(|axis| usize::try_from(axis).ok()).filter(|axis| *axis <= rank);
    found.with_context(|| format!("axis {number} of a value of rank {rank}"))
}
