//! Operators that need no graph: on numbers, lists and sizes that are known.

use anyhow::{Context, Result, bail, ensure};

use super::Arguments;
use super::arguments::integer;
use super::number::{arithmetic, to_number};
use crate::program::graph::Graph;
use crate::program::value::{Dim, Kind, Value};

pub fn call(graph: &mut Graph, name: &str, arguments: &Arguments) -> Result<Option<Value>> {
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
            let [a, b] = arguments.positional().collect::<Vec<_>>()[..] else { bail!("it takes two arguments") };
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

pub fn first(arguments: &Arguments) -> Result<&Value> {
    arguments.all().next().context("its argument is missing")
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
        ("prim.ListConstruct" | "prim.TupleConstruct", _) => Value::list(arguments.positional().cloned().collect())?,
        ("append", Some(Value::List(list))) => {
            list.append(arguments.positional().nth(1).context("its element is missing")?.clone())?;
            Value::List(list.clone())
        }
        ("__getitem__" | "getitem", Some(Value::List(list))) => {
            let index = arguments.all().nth(1).and_then(integer).context("its index is not known")?;
            list.get(index).with_context(|| format!("element {index} of a list of {}", list.len()))?
        }
        _ => return Ok(None),
    }))
}
