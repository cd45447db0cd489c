//! Operators on shapes and types.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::array::{Pad, PadMode, StridedSlice, Trilu};
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::array::{
    AddDims, Concat, ConstantOfShape, Flatten, MultiBroadcastTo, PermuteAxes, Range, Reshape, Size, Slice, Split,
    Squeeze, Tile,
};
use tract_onnx::tract_hir::ops::identity::Identity;
use tract_onnx::tract_hir::ops::konst::Const;

use super::attributes::{axis, float, has_output, inputs, integer};
use super::lowered::{Lowered, Wiring};
use super::{Builder, Built, alone};

pub const BUILDERS: &[(&str, Builder)] = &[
    ("Constant", constant),
    ("ConstantOfShape", constant_of_shape),
    ("Identity", |_, _| alone(Box::<Identity>::default())),
    ("Dropout", dropout),
    ("Cast", |_, node| {
        // The types of shapes.
        let kind = node.get_attr::<DatumType>("to")?;
        let kind = if kind == DatumType::I64 { DatumType::TDim } else { kind };
        Lowered::new("Cast", move |graph, inputs| graph.node(cast(kind), &inputs[..1])).build()
    }),
    ("CastLike", |_, _| {
        let like = |graph: &mut Wiring, inputs: &[OutletId]| {
            ensure!(inputs.len() == 2, "two inputs are expected");
            graph.node(cast(graph.kind(inputs[1])?), &inputs[..1])
        };
        Lowered::new("CastLike", like).build()
    }),
    ("Concat", |_, node| alone(expand(Concat::new(node.get_attr("axis")?)))),
    ("Expand", |_, _| alone(expand(MultiBroadcastTo))),
    ("Flatten", |_, node| alone(expand(Flatten::new(integer(node, "axis", 1)?)))),
    ("Pad", pad),
    ("Range", |_, _| alone(expand(Range))),
    ("Reshape", |_, node| alone(expand(Reshape::new(integer(node, "allowzero", 0)? != 0)))),
    ("Shape", shape),
    ("Size", |_, _| alone(expand(Size::new(DatumType::TDim)))),
    ("Slice", slice),
    ("Split", split),
    ("Squeeze", squeeze),
    ("Tile", |_, _| alone(expand(Tile))),
    ("Transpose", |_, node| {
        let axes = node.get_attr_opt_vec::<usize>("perm")?;
        alone(expand(PermuteAxes::new(axes.map(Into::into))))
    }),
    ("Trilu", trilu),
    ("Unsqueeze", unsqueeze),
];

fn constant(context: &ParsingContext, node: &NodeProto) -> Built {
    let value = if let Some(tensor) = node.get_attr_opt("value")? {
        context.load_tensor(tensor)?
    } else if let Some(number) = node.get_attr_opt::<i64>("value_int")? {
        tensor0(number)
    } else if let Some(number) = node.get_attr_opt::<f32>("value_float")? {
        tensor0(number)
    } else if let Some(numbers) = node.get_attr_opt_slice::<i64>("value_ints")? {
        tensor1(numbers)
    } else if let Some(numbers) = node.get_attr_opt_slice::<f32>("value_floats")? {
        tensor1(numbers)
    } else {
        bail!("the constant has no value of numbers")
    };
    alone(Box::new(Const::new(value.into_arc_tensor())?))
}

fn constant_of_shape(context: &ParsingContext, node: &NodeProto) -> Built {
    let value = node.get_attr_opt("value")?.map_or(Ok(tensor0(0.0_f32)), |tensor| context.load_tensor(tensor))?;
    ensure!(value.len() == 1, "one number is expected, found {}", value.len());
    alone(expand(ConstantOfShape::new(value.nth(0)?.into_arc_tensor())))
}

