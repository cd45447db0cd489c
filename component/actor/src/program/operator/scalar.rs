//! Operators that need no graph: numbers, lists and sizes that are known, and tensors that stay as they are.

use anyhow::{Context, Result, bail, ensure};

use super::arguments::{integer, number};
use super::make::kind_of;
use super::{Arguments, NotServed};
use crate::program::graph::Graph;
use crate::program::value::{Constant, Content, Dim, Kind, Tensor, Value};

pub fn call(graph: &mut Graph, name: &str, arguments: &Arguments) -> Result<Option<Value>> {
    if let Some(value) = unchanged(graph, name, arguments)? {
        return Ok(Some(value));
    }
    if let Some(value) = list(graph, name, arguments)? {
        return Ok(Some(value));
    }
    let is_scalar = arguments.len() > 0 && !arguments.all().any(|value| matches!(value, Value::Tensor(_)));
    if is_scalar && let Some(value) = arithmetic(graph, name, arguments)? {
        return Ok(Some(value));
    }
    Ok(Some(match name {
        "prim.NumToTensor" | "prim.unchecked_cast" | "prim.data" | "lift_fresh" => first(arguments)?.clone(),
        "Int"
        | "IntImplicit"
        | "ScalarImplicit"
        | "item"
        | "_local_scalar_dense"
        | "Float"
        | "FloatImplicit"
        | "Bool" => to_number(graph, name, first(arguments)?)?,
        "__is__" | "__isnot__" => {
            let [a, b] = &arguments.positional[..] else { bail!("it takes two arguments") };
            let both_none = matches!((a, b), (Value::None, Value::None));
            ensure!(both_none || matches!(a, Value::None) || matches!(b, Value::None), "it compares objects");
            Value::Bool(both_none == (name == "__is__"))
        }
        "format" | "prim.name" => Value::Text("".into()),
        "device" | "prim.device" => Value::Text("cpu".into()),
        "prim.dtype" => Value::Int(match arguments.tensor(0, "a")?.kind {
            Kind::Float => 6,
            Kind::Int => 4,
            Kind::Bool => 11,
        }),
        "prim.layout" => Value::Int(0),
        "prim.is_cuda" | "prim.requires_grad" => Value::Bool(false),
        "is_floating_point" => Value::Bool(arguments.tensor(0, "a")?.kind == Kind::Float),
        "warn"
        | "_assert_tensor_metadata"
        | "_assert_async"
        | "_assert_scalar"
        | "sym_constrain_range"
        | "sym_constrain_range_for_size" => Value::None,
        _ => return Ok(None),
    }))
}

fn first(arguments: &Arguments) -> Result<&Value> {
    arguments.all().next().context("its argument is missing")
}

/// Operators whose result is their argument.
fn unchanged(graph: &mut Graph, name: &str, arguments: &Arguments) -> Result<Option<Value>> {
    match name {
        "dropout" | "feature_dropout" | "alpha_dropout" | "feature_alpha_dropout" => {
            let is_used = arguments.flag(2, "train")? && arguments.number(1, "p")? != Some(0.0);
            ensure!(!is_used, "it is in training mode: call eval() before the export");
        }
        "detach" | "contiguous" | "alias" | "cpu" | "requires_grad" | "positive" | "lift_fresh_copy" => {}
        "clone" => return Ok(Some(arguments.tensor(0, "self")?.value())),
        "to" | "_to_copy" | "type_as" | "float" | "double" => return convert(graph, name, arguments).map(Some),
        _ => return Ok(None),
    }
    Ok(Some(Value::Tensor(arguments.handle(0, "self")?.clone())))
}

