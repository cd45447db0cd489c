//! Activation functions and other functions of one number, with the formulas of `torch.nn.functional`.

use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

use anyhow::{Result, ensure};

use super::Arguments;
use super::clamp::bounded;
use super::elementwise::{binary, steps, unary};
use crate::program::graph::{Graph, float};
use crate::program::value::{Tensor, Value};

pub fn call(graph: &mut Graph, name: &str, arguments: &Arguments) -> Result<Option<Value>> {
    let number = |index, name, default: f64| anyhow::Ok(arguments.number(index, name)?.unwrap_or(default) as f32);
    let x = || arguments.tensor(0, "self");
    let tensor = match name {
        "relu" => unary(graph, "Relu", &x()?)?,
        "tanh" => unary(graph, "Tanh", &x()?)?,
        "sigmoid" => unary(graph, "Sigmoid", &x()?)?,
        "exp" => unary(graph, "Exp", &x()?)?,
        "log" => unary(graph, "Log", &x()?)?,
        "sqrt" => unary(graph, "Sqrt", &x()?)?,
        "abs" => unary(graph, "Abs", &x()?)?,
        "neg" | "negative" => unary(graph, "Neg", &x()?)?,
        "reciprocal" => unary(graph, "Reciprocal", &x()?)?,
        "erf" => unary(graph, "Erf", &x()?)?,
        "sin" => unary(graph, "Sin", &x()?)?,
        "cos" => unary(graph, "Cos", &x()?)?,
        "expm1" => steps(graph, &x()?, &[("Exp", None), ("Sub", Some(1.0))])?,
        "log1p" => steps(graph, &x()?, &[("Add", Some(1.0)), ("Log", None)])?,
        "log_sigmoid" | "log_sigmoid_forward" => {
            let soft = steps(graph, &x()?, &[("Neg", None)])?;
            let soft = softplus(graph, &soft)?;
            steps(graph, &soft, &[("Neg", None)])?
        }
        "square" => binary(graph, "Mul", &x()?, &x()?)?,
        "rsqrt" => steps(graph, &x()?, &[("Sqrt", None), ("Reciprocal", None)])?,
        "relu6" => bounded(graph, &x()?, Some(0.0), Some(6.0))?,
        "silu" | "swish" => gated(graph, &x()?, "Sigmoid")?,
        "mish" => {
            let (x, soft) = (x()?, softplus(graph, &x()?)?);
            let soft = unary(graph, "Tanh", &soft)?;
            binary(graph, "Mul", &x, &soft)?
        }
        "softplus" => {
            let beta = number(1, "beta", 1.0)?;
            // Above its threshold it is x itself, which no rounding shows at PyTorch's 20.
            ensure!(number(2, "threshold", 20.0)? >= 15.0, "its threshold is less than 15, which is not served");
            let (scaled, back) = ([("Mul", Some(beta))], [("Div", Some(beta))]);
            let x = if beta == 1.0 { x()? } else { steps(graph, &x()?, &scaled)? };
            let soft = softplus(graph, &x)?;
            if beta == 1.0 { soft } else { steps(graph, &soft, &back)? }
        }
        "softsign" => {
            let below = steps(graph, &x()?, &[("Abs", None), ("Add", Some(1.0))])?;
            binary(graph, "Div", &x()?, &below)?
        }
        "hardsigmoid" => hard_sigmoid(graph, &x()?)?,
        "hardswish" => {
            let gate = hard_sigmoid(graph, &x()?)?;
            binary(graph, "Mul", &x()?, &gate)?
        }
        "leaky_relu" => with_alpha(graph, "LeakyRelu", &x()?, number(1, "negative_slope", 0.01)?)?,
        "elu" => {
            let scales = (number(2, "scale", 1.0)?, number(3, "input_scale", 1.0)?);
            elu(graph, &x()?, number(1, "alpha", 1.0)?, scales)?
        }
        "celu" => celu(graph, &x()?, number(1, "alpha", 1.0)?)?,
        "selu" => elu(graph, &x()?, SELU.1, (SELU.0, 1.0))?,
        "gelu" => match arguments.get(1, "approximate") {
            Some(Value::Text(how)) if &**how == "tanh" => gelu_tanh(graph, &x()?)?,
            _ => gelu(graph, &x()?)?,
        },
        "prelu" => {
            let (x, slope) = (arguments.tensor(0, "self")?, arguments.tensor(1, "weight")?);
            ensure!(slope.known_shape().is_some_and(|shape| shape == [1]), "its weight has more than one number");
            let (above, below) = (bounded(graph, &x, Some(0.0), None)?, bounded(graph, &x, None, Some(0.0))?);
            let below = binary(graph, "Mul", &below, &slope)?;
            binary(graph, "Add", &above, &below)?
        }
        _ => return Ok(None),
    };
    Ok(Some(tensor.value()))
}

