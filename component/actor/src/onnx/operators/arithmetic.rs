//! Operators on numbers, one by one, and products of matrices.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::{cast, wire_cast};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::logic::{Iff, comp_gt, comp_lt};
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::binary::{Nary, wire_rank_broadcast};
use tract_onnx::tract_hir::ops::{activations, logic, math, matmul};

use super::attributes::{float, inputs, integer};
use super::lowered::{Lowered, Wiring};
use super::{Builder, Built, alone};

pub const BUILDERS: &[(&str, Builder)] = &[
    ("Add", |_, _| alone(math::Add.into_hir())),
    ("Sub", |_, _| alone(math::Sub.into_hir())),
    ("Mul", |_, _| alone(math::Mul.into_hir())),
    ("Div", |_, _| alone(math::Div.into_hir())),
    ("Mod", modulo),
    ("Pow", |_, _| Lowered::new("Pow", power).build()),
    ("Sum", |_, _| alone(Box::new(Nary(Box::new(math::Add), false)))),
    ("Max", |_, _| alone(Box::new(Nary(Box::new(math::Max), false)))),
    ("Min", |_, _| alone(Box::new(Nary(Box::new(math::Min), false)))),
    ("Mean", |_, _| alone(Box::new(Nary(Box::new(math::Add), true)))),
    ("Clip", clip),
    ("Abs", |_, _| alone(math::abs().into_hir())),
    ("Ceil", |_, _| alone(math::ceil().into_hir())),
    ("Floor", |_, _| alone(math::floor().into_hir())),
    ("Round", |_, _| alone(math::round_half_to_even().into_hir())),
    ("Neg", |_, _| alone(math::neg().into_hir())),
    ("Sign", |_, _| alone(math::sign().into_hir())),
    ("Reciprocal", |_, _| alone(math::recip().into_hir())),
    ("Sqrt", |_, _| alone(math::sqrt().into_hir())),
    ("Exp", |_, _| alone(math::exp().into_hir())),
    ("Log", |_, _| alone(math::ln().into_hir())),
    ("Erf", |_, _| alone(math::erf().into_hir())),
    ("Cos", |_, _| alone(math::cos().into_hir())),
    ("Sin", |_, _| alone(math::sin().into_hir())),
    ("Tan", |_, _| alone(math::tan().into_hir())),
    ("Acos", |_, _| alone(math::acos().into_hir())),
    ("Asin", |_, _| alone(math::asin().into_hir())),
    ("Atan", |_, _| alone(math::atan().into_hir())),
    ("Cosh", |_, _| alone(math::cosh().into_hir())),
    ("Sinh", |_, _| alone(math::sinh().into_hir())),
    ("Tanh", |_, _| alone(math::tanh().into_hir())),
    ("Acosh", |_, _| alone(math::acosh().into_hir())),
    ("Asinh", |_, _| alone(math::asinh().into_hir())),
    ("Atanh", |_, _| alone(math::atanh().into_hir())),
    ("IsNaN", |_, _| alone(math::is_nan().into_hir())),
    ("IsInf", is_infinite),
    ("MatMul", |_, _| alone(expand(matmul::MatMulInference::default()))),
    ("Gemm", gemm),
    ("Einsum", einsum),
];

/// Returns the inputs of an operator that takes so many.
pub fn exactly<const N: usize>(inputs: &[OutletId]) -> TractResult<[OutletId; N]> {
    inputs.try_into().with_context(|| format!("{N} inputs are expected, found {}", inputs.len()))
}

fn clip(context: &ParsingContext, node: &NodeProto) -> Built {
    if context.onnx_operator_set_version < 11 {
        return alone(expand(activations::Clip::new(node.get_attr_opt("min")?, node.get_attr_opt("max")?)));
    }
    let [_, low, high] = inputs(node);
    let clip = move |graph: &mut Wiring, inputs: &[OutletId]| {
        let mut value = *inputs.first().context("an input is expected")?;
        let kind = graph.kind(value)?;
        for (limit, op) in [(low, math::max()), (high, math::min())] {
            if let Some(limit) = limit {
                let limit = graph.node(cast(kind), &inputs[limit..][..1])?;
                value = graph.broadcast(op, &[value, limit])?;
            }
        }
        Ok(value)
    };
    Lowered::new("Clip", clip).build()
}

fn is_infinite(_: &ParsingContext, node: &NodeProto) -> Built {
    let detects = |name: &str| Ok::<_, TractError>(integer(node, name, 1)? != 0);
    alone(math::is_inf(detects("detect_positive")?, detects("detect_negative")?).into_hir())
}

/// x mod y has the sign of y, or that of x with `fmod`.
fn modulo(_: &ParsingContext, node: &NodeProto) -> Built {
    if integer(node, "fmod", 0)? == 1 {
        return alone(math::Rem.into_hir());
    }
    let modulo = |graph: &mut Wiring, inputs: &[OutletId]| {
        let [a, b] = exactly(inputs)?;
        let result = super_type(graph, a, b)?;
        // Sizes cannot be compared.
        let kind = if result == DatumType::TDim { DatumType::I64 } else { result };
        let [a, b] = exactly(&ranked(graph, &[a, b], kind)?)?;
        let rest = graph.node(math::rem(), &[a, b])?;
        if kind.is_unsigned() {
            return Ok(rest);
        }
        let zero = graph.number(0.0, kind)?;
        let mut signs = |value: OutletId| {
            let below = graph.broadcast(TypedBinOp(comp_lt(), None), &[value, zero])?;
            Ok::<_, TractError>((below, graph.broadcast(TypedBinOp(comp_gt(), None), &[value, zero])?))
        };
        let ((rest_below, rest_above), (b_below, b_above)) = (signs(rest)?, signs(b)?);
        let low = graph.node(logic::and(), &[rest_below, b_above])?;
        let high = graph.node(logic::and(), &[rest_above, b_below])?;
        let differs = graph.node(logic::or(), &[low, high])?;
        let moved = graph.node(math::add(), &[rest, b])?;
        let modulo = graph.node(Iff, &[differs, moved, rest])?;
        graph.node(cast(result), &[modulo])
    };
    Lowered::new("Mod", modulo).build()
}

