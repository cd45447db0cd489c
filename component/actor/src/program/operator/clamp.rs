//! Clamps numbers between bounds.

use anyhow::Result;

use super::Arguments;
use super::elementwise::{binary, steps};
use crate::program::graph::Graph;
use crate::program::value::{Tensor, Value};

pub fn call(graph: &mut Graph, name: &str, arguments: &Arguments) -> Result<Option<Value>> {
    let tensor = match name {
        "clamp" | "clip" => clamp(graph, arguments, (1, "min"), (2, "max"))?,
        "clamp_min" => clamp(graph, arguments, (1, "min"), (usize::MAX, "max"))?,
        "clamp_max" => clamp(graph, arguments, (usize::MAX, "min"), (1, "max"))?,
        "hardtanh" => {
            let low = arguments.number(1, "min_val")?.unwrap_or(-1.0);
            let high = arguments.number(2, "max_val")?.unwrap_or(1.0);
            bounded(graph, &arguments.tensor(0, "self")?, Some(low), Some(high))?
        }
        _ => return Ok(None),
    };
    Ok(Some(tensor.value()))
}

pub fn clamp(graph: &mut Graph, arguments: &Arguments, low: Place, high: Place) -> Result<Tensor> {
    let x = arguments.operand(0, "self")?;
    let bound = |place: Place| arguments.get(place.0, place.1).map(|_| arguments.operand(place.0, place.1)).transpose();
    let (low, high) = (bound(low)?, bound(high)?);
    let scalar = |bound: &Option<Tensor>| bound.as_ref().map(single).unwrap_or(Some(None));
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
pub fn single(bound: &Tensor) -> Option<Option<f32>> {
    match bound.as_constant()?.numbers[..] {
        [number] if bound.rank() == 0 => Some(Some(number)),
        _ => None,
    }
}

/// Clamps numbers as PyTorch does: the upper bound counts last.
pub fn bounded(graph: &mut Graph, x: &Tensor, low: Option<f64>, high: Option<f64>) -> Result<Tensor> {
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

/// An argument's position and name.
type Place<'a> = (usize, &'a str);