/// Adds an operator whose parameter is the attribute `alpha`.
fn with_alpha(graph: &mut Graph, op: &str, x: &Tensor, alpha: f32) -> Result<Tensor> {
    graph.add_with(op, &[x], &[], vec![float("alpha", alpha)], x.shape.clone())
}

fn gated(graph: &mut Graph, x: &Tensor, op: &str) -> Result<Tensor> {
    let gate = unary(graph, op, x)?;
    binary(graph, "Mul", x, &gate)
}

/// ln(1 + eˣ) in a form that does not overflow: max(x, 0) + ln(1 + e^−|x|).
fn softplus(graph: &mut Graph, x: &Tensor) -> Result<Tensor> {
    let tail = [("Abs", None), ("Neg", None), ("Exp", None), ("Add", Some(1.0)), ("Log", None)];
    let tail = steps(graph, x, &tail)?;
    let above = unary(graph, "Relu", x)?;
    binary(graph, "Add", &above, &tail)
}

fn hard_sigmoid(graph: &mut Graph, x: &Tensor) -> Result<Tensor> {
    let shifted = steps(graph, x, &[("Add", Some(3.0))])?;
    let clamped = bounded(graph, &shifted, Some(0.0), Some(6.0))?;
    steps(graph, &clamped, &[("Div", Some(6.0))])
}

/// s · x for x > 0, and s · α · (e^(x · t) − 1) below, with the scales s and t of the output and the input.
fn elu(graph: &mut Graph, x: &Tensor, alpha: f32, (scale, input_scale): (f32, f32)) -> Result<Tensor> {
    if input_scale == 1.0 {
        let elu = with_alpha(graph, "Elu", x, alpha)?;
        return if scale == 1.0 { Ok(elu) } else { steps(graph, &elu, &[("Mul", Some(scale))]) };
    }
    let above = steps(graph, x, &[("Relu", None), ("Mul", Some(scale))])?;
    let below = steps(graph, x, &[("Min", Some(0.0)), ("Mul", Some(input_scale))])?;
    let below = steps(graph, &below, &[("Exp", None), ("Sub", Some(1.0)), ("Mul", Some(alpha * scale))])?;
    binary(graph, "Add", &above, &below)
}

/// max(x, 0) + min(0, α(e^(x/α) − 1)).
fn celu(graph: &mut Graph, x: &Tensor, alpha: f32) -> Result<Tensor> {
    ensure!(alpha != 0.0, "its alpha is zero");
    elu(graph, x, alpha, (1.0, 1.0 / alpha))
}

/// x / 2 · (1 + erf(x / √2)).
fn gelu(graph: &mut Graph, x: &Tensor) -> Result<Tensor> {
    let gate = steps(graph, x, &[("Mul", Some(FRAC_1_SQRT_2)), ("Erf", None), ("Add", Some(1.0))])?;
    let half = steps(graph, x, &[("Mul", Some(0.5))])?;
    binary(graph, "Mul", &half, &gate)
}

/// x / 2 · (1 + tanh(√(2/π) · (x + 0.044715 x³))).
fn gelu_tanh(graph: &mut Graph, x: &Tensor) -> Result<Tensor> {
    let square = binary(graph, "Mul", x, x)?;
    let factor = steps(graph, &square, &[("Mul", Some(0.044_715)), ("Add", Some(1.0))])?;
    let inner = binary(graph, "Mul", x, &factor)?;
    let gate = steps(graph, &inner, &[("Mul", Some(FRAC_2_PI.sqrt())), ("Tanh", None), ("Add", Some(1.0))])?;
    let half = steps(graph, x, &[("Mul", Some(0.5))])?;
    binary(graph, "Mul", &half, &gate)
}

/// The scale and alpha of SELU, from its paper as in `torch.nn.SELU`.
const SELU: (f32, f32) = (1.050_701, 1.673_263_2);