fn super_type(graph: &Wiring, a: OutletId, b: OutletId) -> TractResult<DatumType> {
    let (a, b) = (graph.kind(a)?, graph.kind(b)?);
    a.common_super_type(b).with_context(|| format!("{a:?} and {b:?} have no common type"))
}

/// Brings values to one rank and one type.
fn ranked(graph: &mut Wiring, values: &[OutletId], kind: DatumType) -> TractResult<TVec<OutletId>> {
    let name = graph.name();
    let values = wire_rank_broadcast(&name, graph.model, values)?;
    wire_cast(&name, graph.model, &values, kind)
}

fn power(graph: &mut Wiring, inputs: &[OutletId]) -> TractResult<OutletId> {
    let [base, exponent] = exactly(inputs)?;
    let kind = graph.kind(base)?;
    if kind.is_integer() != graph.kind(exponent)?.is_integer() {
        let inputs = ranked(graph, inputs, DatumType::F64)?;
        let power = graph.node(math::pow(), &inputs)?;
        return graph.node(cast(kind), &[power]);
    }
    let inputs = super_type(graph, base, exponent).and_then(|kind| ranked(graph, inputs, kind))?;
    graph.node(math::pow(), &inputs)
}

/// alpha · A · B + beta · C
fn gemm(_: &ParsingContext, node: &NodeProto) -> Built {
    let (alpha, beta) = (float(node, "alpha", 1.0)?, float(node, "beta", 1.0)?);
    let is_transposed = |name: &str| Ok::<_, TractError>(node.get_attr_opt(name)?.unwrap_or(false));
    let (transposed_a, transposed_b) = (is_transposed("transA")?, is_transposed("transB")?);
    let gemm = move |graph: &mut Wiring, inputs: &[OutletId]| {
        let (&[a, b], shift) = inputs.split_first_chunk().context("two inputs are expected")?;
        ensure!(graph.rank(a)? == 2 && graph.rank(b)? == 2, "matrices are expected");
        let axes = AxesMapping::for_numpy_matmul(2, transposed_a, transposed_b, false)?;
        let kind = graph.kind(a)?;
        let mut product = graph.node(EinSum::new(axes, kind), &[a, b])?;
        if alpha != 1.0 {
            let alpha = graph.number(alpha, kind)?;
            product = graph.broadcast(math::mul(), &[alpha, product])?;
        }
        if let Some(shift) = shift.first().filter(|_| beta != 0.0) {
            let mut shift = *shift;
            if beta != 1.0 {
                let beta = graph.number(beta, kind)?;
                shift = graph.broadcast(math::mul(), &[beta, shift])?;
            }
            product = graph.broadcast(math::add(), &[product, shift])?;
        }
        ensure!(graph.rank(product)? == 2, "a matrix is expected");
        Ok(product)
    };
    Lowered::new("Gemm", gemm).build()
}

fn einsum(_: &ParsingContext, node: &NodeProto) -> Built {
    let equation = node.get_attr::<String>("equation")?;
    let einsum = move |graph: &mut Wiring, inputs: &[OutletId]| {
        let ranks = inputs.iter().map(|input| graph.rank(*input)).collect::<TractResult<Vec<_>>>()?;
        let axes = without_ellipses(&equation, &ranks)?.parse::<AxesMapping>()?;
        ensure!(inputs.len() == axes.input_count(), "{} inputs are expected", axes.input_count());
        for (i, rank) in ranks.iter().enumerate() {
            ensure!(*rank == axes.rank(InOut::In(i)), "input {i} has another rank than the equation");
        }
        let kind = graph.kind(*inputs.first().context("an input is expected")?)?;
        graph.node(EinSum::new(axes, kind), inputs)
    };
    Lowered::new("Einsum", einsum).build()
}

/// Gives the axes that an ellipsis stands for letters, the same from the last axis on.
fn without_ellipses(equation: &str, ranks: &[usize]) -> TractResult<String> {
    let equation = equation.replace(' ', "");
    let (terms, result) = equation.split_once("->").context("an equation with its result is expected")?;
    let terms = terms.split(',').collect::<Vec<_>>();
    ensure!(terms.len() == ranks.len(), "{} inputs are expected, found {}", terms.len(), ranks.len());
    let counts = terms.iter().zip(ranks).map(|(term, rank)| match term.contains("...") {
        true => (rank + 3).checked_sub(term.len()).context("an input has too few axes"),
        false => Ok(0),
    });
    let counts = counts.collect::<TractResult<Vec<_>>>()?;
    let most = counts.iter().copied().max().unwrap_or(0);
    let letters = ('a'..='z').chain('A'..='Z').filter(|letter| !equation.contains(*letter)).take(most);
    let letters = letters.collect::<String>();
    ensure!(letters.len() == most, "the equation has too many axes");
    let terms = terms.iter().zip(counts).map(|(term, count)| term.replacen("...", &letters[most - count..], 1));
    Ok(format!("{}->{}", terms.collect::<Vec<_>>().join(","), result.replacen("...", &letters, 1)))
}
