//! Operators that normalise.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_core::ops::logic::{Iff, comp_eq};
use tract_onnx::tract_core::ops::math::{add, div, mul, rsqrt, sqrt, square, sub};
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::nn;

use super::attributes::{axis, float, has_output, inputs, integer};
use super::lowered::{Lowered, Wiring};
use super::{Builder, Built};

pub const BUILDERS: &[(&str, Builder)] = &[
    ("BatchNormalization", batch),
    ("GroupNormalization", group),
    ("InstanceNormalization", instance),
    ("LayerNormalization", layer),
    ("LpNormalization", lp),
    ("RMSNormalization", root_mean_square),
];

/// Adds the last axes that a value of one number for each channel lacks beside one of a rank.
fn by_channel(graph: &mut Wiring, value: OutletId, rank: usize) -> TractResult<OutletId> {
    ensure!(graph.rank(value)? == 1, "one axis is expected, found {}", graph.rank(value)?);
    (1..rank.saturating_sub(1)).try_fold(value, |value, axis| graph.node(AxisOp::Add(axis), &[value]))
}

/// Returns the mean of a value over axes that it keeps.
fn mean(graph: &mut Wiring, value: OutletId, axes: &[usize]) -> TractResult<OutletId> {
    let fact = graph.fact(value)?;
    let count = axes.iter().map(|axis| fact.shape[*axis].clone()).product::<TDim>();
    let sum = graph.node(Reduce { axes: axes.into(), reducer: Reducer::Sum }, &[value])?;
    let name = graph.name();
    let count = graph.model.add_const(name, tensor0(count))?;
    let count = graph.node(cast(fact.datum_type), &[count])?;
    graph.broadcast(div(), &[sum, count])
}

/// A value without its mean, over its standard deviation.
struct Standard {
    value: OutletId,
    mean: OutletId,
    /// One over the standard deviation.
    scale: OutletId,
}

fn standard(graph: &mut Wiring, value: OutletId, axes: &[usize], epsilon: f32) -> TractResult<Standard> {
    let kind = graph.kind(value)?;
    let mean_of = mean(graph, value, axes)?;
    let centred = graph.node(sub(), &[value, mean_of])?;
    let squared = graph.node(square(), &[centred])?;
    let variance = mean(graph, squared, axes)?;
    let epsilon = graph.number(epsilon, kind)?;
    let variance = graph.broadcast(add(), &[variance, epsilon])?;
    let scale = graph.node(rsqrt(), &[variance])?;
    Ok(Standard { value: graph.node(mul(), &[centred, scale])?, mean: mean_of, scale })
}

fn batch(_: &ParsingContext, node: &NodeProto) -> Built {
    let epsilon = float(node, "epsilon", 1e-5)?;
    ensure!(integer(node, "spatial", 1)? == 1, "the attribute `spatial` is not supported");
    let batch = move |graph: &mut Wiring, inputs: &[OutletId]| {
        let &[x, scale, shift, mean, variance] = inputs else { bail!("five inputs are expected") };
        let (rank, kind) = (graph.rank(x)?, graph.kind(x)?);
        let epsilon = graph.number(epsilon, kind)?;
        let variance = graph.broadcast(add(), &[variance, epsilon])?;
        let deviation = graph.node(sqrt(), &[variance])?;
        let slope = graph.node(div(), &[scale, deviation])?;
        let scaled = graph.node(mul(), &[mean, scale])?;
        let scaled = graph.node(div(), &[scaled, deviation])?;
        let shift = graph.node(sub(), &[shift, scaled])?;
        let (slope, shift) = (by_channel(graph, slope, rank)?, by_channel(graph, shift, rank)?);
        let product = graph.broadcast(mul(), &[slope, x])?;
        graph.broadcast(add(), &[shift, product])
    };
    Lowered::new("BatchNormalization", batch).build()
}

fn instance(_: &ParsingContext, node: &NodeProto) -> Built {
    let epsilon = float(node, "epsilon", 1e-5)?;
    let instance = move |graph: &mut Wiring, inputs: &[OutletId]| {
        let &[x, scale, shift] = inputs else { bail!("three inputs are expected") };
        let rank = graph.rank(x)?;
        let axes = (2..rank).collect::<Vec<_>>();
        let value = standard(graph, x, &axes, epsilon)?.value;
        let (scale, shift) = (by_channel(graph, scale, rank)?, by_channel(graph, shift, rank)?);
        let scaled = graph.broadcast(mul(), &[value, scale])?;
        graph.broadcast(add(), &[scaled, shift])
    };
    Lowered::new("InstanceNormalization", instance).build()
}

