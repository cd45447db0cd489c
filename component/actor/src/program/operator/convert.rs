//! Operators whose result is their argument, and conversions to another type.

use anyhow::{Result, ensure};

use super::Arguments;
use super::make::kind_of;
use super::scalar::first;
use crate::program::graph::{Graph, integer};
use crate::program::value::{Constant, Content, Kind, Tensor, Value};

/// Operators whose result is their argument.
pub fn call(graph: &mut Graph, name: &str, arguments: &Arguments) -> Result<Option<Value>> {
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
pub fn convert(graph: &mut Graph, name: &str, arguments: &Arguments) -> Result<Value> {
    let Some(Value::Tensor(handle)) = arguments.get(0, "self") else { return Ok(first(arguments)?.clone()) };
    let x = handle.read()?;
    let dtype = arguments.positional().skip(1).find(|value| matches!(value, Value::Int(_)));
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
    let to = integer("to", 1);
    Ok(graph.add_with("Cast", &[&x], &[], vec![to], x.shape.clone())?.value())
}
