//! Arithmetic on tensors, number by number. Constants are computed at once.

use std::rc::Rc;

use anyhow::{Context, Result, ensure};

use super::Arguments;
use crate::program::graph::Graph;
use crate::program::value::{Constant, Content, Kind, Tensor, Value};

pub fn call(graph: &mut Graph, name: &str, arguments: &Arguments) -> Result<Option<Value>> {
    let tensor = match name {
        "add" | "sub" | "rsub" | "mul" | "div" | "divide" | "multiply" | "subtract" | "true_divide" => {
            arithmetic(graph, name, arguments)?
        }
        "pow" => power(graph, arguments)?,
        // With a number instead of a second tensor, `max` and `min` reduce along that dimension.
        "max" | "min" | "maximum" | "minimum" if matches!(arguments.get(1, "other"), Some(Value::Tensor(_))) => {
            let op = if name.starts_with("max") { "Max" } else { "Min" };
            let (a, b) = (arguments.operand(0, "self")?, arguments.operand(1, "other")?);
            binary(graph, op, &a, &b)?
        }
        _ => return Ok(None),
    };
    Ok(Some(tensor.value()))
}

fn arithmetic(graph: &mut Graph, name: &str, arguments: &Arguments) -> Result<Tensor> {
    ensure!(arguments.get(usize::MAX, "rounding_mode").is_none(), "it rounds the quotient, which is not served");
    let (a, mut b) = (arguments.operand(0, "self")?, arguments.operand(1, "other")?);
    let (a, op) = match name {
        "add" => (a, "Add"),
        "sub" | "subtract" => (a, "Sub"),
        "rsub" => (std::mem::replace(&mut b, a), "Sub"),
        "mul" | "multiply" => (a, "Mul"),
        _ => (a, "Div"),
    };
    let alpha = if ["Add", "Sub"].contains(&op) { arguments.number(2, "alpha")?.unwrap_or(1.0) } else { 1.0 };
    if alpha != 1.0 {
        b = binary(graph, "Mul", &b, &Tensor::scalar(alpha as f32))?;
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

pub fn fold(
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
        let content = Content::Constant(Constant { numbers: Rc::new(numbers), label: "".into() });
        return Ok(Tensor { kind: Kind::Float, content, ..x.clone() });
    }
    graph.add(op, &[x], x.shape.clone())
}

/// A step of a formula: an operator and its second operand.
pub type Step<'a> = (&'a str, Option<f32>);

/// Computes one step after the other.
pub fn steps(graph: &mut Graph, x: &Tensor, steps: &[Step]) -> Result<Tensor> {
    let mut x = x.clone();
    for (op, operand) in steps {
        x = match operand {
            Some(number) => binary(graph, op, &x, &Tensor::scalar(*number))?,
            None => unary(graph, op, &x)?,
        };
    }
    Ok(x)
}
