//! Guards the operators of tract that take indices. They panic if one is out of range, and that costs the instance.

use anyhow::Result;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{Gather, GatherElements, GatherNd, OneHot, ScatterElements, ScatterNd};
use tract_onnx::tract_core::ops::logic::IfThenElse;

/// Puts a check before each input of indices that the graph computes, also in the graphs within nodes.
pub fn guard(model: &mut TypedModel) -> Result<()> {
    for node in 0..model.nodes.len() {
        if let Some(branches) = model.node_mut(node).op_as_mut::<IfThenElse>() {
            guard(&mut branches.then_body)?;
            guard(&mut branches.else_body)?;
        }
        if let Some((slot, check)) = check(model, node)? {
            let name = format!("{}.indices", model.node(node).name);
            let checked = model.wire_node(name, check, &[model.node(node).inputs[slot]])?[0];
            model.add_edge(checked, InletId::new(node, slot))?;
        }
    }
    Ok(())
}

/// Returns the input of indices that a node has, and the check for it. None if they are constant: tract then knows them.
fn check(model: &TypedModel, node: usize) -> Result<Option<(usize, InRange)>> {
    let node = model.node(node);
    let inputs = model.node_input_facts(node.id)?;
    let Some(dims) = inputs.first().and_then(|data| data.shape.as_concrete()) else { return Ok(None) };
    let from_end = |slot: usize, size: Option<&usize>| size.map(|size| (slot, vec![*size], true));
    // Their last axis holds one index for each axis of the data from `first` on.
    let tuple = |first: usize| {
        let count = inputs.get(1)?.shape.as_concrete()?.last()?;
        Some((1, dims.get(first..first.checked_add(*count)?)?.to_vec(), false))
    };
    let found = if let Some(gather) = node.op_as::<Gather>() {
        from_end(1, dims.get(gather.axis))
    } else if let Some(gather) = node.op_as::<GatherElements>() {
        from_end(1, dims.get(gather.axis))
    } else if let Some(scatter) = node.op_as::<ScatterElements>() {
        from_end(1, dims.get(scatter.axis))
    } else if let Some(one_hot) = node.op_as::<OneHot>() {
        from_end(0, Some(&one_hot.dim))
    } else if let Some(gather) = node.op_as::<GatherNd>() {
        tuple(gather.batch_dims)
    } else if node.op_is::<ScatterNd>() {
        tuple(0)
    } else {
        None
    };
    let found = found.filter(|(slot, sizes, _)| !sizes.is_empty() && inputs.get(*slot).is_some_and(is_computed));
    Ok(found.map(|(slot, sizes, from_end)| (slot, InRange { sizes, from_end })))
}

fn is_computed(fact: &&TypedFact) -> bool {
    fact.konst.is_none()
}

/// Passes indices on if all of them are within the sizes of the axes that they stand for, which take turns.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct InRange {
    sizes: Vec<usize>,
    /// True if a negative index counts from the end.
    from_end: bool,
}

impl Op for InRange {
    fn name(&self) -> StaticName {
        "InRange".into()
    }

    op_as_typed_op!();
}

impl EvalOp for InRange {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let indices = inputs[0].cast_to::<i64>()?;
        let indices = indices.try_as_plain_ram()?;
        for (index, size) in indices.as_slice::<i64>()?.iter().zip(self.sizes.iter().cycle()) {
            let end = i64::try_from(*size)?;
            let least = if self.from_end { -end } else { 0 };
            ensure!((least..end).contains(index), "index {index} is out of range for an axis of {size}");
        }
        Ok(inputs)
    }
}

impl TypedOp for InRange {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].without_value()))
    }

    as_op!();
}
