//! Operators that reduce axes, and softmax.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::nn::{LayerLogSoftmax, LayerSoftmax, Reduce, Reducer, Softmax};

use super::attributes::integer;
use super::lowered::{Lowered, Wiring};
use super::{Builder, Built, alone};

pub const BUILDERS: &[(&str, Builder)] = &[
    ("ReduceL1", |context, node| reduce(context, node, Reducer::L1)),
    ("ReduceL2", |context, node| reduce(context, node, Reducer::L2)),
    ("ReduceLogSum", |context, node| reduce(context, node, Reducer::LogSum)),
    ("ReduceLogSumExp", |context, node| reduce(context, node, Reducer::LogSumExp)),
    ("ReduceMax", |context, node| reduce(context, node, Reducer::Max)),
    ("ReduceMean", |context, node| reduce(context, node, Reducer::Mean)),
    ("ReduceMin", |context, node| reduce(context, node, Reducer::Min)),
    ("ReduceProd", |context, node| reduce(context, node, Reducer::Prod)),
    ("ReduceSum", |context, node| reduce(context, node, Reducer::Sum)),
    ("ReduceSumSquare", |context, node| reduce(context, node, Reducer::SumSquare)),
    ("ArgMax", |_, node| index_of(node, Reducer::ArgMax(takes_last(node)?))),
    ("ArgMin", |_, node| index_of(node, Reducer::ArgMin(takes_last(node)?))),
    ("Softmax", |context, node| {
        let (axis, is_flat) = axis(context, node)?;
        alone(if is_flat { expand(LayerSoftmax::new(axis, true)) } else { expand(Softmax::new(axis)) })
    }),
    ("LogSoftmax", |context, node| {
        let (axis, is_flat) = axis(context, node)?;
        alone(expand(LayerLogSoftmax::new(axis, is_flat)))
    }),
];

/// Returns the axis, and `true` if it and all that follow count as one, as below opset 13.
fn axis(context: &ParsingContext, node: &NodeProto) -> TractResult<(isize, bool)> {
    let is_flat = context.onnx_operator_set_version < 13;
    Ok((node.get_attr_opt("axis")?.unwrap_or(if is_flat { 1 } else { -1 }), is_flat))
}

fn takes_last(node: &NodeProto) -> TractResult<bool> {
    Ok(node.get_attr_opt("select_last_index")?.unwrap_or(false))
}

fn index_of(node: &NodeProto, reducer: Reducer) -> Built {
    let axis = integer(node, "axis", 0)?;
    alone(expand(Reduce::new(Some(vec![axis]), integer(node, "keepdims", 1)? == 1, reducer)))
}

fn reduce(context: &ParsingContext, node: &NodeProto, reducer: Reducer) -> Built {
    let keeps = integer(node, "keepdims", 1)? == 1;
    // The axes are an input of `ReduceSum` since opset 13, and of the others since opset 18.
    let since = if node.op_type == "ReduceSum" { 13 } else { 18 };
    if context.onnx_operator_set_version < since {
        return alone(expand(Reduce::new(node.get_attr_opt_vec("axes")?, keeps, reducer)));
    }
    let reduces_none = integer(node, "noop_with_empty_axes", 0)? == 1;
    let has_axes = node.input.len() == 2;
    let reduce = move |graph: &mut Wiring, inputs: &[OutletId]| {
        let input = *inputs.first().context("an input is expected")?;
        let mut axes = if has_axes { graph.integers(inputs[1])? } else { vec![] };
        if axes.is_empty() && !reduces_none {
            axes = (0..graph.rank(input)?).map(|axis| axis as i64).collect();
        }
        Ok(graph.expanded(&Reduce::new(Some(axes), keeps, reducer), &[input])?[0])
    };
    Lowered::new("Reduce", reduce).with_constants(has_axes.then_some(1)).build()
}
