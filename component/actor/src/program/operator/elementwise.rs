//! Operators that compute each number by itself: arithmetic, activations, clamps and comparisons.

use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

use anyhow::{Context, Result, bail, ensure};

use super::Arguments;
use crate::program::graph::{Graph, float};
use crate::program::value::{Constant, Content, Dim, Kind, Tensor, Value};

pub fn call(graph: &mut Graph, name: &str, arguments: &Arguments) -> Result<Option<Value>> {
    let tensor = match name {
        "add" | "sub" | "rsub" | "mul" | "div" | "divide" | "multiply" | "subtract" | "true_divide" => {
            arithmetic(graph, name, arguments)?
        }
        "pow" => power(graph, arguments)?,
        "max" | "min" | "maximum" | "minimum" if arguments.get(1, "other").is_some() => {
            let op = if name.starts_with("max") { "Max" } else { "Min" };
            let (a, b) = (arguments.operand(0, "self")?, arguments.operand(1, "other")?);
            binary(graph, op, &a, &b)?
        }
        "clamp" | "clip" => clamp(graph, arguments, (1, "min"), (2, "max"))?,
        "clamp_min" => clamp(graph, arguments, (1, "min"), (usize::MAX, "max"))?,
        "clamp_max" => clamp(graph, arguments, (usize::MAX, "min"), (1, "max"))?,
        "hardtanh" => {
            let low = arguments.number(1, "min_val")?.unwrap_or(-1.0);
            let high = arguments.number(2, "max_val")?.unwrap_or(1.0);
            bounded(graph, &arguments.tensor(0, "self")?, Some(low), Some(high))?
        }
        "gt" | "ge" | "lt" | "le" | "eq" | "ne" | "greater" | "less" | "greater_equal" | "less_equal" => {
            compare(graph, name, arguments)?
        }
        "logical_and" | "logical_or" | "__and__" | "__or__" | "bitwise_and" | "bitwise_or" => {
            let op = if name.contains("and") { "And" } else { "Or" };
            logical(graph, op, &[arguments.tensor(0, "self")?, arguments.tensor(1, "other")?])?
        }
        "logical_not" | "bitwise_not" => logical(graph, "Not", &[arguments.tensor(0, "self")?])?,
        "where" => {
            let condition = arguments.tensor(0, "condition")?;
            let (a, b) = (arguments.operand(1, "self")?, arguments.operand(2, "other")?);
            choose(graph, &condition, &a, &b)?
        }
        "masked_fill" => {
            let (kept, mask) = (arguments.tensor(0, "self")?, arguments.tensor(1, "mask")?);
            let filled = arguments.operand(2, "value")?;
            choose(graph, &mask, &filled, &kept)?
        }
        "prelu" => {
            let (x, slope) = (arguments.tensor(0, "self")?, arguments.tensor(1, "weight")?);
            ensure!(slope.known_shape().is_some_and(|shape| shape == [1]), "its weight has more than one number");
            let (above, below) = (bounded(graph, &x, Some(0.0), None)?, bounded(graph, &x, None, Some(0.0))?);
            let below = binary(graph, "Mul", &below, &slope)?;
            binary(graph, "Add", &above, &below)?
        }
        _ => {
            let Some(activated) = activation(graph, name, arguments)? else { return Ok(None) };
            activated
        }
    };
    Ok(Some(tensor.value()))
}

fn arithmetic(graph: &mut Graph, name: &str, arguments: &Arguments) -> Result<Tensor> {
    ensure!(arguments.get(usize::MAX, "rounding_mode").is_none(), "it rounds the quotient, which is not served");
    let (a, mut b) = (arguments.operand(0, "self")?, arguments.operand(1, "other")?);
    let (mut a, op) = match name {
        "add" => (a, "Add"),
        "sub" | "subtract" => (a, "Sub"),
        "rsub" => (std::mem::replace(&mut b, a), "Sub"),
        "mul" | "multiply" => (a, "Mul"),
        _ => (a, "Div"),
    };
    let alpha = if ["Add", "Sub"].contains(&op) { arguments.number(2, "alpha")?.unwrap_or(1.0) } else { 1.0 };
    if alpha != 1.0 {
        let scaled = if name == "rsub" { &mut a } else { &mut b };
        *scaled = binary(graph, "Mul", scaled, &Tensor::scalar(alpha as f32))?;
    }
    let result = binary(graph, op, &a, &b)?;
    let both_whole = a.kind == Kind::Int && b.kind == Kind::Int && op != "Div";
    Ok(if both_whole { Tensor { kind: Kind::Int, ..result } } else { result })
}