/// Drops nothing: whoever selects a graph refuses one that drops at random.
fn dropout(_: &ParsingContext, node: &NodeProto) -> Built {
    let has_mask = has_output(node, 1);
    let dropout = move |graph: &mut Wiring, inputs: &[OutletId]| {
        let input = *inputs.first().context("an input is expected")?;
        let mut outputs = tvec![input];
        if has_mask {
            let name = graph.name();
            let keep = graph.model.add_const(name, tensor0(true))?;
            let shape = graph.fact(input)?.shape;
            outputs.push(graph.node(tract_onnx::tract_core::ops::array::MultiBroadcastTo::new(shape), &[keep])?);
        }
        Ok(outputs)
    };
    Lowered::of_outputs("Dropout", 1 + usize::from(has_mask), dropout).build()
}

fn pad(context: &ParsingContext, node: &NodeProto) -> Built {
    let mode = match node.get_attr_opt("mode")? {
        None | Some("constant") => PadMode::Constant(Arc::new(float(node, "value", 0.0)?.into())),
        Some("reflect") => PadMode::Reflect,
        Some("edge") => PadMode::Edge,
        Some(mode) => bail!("the mode `{mode:.256}` is not supported"),
    };
    if context.onnx_operator_set_version < 11 {
        let pads = node.get_attr_vec::<usize>("pads")?;
        let (before, after) = pads.split_at(pads.len() / 2);
        let pads = before.iter().copied().zip(after.iter().copied()).collect();
        return alone(Box::new(Pad::new(pads, mode)));
    }
    let [_, pads, number, axes] = inputs(node);
    let pads = pads.context("an input of widths is expected")?;
    let pad = move |graph: &mut Wiring, inputs: &[OutletId]| {
        let rank = graph.rank(inputs[0])?;
        let kind = graph.kind(inputs[0])?;
        let mode = match (&mode, number) {
            (PadMode::Constant(_), Some(number)) => PadMode::Constant(graph.constant(inputs[number])?),
            (PadMode::Constant(number), None) => PadMode::Constant(number.cast_to_dt(kind)?.into_owned().into()),
            _ => mode.clone(),
        };
        let axes = match axes {
            Some(axes) => graph.integers(inputs[axes])?,
            None => (0..rank).map(|axis| axis as i64).collect(),
        };
        let widths = graph.integers(inputs[pads])?;
        ensure!(widths.len() == 2 * axes.len(), "{} widths for {} axes", widths.len(), axes.len());
        let mut all = vec![(0, 0); rank];
        for (i, number) in axes.iter().enumerate() {
            let (before, after) = (widths[i].try_into()?, widths[i + axes.len()].try_into()?);
            *all.get_mut(axis(*number, rank)?).context("an axis is out of range")? = (before, after);
        }
        graph.node(Pad { pads: all, mode }, &inputs[..1])
    };
    Lowered::new("Pad", pad).with_constants([Some(pads), number, axes].into_iter().flatten()).build()
}

fn shape(_: &ParsingContext, node: &NodeProto) -> Built {
    let (start, end) = (integer(node, "start", 0)?, node.get_attr_opt::<i64>("end")?);
    let shape = move |graph: &mut Wiring, inputs: &[OutletId]| {
        let dims = graph.fact(*inputs.first().context("an input is expected")?)?.shape.to_tvec();
        let rank = dims.len() as i64;
        let place =
            |number: i64| (if number < 0 { number.saturating_add(rank) } else { number }).clamp(0, rank) as usize;
        let (start, end) = (place(start), end.map_or(dims.len(), place));
        let name = graph.name();
        graph.model.add_const(name, tensor1(&dims[start..end.max(start)]))
    };
    Lowered::new("Shape", shape).build()
}

