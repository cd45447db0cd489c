//! Operators that take or give indices.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::array::OneHot;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::array::{
    Gather, GatherElements, GatherNd, ScatterElements, ScatterNd, ScatterReduction,
};

use super::attributes::{axis, integer};
use super::lowered::{Lowered, Wiring};
use super::{Builder, Built, alone};

pub const BUILDERS: &[(&str, Builder)] = &[
    ("Gather", |_, node| alone(expand(Gather::new(integer(node, "axis", 0)?)))),
    ("GatherElements", |_, node| alone(expand(GatherElements::new(integer(node, "axis", 0)?)))),
    ("GatherND", |_, node| alone(Box::new(GatherNd::new(node.get_attr_opt("batch_dims")?.unwrap_or(0))))),
    ("OneHot", one_hot),
    ("Scatter", scatter_elements),
    ("ScatterElements", scatter_elements),
    ("ScatterND", |_, node| alone(expand(ScatterNd::new(reduction(node)?)))),
];

fn reduction(node: &NodeProto) -> TractResult<ScatterReduction> {
    ScatterReduction::parse(node.get_attr_opt("reduction")?.unwrap_or("none"))
}

fn scatter_elements(_: &ParsingContext, node: &NodeProto) -> Built {
    alone(expand(ScatterElements::new(integer(node, "axis", 0)?, reduction(node)?)))
}

fn one_hot(_: &ParsingContext, node: &NodeProto) -> Built {
    let number = integer(node, "axis", -1)?;
    let one_hot = move |graph: &mut Wiring, inputs: &[OutletId]| {
        let size = *graph.integers(inputs[1])?.first().context("the depth is empty")?;
        let values = graph.constant(inputs[2])?;
        ensure!(values.len() == 2, "two values are expected, found {}", values.len());
        let [off, on] = [values.nth(0)?, values.nth(1)?].map(Tensor::into_arc_tensor);
        let axis = axis(number, graph.rank(inputs[0])? + 1)?;
        graph.node(OneHot { axis, dim: size.try_into()?, off, on }, &inputs[..1])
    };
    Lowered::new("OneHot", one_hot).with_constants([1, 2]).build()
}
