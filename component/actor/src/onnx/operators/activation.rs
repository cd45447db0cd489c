//! Activations.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::logic::{Iff, comp_gt};
use tract_onnx::tract_core::ops::nn::gelu_approximate::gelu_approximate;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::{activations, math, nn};

use super::arithmetic::exactly;
use super::attributes::float;
use super::lowered::{Lowered, Wiring};
use super::{Builder, Built, alone};

pub const BUILDERS: &[(&str, Builder)] = &[
    ("Relu", |_, _| alone(expand(activations::Clip::new(Some(0.0), None)))),
    ("Sigmoid", |_, _| Lowered::new("Sigmoid", sigmoid).build()),
    ("HardSwish", |_, _| alone(nn::hard_swish().into_hir())),
    ("Swish", swish),
    ("Softplus", |_, _| Lowered::new("Softplus", softplus).build()),
    ("Softsign", |_, _| alone(expand(activations::Softsign))),
    ("Celu", celu),
    ("Elu", |_, node| alone(expand(activations::Elu(float(node, "alpha", 1.0)?)))),
    ("LeakyRelu", |_, node| alone(expand(activations::LeakyRelu(float(node, "alpha", 0.01)?)))),
    ("ThresholdedRelu", |_, node| alone(expand(activations::ThresholdRelu(float(node, "alpha", 1.0)?)))),
    ("HardSigmoid", |_, node| {
        alone(expand(activations::HardSigmoid(float(node, "alpha", 0.2)?, float(node, "beta", 0.5)?)))
    }),
    ("Selu", |_, node| alone(expand(activations::Selu(float(node, "alpha", 1.67326)?, float(node, "gamma", 1.0507)?)))),
    ("Shrink", |_, node| alone(expand(activations::Shrink(float(node, "bias", 0.0)?, float(node, "lambd", 0.5)?)))),
    ("Gelu", gelu),
    ("Mish", |_, _| Lowered::new("Mish", mish).build()),
    ("PRelu", |_, _| Lowered::new("PRelu", prelu).build()),
];

fn gelu(_: &ParsingContext, node: &NodeProto) -> Built {
    if node.get_attr_opt::<&str>("approximate")? == Some("tanh") {
        return alone(gelu_approximate(false).into_hir());
    }
    // x / 2 · (1 + erf(x / √2))
    let gelu = |graph: &mut Wiring, inputs: &[OutletId]| {
        let [x] = exactly(inputs)?;
        let kind = graph.kind(x)?;
        let [scale, one, half] = [std::f32::consts::FRAC_1_SQRT_2, 1.0, 0.5].map(|number| graph.number(number, kind));
        let scaled = graph.broadcast(math::mul(), &[x, scale?])?;
        let erf = graph.node(math::erf(), &[scaled])?;
        let gate = graph.broadcast(math::add(), &[erf, one?])?;
        let halved = graph.broadcast(math::mul(), &[x, half?])?;
        graph.node(math::mul(), &[halved, gate])
    };
    Lowered::new("Gelu", gelu).build()
}

/// max(x, 0) + min(0, α(exp(x / α) − 1)). tract's has no α before the parenthesis.
fn celu(_: &ParsingContext, node: &NodeProto) -> Built {
    let alpha = float(node, "alpha", 1.0)?;
    let celu = move |graph: &mut Wiring, inputs: &[OutletId]| {
        let [x] = exactly(inputs)?;
        let kind = graph.kind(x)?;
        let [alpha, one, zero] = [alpha, 1.0, 0.0].map(|number| graph.number(number, kind));
        let (alpha, zero) = (alpha?, zero?);
        let scaled = graph.broadcast(math::div(), &[x, alpha])?;
        let power = graph.node(math::exp(), &[scaled])?;
        let below = graph.broadcast(math::sub(), &[power, one?])?;
        let below = graph.broadcast(math::mul(), &[below, alpha])?;
        let below = graph.broadcast(math::min(), &[below, zero])?;
        let above = graph.broadcast(math::max(), &[x, zero])?;
        graph.node(math::add(), &[above, below])
    };
    Lowered::new("Celu", celu).build()
}

/// 1 / (1 + exp −x). tract's stays above 4.8e-7 however small x is, which a logarithm or a large factor makes visible.
fn sigmoid(graph: &mut Wiring, inputs: &[OutletId]) -> TractResult<OutletId> {
    let [x] = exactly(inputs)?;
    let one = graph.number(1.0, graph.kind(x)?)?;
    let negative = graph.node(math::neg(), &[x])?;
    let power = graph.node(math::exp(), &[negative])?;
    let sum = graph.broadcast(math::add(), &[power, one])?;
    graph.broadcast(math::div(), &[one, sum])
}

/// x · sigmoid(αx)
fn swish(_: &ParsingContext, node: &NodeProto) -> Built {
    let alpha = float(node, "alpha", 1.0)?;
    let swish = move |graph: &mut Wiring, inputs: &[OutletId]| {
        let [x] = exactly(inputs)?;
        let alpha = graph.number(alpha, graph.kind(x)?)?;
        let scaled = graph.broadcast(math::mul(), &[x, alpha])?;
        let gate = sigmoid(graph, &[scaled])?;
        graph.node(math::mul(), &[x, gate])
    };
    Lowered::new("Swish", swish).build()
}

/// x · tanh(ln(1 + exp x))
fn mish(graph: &mut Wiring, inputs: &[OutletId]) -> TractResult<OutletId> {
    let [x] = exactly(inputs)?;
    let one = graph.number(1.0, graph.kind(x)?)?;
    let exp = graph.node(math::exp(), &[x])?;
    let sum = graph.broadcast(math::add(), &[exp, one])?;
    let softplus = graph.node(math::ln(), &[sum])?;
    let gate = graph.node(math::tanh(), &[softplus])?;
    graph.node(math::mul(), &[x, gate])
}

fn prelu(graph: &mut Wiring, inputs: &[OutletId]) -> TractResult<OutletId> {
    let [x, slope] = exactly(inputs)?;
    let zero = graph.number(0.0, graph.kind(x)?)?;
    let scaled = graph.broadcast(math::mul(), &[x, slope])?;
    let is_below = graph.broadcast(TypedBinOp(comp_gt(), None), &[zero, x])?;
    graph.broadcast(Iff, &[is_below, scaled, x])
}

/// ln(1 + eˣ) in a form that does not overflow: max(x, 0) + ln(1 + e^−|x|).
fn softplus(graph: &mut Wiring, inputs: &[OutletId]) -> TractResult<OutletId> {
    let [x] = exactly(inputs)?;
    let kind = graph.kind(x)?;
    let [zero, one] = [0.0, 1.0].map(|number| graph.number(number, kind));
    let size = graph.node(math::abs(), &[x])?;
    let negative = graph.node(math::neg(), &[size])?;
    let power = graph.node(math::exp(), &[negative])?;
    let sum = graph.broadcast(math::add(), &[power, one?])?;
    let tail = graph.node(math::ln(), &[sum])?;
    let above = graph.broadcast(math::max(), &[x, zero?])?;
    graph.node(math::add(), &[above, tail])
}