fn power(graph: &mut Graph, arguments: &Arguments) -> Result<Tensor> {
    let base = arguments.operand(0, "self")?;
    match arguments.number(1, "exponent") {
        Ok(Some(1.0)) => Ok(base),
        Ok(Some(2.0)) => binary(graph, "Mul", &base, &base),
        Ok(Some(0.5)) => unary(graph, "Sqrt", &base),
        _ => binary(graph, "Pow", &base, &arguments.operand(1, "exponent")?),
    }
}

/// Adds an operator of two operands, or computes it if both are constants.
pub fn binary(graph: &mut Graph, op: &str, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    ensure!(a.kind != Kind::Bool && b.kind != Kind::Bool, "it computes with a tensor of bools, which is not served");
    if let (Some(x), Some(y)) = (a.as_constant(), b.as_constant()) {
        let compute: fn(f32, f32) -> f32 = match op {
            "Add" => |x, y| x + y,
            "Sub" => |x, y| x - y,
            "Mul" => |x, y| x * y,
            "Div" => |x, y| x / y,
            "Max" => f32::max,
            "Min" => f32::min,
            _ => f32::powf,
        };
        return fold(graph, (a, x), (b, y), compute);
    }
    let shape = graph.broadcast(&a.shape, &b.shape)?;
    graph.add(op, &[a, b], shape)
}

fn fold(
    graph: &mut Graph,
    (a, x): (&Tensor, &Constant),
    (b, y): (&Tensor, &Constant),
    compute: fn(f32, f32) -> f32,
) -> Result<Tensor> {
    let shape = graph.broadcast(&a.shape, &b.shape)?;
    let count = graph.width(&shape)?;
    graph.charge(count)?;
    let sizes = |tensor: &Tensor| tensor.known_shape().context("a constant has a shape that is not known");
    let (from, known) = ((sizes(a)?, sizes(b)?), sizes(&Tensor { shape, ..a.clone() })?);
    let number = |numbers: &[f32], sizes: &[usize], index: usize| numbers[broadcast_index(index, &known, sizes)];
    let numbers = (0..count).map(|i| compute(number(&x.numbers, &from.0, i), number(&y.numbers, &from.1, i)));
    Ok(Tensor::constant(&known, numbers.collect()))
}

/// Returns the index in a tensor of `sizes` that is broadcast to the shape `whole`, for an index in the latter.
fn broadcast_index(mut index: usize, whole: &[usize], sizes: &[usize]) -> usize {
    let (mut found, mut stride) = (0, 1);
    for (back, size) in whole.iter().rev().enumerate() {
        let at = index % size;
        index /= size;
        if let Some(own) = sizes.len().checked_sub(back + 1).map(|i| sizes[i]) {
            found += if own == 1 { 0 } else { at * stride };
            stride *= own;
        }
    }
    found
}

/// Adds an operator of one operand, or computes it if that is a constant.
pub fn unary(graph: &mut Graph, op: &str, x: &Tensor) -> Result<Tensor> {
    ensure!(x.kind != Kind::Bool, "it computes with a tensor of bools, which is not served");
    let compute: Option<fn(f32) -> f32> = match op {
        "Neg" => Some(|x| -x),
        "Exp" => Some(f32::exp),
        "Log" => Some(f32::ln),
        "Sqrt" => Some(f32::sqrt),
        "Reciprocal" => Some(|x| 1.0 / x),
        "Abs" => Some(f32::abs),
        "Tanh" => Some(f32::tanh),
        "Relu" => Some(|x| x.max(0.0)),
        _ => None,
    };
    if let (Some(constant), Some(compute)) = (x.as_constant(), compute) {
        graph.charge(constant.numbers.len())?;
        let numbers = constant.numbers.iter().map(|number| compute(*number)).collect();
        let content = Content::Constant(Constant { numbers: std::rc::Rc::new(numbers), label: "".into() });
        return Ok(Tensor { kind: Kind::Float, content, ..x.clone() });
    }
    graph.add(op, &[x], x.shape.clone())
}

/// A step of a formula: an operator and its second operand.
type Step<'a> = (&'a str, Option<f32>);

/// Computes one step after the other.
fn steps(graph: &mut Graph, x: &Tensor, steps: &[Step]) -> Result<Tensor> {
    let mut x = x.clone();
    for (op, operand) in steps {
        x = match operand {
            Some(number) => binary(graph, op, &x, &Tensor::scalar(*number))?,
            None => unary(graph, op, &x)?,
        };
    }
    Ok(x)
}

/// The scale and alpha of SELU, from its paper as in `torch.nn.SELU`.
const SELU: (f32, f32) = (1.050_701, 1.673_263_2);