fn slice(context: &ParsingContext, node: &NodeProto) -> Built {
    if context.onnx_operator_set_version >= 10 {
        let [_, _, _, axes, steps] = inputs(node);
        return alone(Box::new(StridedSlice {
            begin_mask: 0,
            end_mask: 0,
            shrink_axis_mask: 0,
            optional_axes_input: axes,
            optional_steps_input: steps,
        }));
    }
    let (starts, ends) = (node.get_attr_vec::<i64>("starts")?, node.get_attr_vec::<i64>("ends")?);
    let axes = node.get_attr_opt_vec("axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    ensure!(starts.len() == ends.len() && axes.len() == ends.len(), "the numbers of starts, ends and axes differ");
    let slice = move |graph: &mut Wiring, inputs: &[OutletId]| {
        let mut value = *inputs.first().context("an input is expected")?;
        for ((start, end), number) in starts.iter().zip(&ends).zip(&axes) {
            let fact = graph.fact(value)?;
            let axis = axis(*number, fact.rank())?;
            let size = fact.shape.get(axis).context("an axis is out of range")?.to_i64()?;
            let place = |number: i64| (if number < 0 { number.saturating_add(size) } else { number }).clamp(0, size);
            let (start, end) = (place(*start), place(*end));
            value = graph.node(Slice::new(axis, start, end.max(start)), &[value])?;
        }
        Ok(value)
    };
    Lowered::new("Slice", slice).build()
}

fn split(context: &ParsingContext, node: &NodeProto) -> Built {
    let axis = node.get_attr_opt("axis")?.unwrap_or(0);
    let outputs = node.output.len();
    if context.onnx_operator_set_version < 13 || node.input.len() == 1 {
        return alone(expand(Split::new(axis, outputs, node.get_attr_opt_vec("split")?)));
    }
    let split = move |graph: &mut Wiring, inputs: &[OutletId]| {
        let sizes = graph.integers(inputs[1])?;
        let sizes = sizes.into_iter().map(usize::try_from).collect::<Result<Vec<_>, _>>()?;
        graph.expanded(&Split::new(axis, sizes.len(), Some(sizes)), &inputs[..1])
    };
    Lowered::of_outputs("Split", outputs, split).with_constants([1]).build()
}

fn squeeze(context: &ParsingContext, node: &NodeProto) -> Built {
    if context.onnx_operator_set_version < 13 {
        return alone(expand(Squeeze::new(node.get_attr_opt_vec("axes")?)));
    }
    let has_axes = node.input.len() == 2;
    let squeeze = move |graph: &mut Wiring, inputs: &[OutletId]| {
        let axes = if has_axes {
            graph.integers(inputs[1])?.into_iter().map(|axis| axis as isize).collect()
        } else {
            let shape = graph.fact(*inputs.first().context("an input is expected")?)?.shape;
            shape.iter().enumerate().filter(|(_, dim)| dim.is_one()).map(|(axis, _)| axis as isize).collect()
        };
        Ok(graph.expanded(&Squeeze::new(Some(axes)), &inputs[..1])?[0])
    };
    Lowered::new("Squeeze", squeeze).with_constants(has_axes.then_some(1)).build()
}

fn unsqueeze(context: &ParsingContext, node: &NodeProto) -> Built {
    if context.onnx_operator_set_version < 13 {
        return alone(expand(AddDims::new(node.get_attr_vec("axes")?)));
    }
    let unsqueeze = |graph: &mut Wiring, inputs: &[OutletId]| {
        let axes = graph.integers(inputs[1])?.into_iter().map(|axis| axis as isize).collect();
        Ok(graph.expanded(&AddDims::new(axes), &inputs[..1])?[0])
    };
    Lowered::new("Unsqueeze", unsqueeze).with_constants([1]).build()
}

fn trilu(_: &ParsingContext, node: &NodeProto) -> Built {
    let upper = integer(node, "upper", 1)? == 1;
    let trilu = move |graph: &mut Wiring, inputs: &[OutletId]| {
        let input = *inputs.first().context("an input is expected")?;
        let diagonal = match inputs.get(1) {
            Some(diagonal) => *diagonal,
            None => {
                let name = graph.name();
                graph.model.add_const(name, tensor0(0_i64))?
            }
        };
        graph.node(Trilu { upper }, &[input, diagonal])
    };
    Lowered::new("Trilu", trilu).build()
}
