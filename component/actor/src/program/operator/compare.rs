//! Comparisons, and the choice between tensors by their results.

use anyhow::{Result, bail, ensure};

use super::Arguments;
use super::elementwise::fold;
use crate::program::graph::Graph;
use crate::program::value::{Dim, Kind, Tensor, Value};

pub fn call(graph: &mut Graph, name: &str, arguments: &Arguments) -> Result<Option<Value>> {
    let tensor = match name {
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
        _ => return Ok(None),
    };
    Ok(Some(tensor.value()))
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