fn group(context: &ParsingContext, node: &NodeProto) -> Built {
    let epsilon = float(node, "epsilon", 1e-5)?;
    let groups = node.get_attr::<usize>("num_groups")?;
    ensure!(groups > 0, "no group");
    // The scale and the shift have one number for each group below opset 21, and for each channel since.
    let is_by_channel = context.onnx_operator_set_version >= 21;
    let group = move |graph: &mut Wiring, inputs: &[OutletId]| {
        let &[x, scale, shift] = inputs else { bail!("three inputs are expected") };
        let fact = graph.fact(x)?;
        let rank = fact.rank();
        ensure!(rank >= 2, "an axis of channels is expected");
        let channels = fact.shape[1].to_usize()?;
        ensure!(channels % groups == 0, "{channels} channels in {groups} groups");
        let whole = tvec![channels.to_dim()];
        let parts = tvec![groups.to_dim(), (channels / groups).to_dim()];
        let x = graph.node(cast(DatumType::F32), &[x])?;
        let split = graph.node(AxisOp::Reshape(1, whole.clone(), parts.clone()), &[x])?;
        let axes = (2..=rank).collect::<Vec<_>>();
        let value = standard(graph, split, &axes, epsilon)?.value;
        let mut value = graph.node(cast(fact.datum_type), &[value])?;
        let merge = AxisOp::Reshape(1, parts, whole);
        if is_by_channel {
            value = graph.node(merge.clone(), &[value])?;
        }
        let among = graph.rank(value)?;
        let (scale, shift) = (by_channel(graph, scale, among)?, by_channel(graph, shift, among)?);
        value = graph.broadcast(mul(), &[value, scale])?;
        value = graph.broadcast(add(), &[value, shift])?;
        if is_by_channel { Ok(value) } else { graph.node(merge, &[value]) }
    };
    Lowered::new("GroupNormalization", group).build()
}

fn layer(_: &ParsingContext, node: &NodeProto) -> Built {
    let (number, epsilon) = (integer(node, "axis", -1)?, float(node, "epsilon", 1e-5)?);
    let kind = node.get_attr_opt("stash_type")?.unwrap_or(DatumType::F32);
    let [_, _, shift] = inputs(node);
    let (has_mean, has_scale) = (has_output(node, 1), has_output(node, 2));
    let layer = move |graph: &mut Wiring, inputs: &[OutletId]| {
        ensure!(inputs.len() >= 2, "two inputs are expected");
        let (rank, result) = (graph.rank(inputs[0])?, graph.kind(inputs[0])?);
        let x = graph.node(cast(kind), &inputs[..1])?;
        let axes = (axis(number, rank)?..rank).collect::<Vec<_>>();
        let found = standard(graph, x, &axes, epsilon)?;
        let scale = graph.node(cast(kind), &inputs[1..2])?;
        let mut value = graph.broadcast(mul(), &[found.value, scale])?;
        if let Some(shift) = shift {
            let shift = graph.node(cast(kind), &inputs[shift..][..1])?;
            value = graph.broadcast(add(), &[value, shift])?;
        }
        let mut outputs = tvec![graph.node(cast(result), &[value])?];
        outputs.extend(has_mean.then_some(found.mean));
        outputs.extend(has_scale.then_some(found.scale));
        Ok(outputs)
    };
    let outputs = 1 + usize::from(has_mean) + usize::from(has_scale);
    Lowered::of_outputs("LayerNormalization", outputs, layer).build()
}

fn root_mean_square(_: &ParsingContext, node: &NodeProto) -> Built {
    let (number, epsilon) = (integer(node, "axis", -1)?, float(node, "epsilon", 1e-5)?);
    let normalise = move |graph: &mut Wiring, inputs: &[OutletId]| {
        let &[x, scale] = inputs else { bail!("two inputs are expected") };
        let (rank, result) = (graph.rank(x)?, graph.kind(x)?);
        let x = graph.node(cast(DatumType::F32), &[x])?;
        let axes = (axis(number, rank)?..rank).collect::<Vec<_>>();
        let squared = graph.node(square(), &[x])?;
        let mean = mean(graph, squared, &axes)?;
        let epsilon = graph.number(epsilon, DatumType::F32)?;
        let mean = graph.broadcast(add(), &[mean, epsilon])?;
        let factor = graph.node(rsqrt(), &[mean])?;
        let value = graph.node(mul(), &[x, factor])?;
        let value = graph.node(cast(result), &[value])?;
        graph.broadcast(mul(), &[value, scale])
    };
    Lowered::new("RMSNormalization", normalise).build()
}

fn lp(_: &ParsingContext, node: &NodeProto) -> Built {
    let number = integer(node, "axis", -1)?;
    let reducer = match integer(node, "p", 2)? {
        1 => nn::Reducer::L1,
        2 => nn::Reducer::L2,
        p => bail!("the norm {p} is not supported"),
    };
    let lp = move |graph: &mut Wiring, inputs: &[OutletId]| {
        let &[x] = inputs else { bail!("an input is expected") };
        let kind = graph.kind(x)?;
        let norm = graph.expanded(&nn::Reduce::new(Some(vec![number]), true, reducer), &[x])?[0];
        // Zeros stay zeros.
        let (zero, one) = (graph.number(0.0, kind)?, graph.number(1.0, kind)?);
        let is_zero = graph.broadcast(TypedBinOp(comp_eq(), None), &[norm, zero])?;
        let norm = graph.broadcast(Iff, &[is_zero, one, norm])?;
        graph.broadcast(div(), &[x, norm])
    };
    Lowered::new("LpNormalization", lp).build()
}