fn activation(graph: &mut Graph, name: &str, arguments: &Arguments) -> Result<Option<Tensor>> {
    let number = |index, name, default: f64| anyhow::Ok(arguments.number(index, name)?.unwrap_or(default) as f32);
    let x = || arguments.tensor(0, "self");
    Ok(Some(match name {
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
        _ => return Ok(None),
    }))
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

/// An argument's position and name.
type Place<'a> = (usize, &'a str);

fn clamp(graph: &mut Graph, arguments: &Arguments, low: Place, high: Place) -> Result<Tensor> {
    let x = arguments.operand(0, "self")?;
    let bound = |place: Place| arguments.get(place.0, place.1).map(|_| arguments.operand(place.0, place.1)).transpose();
    let (low, high) = (bound(low)?, bound(high)?);
    let scalar = |bound: &Option<Tensor>| bound.as_ref().map(|bound| single(bound)).unwrap_or(Some(None));
    if let (Some(low), Some(high)) = (scalar(&low), scalar(&high)) {
        return bounded(graph, &x, low.map(f64::from), high.map(f64::from));
    }
    let mut x = x;
    for (op, bound) in [("Max", low), ("Min", high)] {
        if let Some(bound) = bound {
            x = binary(graph, op, &x, &bound)?;
        }
    }
    Ok(x)
}

/// Returns the number of a constant that is one number, without a dimension.
#[allow(clippy::option_option, reason = "the outer one says that the bound is no single number")]
fn single(bound: &Tensor) -> Option<Option<f32>> {
    match bound.as_constant()?.numbers[..] {
        [number] if bound.rank() == 0 => Some(Some(number)),
        _ => None,
    }
}

/// Clamps numbers as PyTorch does: the upper bound counts last.
fn bounded(graph: &mut Graph, x: &Tensor, low: Option<f64>, high: Option<f64>) -> Result<Tensor> {
    let (low, high) = (low.map(|low| low as f32), high.map(|high| high as f32));
    match (low, high) {
        (Some(low), Some(high)) if low <= high && x.as_constant().is_none() => {
            graph.add("Clip", &[x, &Tensor::scalar(low), &Tensor::scalar(high)], x.shape.clone())
        }
        _ => {
            let bounds = [low.map(|low| ("Max", Some(low))), high.map(|high| ("Min", Some(high)))];
            steps(graph, x, &bounds.into_iter().flatten().collect::<Vec<_>>())
        }
    }
}

fn compare(graph: &mut Graph, name: &str, arguments: &Arguments) -> Result<Tensor> {
    let (a, b) = (arguments.operand(0, "self")?, arguments.operand(1, "other")?);
    ensure!(a.kind != Kind::Bool && b.kind != Kind::Bool, "it compares bools, which is not served");
    let op = match name {
        "gt" | "greater" => "Greater",
        "ge" | "greater_equal" => "GreaterOrEqual",
        "lt" | "less" => "Less",
        "le" | "less_equal" => "LessOrEqual",
        _ => "Equal",
    };
    if let (Some(x), Some(y)) = (a.as_constant(), b.as_constant()) {
        let compute: fn(f32, f32) -> f32 = match op {
            "Greater" => |x, y| f32::from(x > y),
            "GreaterOrEqual" => |x, y| f32::from(x >= y),
            "Less" => |x, y| f32::from(x < y),
            "LessOrEqual" => |x, y| f32::from(x <= y),
            _ if name == "ne" => |x, y| f32::from(x != y),
            _ => |x, y| f32::from(x == y),
        };
        let result = fold(graph, (&a, x), (&b, y), compute)?;
        return Ok(Tensor { kind: Kind::Bool, ..result });
    }
    let shape = graph.broadcast(&a.shape, &b.shape)?;
    let result = Tensor { kind: Kind::Bool, ..graph.add(op, &[&a, &b], shape)? };
    if name == "ne" { logical(graph, "Not", &[result]) } else { Ok(result) }
}

fn logical(graph: &mut Graph, op: &str, operands: &[Tensor]) -> Result<Tensor> {
    ensure!(operands.iter().all(|operand| operand.kind == Kind::Bool), "its operands are not tensors of bools");
    let mut shape: Vec<Dim> = vec![];
    for operand in operands {
        shape = graph.broadcast(&shape, &operand.shape)?;
    }
    let result = graph.add(op, &operands.iter().collect::<Vec<_>>(), shape)?;
    Ok(Tensor { kind: Kind::Bool, ..result })
}

fn choose(graph: &mut Graph, condition: &Tensor, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if condition.kind != Kind::Bool || a.kind == Kind::Bool || b.kind == Kind::Bool {
        bail!("it chooses by a tensor that is not of bools, or among bools, which is not served");
    }
    let shape = graph.broadcast(&a.shape, &b.shape)?;
    let shape = graph.broadcast(&shape, &condition.shape)?;
    graph.add("Where", &[condition, a, b], shape)
}
