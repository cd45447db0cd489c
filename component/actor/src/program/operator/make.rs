//! Operators that make tensors: constants, and constants of the shape of another tensor.

use anyhow::{Context, Result, bail, ensure};

use super::Arguments;
use super::arguments::number;
use super::elementwise::binary;
use crate::program::graph::{Graph, STATE};
use crate::program::value::{Content, Dim, Kind, Tensor, Value};

pub fn call(graph: &mut Graph, name: &str, arguments: &Arguments) -> Result<Option<Value>> {
    let filled = |graph: &mut Graph, shape: Vec<Dim>, number: Option<f64>, kind: Kind| {
        let number = number.context("its value is missing")? as f32;
        anyhow::Ok(Tensor { kind, ..expanded(graph, &Tensor::scalar(number), shape)? })
    };
    let like = || arguments.tensor(0, "self").map(|tensor| (tensor.shape, tensor.kind));
    let sizes = |index, name| {
        let sizes = arguments.sizes(index, name)?.into_iter().collect::<Option<Vec<_>>>();
        sizes.context("one of its sizes is open")
    };
    let kind = |default| arguments.integer(usize::MAX, "dtype")?.map_or(Ok(default), kind_of);
    let tensor = match name {
        "zeros" => filled(graph, sizes(0, "size")?, Some(0.0), kind(Kind::Float)?)?,
        "ones" => filled(graph, sizes(0, "size")?, Some(1.0), kind(Kind::Float)?)?,
        "full" => filled(graph, sizes(0, "size")?, arguments.number(1, "fill_value")?, kind(Kind::Float)?)?,
        "zeros_like" | "zero" => filled(graph, like()?.0, Some(0.0), kind(like()?.1)?)?,
        "ones_like" => filled(graph, like()?.0, Some(1.0), kind(like()?.1)?)?,
        "full_like" => filled(graph, like()?.0, arguments.number(1, "fill_value")?, kind(like()?.1)?)?,
        "fill" => filled(graph, like()?.0, arguments.number(1, "value")?, like()?.1)?,
        "new_zeros" | "new_ones" | "new_full" => {
            let value = match name {
                "new_zeros" => Some(0.0),
                "new_ones" => Some(1.0),
                _ => arguments.number(2, "fill_value")?,
            };
            filled(graph, sizes(1, "size")?, value, kind(like()?.1)?)?
        }
        "copy" => {
            let (target, source) = (arguments.tensor(0, "self")?, arguments.tensor(1, "src")?);
            expanded(graph, &source, target.shape)?
        }
        "tensor" | "scalar_tensor" | "as_tensor" => {
            let value = arguments.get(0, "data").or(arguments.get(0, "s")).context("its data is missing")?;
            let (mut shape, mut numbers, mut whole) = (vec![], vec![], true);
            collect(graph, value, 0, &mut shape, &mut numbers, &mut whole)?;
            ensure!(shape.iter().product::<usize>() == numbers.len(), "its rows have different lengths");
            let whole = if whole { Kind::Int } else { Kind::Float };
            Tensor { kind: kind(whole)?, ..Tensor::constant(&shape, numbers) }
        }
        _ => return Ok(None),
    };
    Ok(Some(tensor.value()))
}

/// Returns the kind of a type by its number in PyTorch.
pub fn kind_of(dtype: i64) -> Result<Kind> {
    Ok(match dtype {
        0..=4 => Kind::Int,
        6 | 7 => Kind::Float,
        11 => Kind::Bool,
        _ => bail!("it computes in numbers of another type than float32, which is not served"),
    })
}

/// Adds the numbers of nested lists, with the length of the first list of each level.
fn collect(
    graph: &mut Graph,
    value: &Value,
    depth: usize,
    shape: &mut Vec<usize>,
    numbers: &mut Vec<f32>,
    whole: &mut bool,
) -> Result<()> {
    if let Value::List(list) = value {
        if shape.len() <= depth {
            shape.push(list.len());
        }
        return list.elements().iter().try_for_each(|value| collect(graph, value, depth + 1, shape, numbers, whole));
    }
    graph.charge_constant(1)?;
    *whole &= matches!(value, Value::Int(_));
    numbers.push(number(value).context("its data holds something else than known numbers")? as f32);
    Ok(())
}

/// Repeats a tensor along the dimensions that it lacks, or in which it has the size one.
pub fn expanded(graph: &mut Graph, x: &Tensor, shape: Vec<Dim>) -> Result<Tensor> {
    let shape = graph.broadcast(&x.shape, &shape)?;
    if shape == graph.shape(x) {
        return Ok(x.clone());
    }
    let zeros = zeros(graph, &shape)?;
    let kind = x.kind;
    if let (Some(constant), Some(sizes)) = (x.as_constant(), x.known_shape())
        && sizes.iter().product::<usize>() == 1
    {
        // One number everywhere.
        let label = constant.label.clone();
        let filled = binary(graph, "Add", &Tensor::scalar(constant.numbers[0]), &zeros)?;
        return Ok(match filled.content {
            Content::Constant(mut constant) => {
                constant.label = label;
                Tensor { kind, content: Content::Constant(constant), ..filled }
            }
            Content::Computed(_) => filled,
        });
    }
    ensure!(kind != Kind::Bool, "it repeats a tensor of bools, which is not served");
    binary(graph, "Add", x, &zeros)
}

/// Returns zeros of a shape. For the dimension of the states they are computed from the states.
fn zeros(graph: &mut Graph, shape: &[Dim]) -> Result<Tensor> {
    let size = |dim: &Dim| match graph.resolve(*dim) {
        Dim::Known(size) => Ok(size),
        Dim::Batch => Ok(1),
        Dim::State(_) => bail!("it repeats numbers before state_dim is known"),
    };
    let sizes = shape.iter().map(size).collect::<Result<Vec<_>>>()?;
    let known = sizes.iter().copied().map(Dim::Known).collect::<Vec<_>>();
    let count = graph.width(&known)?;
    graph.charge_constant(count)?;
    let constant = Tensor::constant(&sizes, vec![0.0; count]);
    let Some(at) = shape.iter().position(|dim| graph.resolve(*dim) == Dim::Batch) else { return Ok(constant) };
    let state =
        Tensor { shape: vec![Dim::Batch, Dim::State(0)], kind: Kind::Float, content: Content::Computed(STATE.into()) };
    let column = graph.add_with("Slice", &[&state], &[&[0], &[1], &[1]], vec![], vec![Dim::Batch, Dim::Known(1)])?;
    let nothing = binary(graph, "Mul", &column, &Tensor::scalar(0.0))?;
    let mut list = vec![1; shape.len()];
    list[at] = -1;
    let dims = (0..shape.len()).map(|i| if i == at { Dim::Batch } else { Dim::Known(1) }).collect();
    let nothing = graph.add_with("Reshape", &[&nothing], &[&list], vec![], dims)?;
    binary(graph, "Add", &constant, &nothing)
}