/// Converts a tensor to another type. Floats of 32 and 64 bits are the same here.
fn convert(graph: &mut Graph, name: &str, arguments: &Arguments) -> Result<Value> {
    let Some(Value::Tensor(handle)) = arguments.get(0, "self") else { return Ok(first(arguments)?.clone()) };
    let x = handle.read()?;
    let dtype = arguments.positional.iter().skip(1).find(|value| matches!(value, Value::Int(_)));
    let other = arguments.all().skip(1).find_map(|value| match value {
        Value::Tensor(other) => Some(other.read().map(|other| other.kind)),
        _ => None,
    });
    let kind = match (arguments.get(usize::MAX, "dtype").or(dtype), other) {
        _ if name == "float" || name == "double" => Kind::Float,
        (Some(Value::Int(dtype)), _) => kind_of(*dtype)?,
        (_, Some(kind)) => kind?,
        _ => x.kind,
    };
    if kind == x.kind {
        return Ok(Value::Tensor(handle.clone()));
    }
    if let Some(constant) = x.as_constant() {
        let number = |number: &f32| match kind {
            Kind::Float => *number,
            Kind::Int => number.trunc(),
            Kind::Bool => f32::from(*number != 0.0),
        };
        let numbers = constant.numbers.iter().map(number).collect::<Vec<_>>();
        let content = Content::Constant(Constant { numbers: numbers.into(), label: constant.label.clone() });
        return Ok(Tensor { kind, content, ..x.clone() }.value());
    }
    ensure!(x.kind == Kind::Bool && kind == Kind::Float, "it rounds numbers, which is not served");
    let to = crate::program::graph::integer("to", 1);
    Ok(graph.add_with("Cast", &[&x], &[], vec![to], x.shape.clone())?.value())
}

/// Operators on lists, and on the sizes of tensors.
fn list(graph: &mut Graph, name: &str, arguments: &Arguments) -> Result<Option<Value>> {
    let size = |graph: &Graph, dim: Dim| match graph.resolve(dim) {
        Dim::State(_) => Value::Size(dim),
        dim => Value::dim(dim),
    };
    Ok(Some(match (name, arguments.all().next()) {
        ("size" | "sym_size" | "prim.shape", _) => {
            let shape = graph.shape(&arguments.tensor(0, "self")?);
            match arguments.integer(1, "dim")? {
                Some(dim) => size(graph, shape[super::shape::axis(dim, shape.len())?]),
                None => Value::list(shape.into_iter().map(|dim| size(graph, dim)).collect())?,
            }
        }
        ("dim" | "ndimension", _) => Value::Int(arguments.tensor(0, "self")?.rank() as i64),
        ("numel", _) => {
            let shape = arguments.tensor(0, "self")?.known_shape().context("it counts the numbers of all states")?;
            Value::Int(i64::try_from(shape.into_iter().fold(1usize, usize::saturating_mul))?)
        }
        ("len", Some(Value::List(list))) => Value::Int(list.len() as i64),
        ("len", Some(Value::Tensor(tensor))) => {
            let first = *tensor.read()?.shape.first().context("it is a single number")?;
            size(graph, first)
        }
        ("list" | "copy", Some(Value::List(list))) => Value::list(list.elements())?,
        ("prim.ListConstruct" | "prim.TupleConstruct", _) => Value::list(arguments.positional.clone())?,
        ("append", Some(Value::List(list))) => {
            list.append(arguments.positional.get(1).context("its element is missing")?.clone())?;
            Value::List(list.clone())
        }
        ("__getitem__" | "getitem", Some(Value::List(list))) => {
            let index = arguments.all().nth(1).and_then(integer).context("its index is not known")?;
            list.get(index).with_context(|| format!("element {index} of a list of {}", list.len()))?
        }
        _ => return Ok(None),
    }))
}

/// Arithmetic on numbers that are known.
fn arithmetic(graph: &Graph, name: &str, arguments: &Arguments) -> Result<Option<Value>> {
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

fn whole(name: &str, a: i64, b: i64) -> Result<Option<Value>> {
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

fn real(name: &str, a: f64, b: f64) -> Option<Value> {
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
fn to_number(graph: &Graph, name: &str, value: &Value) -> Result<Value> {
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
