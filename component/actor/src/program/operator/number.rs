//! Arithmetic on numbers that are known, as Python computes it.

use anyhow::{Context, Result, bail};

use super::arguments::{integer, number};
use super::{Arguments, NotServed};
use crate::program::graph::Graph;
use crate::program::value::Value;

/// Arithmetic on numbers that are known.
pub fn arithmetic(graph: &Graph, name: &str, arguments: &Arguments) -> Result<Option<Value>> {
    let resolved = |value: &Value| match value {
        Value::Size(dim) => Value::dim(graph.resolve(*dim)),
        other => other.clone(),
    };
    let values = arguments.all().map(resolved).collect::<Vec<_>>();
    let compared = ["eq", "ne"].contains(&name);
    match (&values[..], name) {
        ([Value::Text(a), Value::Text(b)], _) if compared => return Ok(Some(Value::Bool((a == b) == (name == "eq")))),
        ([Value::List(a), Value::List(b)], _) if compared => {
            let numbers = |list: &[Value]| list.iter().map(number).collect::<Option<Vec<_>>>();
            let (a, b) = (numbers(&a.elements()), numbers(&b.elements()));
            let (Some(a), Some(b)) = (a, b) else { bail!("it compares lists whose elements are not known") };
            return Ok(Some(Value::Bool((a == b) == (name == "eq"))));
        }
        ([Value::List(a), Value::List(b)], "add") => {
            return Value::list([a.elements(), b.elements()].concat()).map(Some);
        }
        ([size @ Value::Size(_), Value::Int(1)] | [Value::Int(1), size @ Value::Size(_)], "mul")
        | ([size @ Value::Size(_), Value::Int(1)], "floordiv" | "floor_divide") => return Ok(Some(size.clone())),
        _ => {}
    }
    let known = !values.iter().any(|value| matches!(value, Value::Size(_)));
    Ok(match (&values[..], known) {
        ([a, b, ..], true) => match (integer(a), integer(b), number(a), number(b)) {
            (Some(a), Some(b), ..) => whole(name, a, b)?,
            (_, _, Some(a), Some(b)) => real(name, a, b),
            _ => None,
        },
        ([Value::Int(a)], _) if name == "neg" => Some(Value::Int(a.saturating_neg())),
        ([Value::Float(a)], _) if name == "neg" => Some(Value::Float(-a)),
        ([Value::Float(a)], _) if name == "sqrt" => Some(Value::Float(a.sqrt())),
        ([Value::Float(a)], _) if name == "exp" => Some(Value::Float(a.exp())),
        ([Value::Float(a)], _) if name == "log" => Some(Value::Float(a.ln())),
        ([Value::Int(a)], _) if name == "sqrt" => Some(Value::Float((*a as f64).sqrt())),
        ([a], true) if name == "__not__" => Some(Value::Bool(number(a).context("it negates an object")? == 0.0)),
        (_, false) if WHOLE.contains(&name) => bail!("it depends on the number of states, which is not served"),
        _ => None,
    })
}

/// The operators of [`whole`].
const WHOLE: &[&str] = &[
    "add",
    "sub",
    "mul",
    "div",
    "floordiv",
    "floor_divide",
    "remainder",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "pow",
    "prim.max",
    "prim.min",
    "__and__",
    "__or__",
];

pub fn whole(name: &str, a: i64, b: i64) -> Result<Option<Value>> {
    let overflow = "a whole number is too large";
    Ok(Some(match name {
        "add" => Value::Int(a.checked_add(b).context(overflow)?),
        "sub" => Value::Int(a.checked_sub(b).context(overflow)?),
        "mul" => Value::Int(a.checked_mul(b).context(overflow)?),
        "floordiv" | "floor_divide" => {
            let quotient = a.checked_div_euclid(b).context("it divides by zero")?;
            // The Euclidean quotient rounds towards zero for a negative divisor where Python rounds down.
            Value::Int(if b < 0 && a.rem_euclid(b) != 0 { quotient - 1 } else { quotient })
        }
        "remainder" => {
            let rest = a.checked_rem(b).context("it divides by zero")?;
            Value::Int(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest })
        }
        "prim.max" => Value::Int(a.max(b)),
        "prim.min" => Value::Int(a.min(b)),
        "__and__" => Value::Int(a & b),
        "__or__" => Value::Int(a | b),
        "eq" => Value::Bool(a == b),
        "ne" => Value::Bool(a != b),
        _ => return Ok(real(name, a as f64, b as f64)),
    }))
}

pub fn real(name: &str, a: f64, b: f64) -> Option<Value> {
    Some(match name {
        "add" => Value::Float(a + b),
        "sub" => Value::Float(a - b),
        "mul" => Value::Float(a * b),
        "div" => Value::Float(a / b),
        "pow" => Value::Float(a.powf(b)),
        "prim.max" => Value::Float(a.max(b)),
        "prim.min" => Value::Float(a.min(b)),
        "eq" => Value::Bool(a == b),
        "ne" => Value::Bool(a != b),
        "lt" => Value::Bool(a < b),
        "le" => Value::Bool(a <= b),
        "gt" => Value::Bool(a > b),
        "ge" => Value::Bool(a >= b),
        _ => return None,
    })
}

/// Returns the number that a tensor holds, or a size.
pub fn to_number(graph: &Graph, name: &str, value: &Value) -> Result<Value> {
    if let Value::Size(dim) = value {
        return Ok(Value::dim(graph.resolve(*dim)));
    }
    let number = number(value);
    match name {
        "Int" | "IntImplicit" => {
            let number = number.context("a whole number depends on the state, which is not served")?;
            Ok(match value {
                Value::Int(int) => Value::Int(*int),
                _ => Value::Int(number.trunc() as i64),
            })
        }
        "Bool" => Ok(Value::Bool(number.context("it chooses by the state, which is not served")? != 0.0)),
        _ => match (value, number) {
            (Value::Int(int), Some(_)) if name != "Float" => Ok(Value::Int(*int)),
            (_, Some(number)) => Ok(Value::Float(number)),
            // A number that a graph computes stays a tensor.
            (Value::Tensor(tensor), None) => Ok(Value::Tensor(tensor.clone())),
            _ => Err(NotServed.into()),
        },
    }
}
