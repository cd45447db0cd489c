//! Convolutions and pooling.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::cnn::{Conv, HirMaxPool, HirSumPool, PaddingSpec, PoolSpec};
use tract_onnx::tract_hir::ops::nn::{DataFormat, GlobalAvgPool, GlobalMaxPool};

use super::attributes::has_output;
use super::{Builder, Built, alone};

pub const BUILDERS: &[(&str, Builder)] = &[
    ("Conv", conv),
    ("AveragePool", average_pool),
    ("MaxPool", max_pool),
    ("GlobalAveragePool", |_, _| alone(expand(GlobalAvgPool))),
    ("GlobalMaxPool", |_, _| alone(expand(GlobalMaxPool))),
];

fn conv(_: &ParsingContext, node: &NodeProto) -> Built {
    let mut conv = Conv::default().padding(padding(node, false)?);
    if let Some(shape) = node.get_attr_opt_tvec("kernel_shape")? {
        conv = conv.kernel_shape(shape);
    }
    if let Some(group) = node.get_attr_opt("group")? {
        conv = conv.group(group);
    }
    if let Some(dilations) = node.get_attr_opt_tvec("dilations")? {
        conv = conv.dilations(dilations);
    }
    if let Some(strides) = node.get_attr_opt_tvec("strides")? {
        conv = conv.strides(strides);
    }
    if node.input.len() == 3 {
        conv = conv.bias_input(2);
    }
    alone(expand(conv))
}

fn average_pool(_: &ParsingContext, node: &NodeProto) -> Built {
    let counts_padding = node.get_attr_opt("count_include_pad")?.unwrap_or(false);
    alone(expand(HirSumPool::new(pool(node)?, counts_padding, true)))
}

fn max_pool(_: &ParsingContext, node: &NodeProto) -> Built {
    ensure!(!has_output(node, 1), "indices are not supported");
    alone(expand(HirMaxPool::new(pool(node)?, None)))
}

fn pool(node: &NodeProto) -> TractResult<PoolSpec> {
    let (dilations, strides) = (node.get_attr_opt_tvec("dilations")?, node.get_attr_opt_tvec("strides")?);
    let (shape, padding) = (node.get_attr_tvec("kernel_shape")?, padding(node, true)?);
    Ok(PoolSpec::new(DataFormat::NCHW, shape, padding, dilations, strides, 0, 0))
}

fn padding(node: &NodeProto, is_pool: bool) -> TractResult<PaddingSpec> {
    let rounds_up = node.get_attr_opt::<i64>("ceil_mode")?.unwrap_or(0) == 1;
    let explicit = |before: TVec<usize>, after: TVec<usize>| {
        if is_pool {
            PaddingSpec::ExplicitOnnxPool(before, after, rounds_up)
        } else {
            PaddingSpec::Explicit(before, after)
        }
    };
    if let Some(pads) = node.get_attr_opt_tvec::<usize>("pads")? {
        let (before, after) = pads.split_at(pads.len() / 2);
        return Ok(explicit(before.into(), after.into()));
    }
    Ok(match node.get_attr_opt("auto_pad")? {
        None | Some("NOTSET") => match node.get_attr_opt_tvec::<usize>("kernel_shape")? {
            Some(shape) => explicit(tvec![0; shape.len()], tvec![0; shape.len()]),
            None => PaddingSpec::Valid,
        },
        Some("VALID") => PaddingSpec::Valid,
        Some("SAME_UPPER") => PaddingSpec::SameUpper,
        Some("SAME_LOWER") => PaddingSpec::SameLower,
        Some(other) => bail!("auto_pad `{other:.256}` is not supported"),
    })
}
