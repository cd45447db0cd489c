//! Linear layers, products of matrices, and normalisation layers.

use anyhow::{Context, Result, ensure};

use super::Arguments;
use super::elementwise::{binary, unary};
use super::reduce::mean;
use super::shape::permuted;
use crate::program::graph::{Graph, integer};
use crate::program::value::{Dim, Tensor, Value};

pub fn call(graph: &mut Graph, name: &str, arguments: &Arguments) -> Result<Option<Value>> {
    let tensor = match name {
        "linear" => {
            let (x, weight) = (arguments.tensor(0, "input")?, arguments.tensor(1, "weight")?);
            let bias = arguments.optional_tensor(2, "bias")?;
            linear(graph, &x, &weight, bias.as_ref())?
        }
        "addmm" => {
            let (bias, x) = (arguments.tensor(0, "self")?, arguments.tensor(1, "mat1")?);
            let weight = arguments.tensor(2, "mat2")?;
            for (index, name) in [(3, "beta"), (4, "alpha")] {
                ensure!(arguments.number(index, name)?.is_none_or(|n| n == 1.0), "its {name} is not 1");
            }
            let product = product(graph, &x, &weight)?;
            binary(graph, "Add", &product, &bias)?
        }
        "matmul" | "mm" => {
            let name = if name == "mm" { "mat2" } else { "other" };
            let (a, b) = (arguments.tensor(0, "self")?, arguments.tensor(1, name)?);
            product(graph, &a, &b)?
        }
        "layer_norm" | "native_layer_norm" => {
            let normalised = layer_norm(graph, arguments)?;
            if name == "native_layer_norm" {
                return Value::list(vec![normalised.value(), Value::None, Value::None]).map(Some);
            }
            normalised
        }
        "batch_norm" | "_native_batch_norm_legit_no_training" => {
            let normalised = batch_norm(graph, name, arguments)?;
            if name != "batch_norm" {
                return Value::list(vec![normalised.value(), Value::None, Value::None]).map(Some);
            }
            normalised
        }
        _ => return Ok(None),
    };
    Ok(Some(tensor.value()))
}

/// x · weightᵀ + bias, for a weight of [outputs, inputs].
fn linear(graph: &mut Graph, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let [Dim::Known(outputs), Dim::Known(inputs)] = graph.shape(weight)[..] else {
        anyhow::bail!("its weight is not a matrix of known size");
    };
    let Some((last, rows)) = x.shape.split_last() else { anyhow::bail!("its input is a single number") };
    graph.unify(*last, Dim::Known(inputs))?;
    let shape = [rows, &[Dim::Known(outputs)]].concat();
    if let (2, Some(_), Some(bias)) = (x.rank(), weight.as_constant(), bias)
        && bias.as_constant().is_some()
        && bias.known_shape().is_some_and(|shape| shape == [outputs])
    {
        graph.charge(inputs.saturating_mul(outputs))?;
        return graph.add_with("Gemm", &[x, weight, bias], &[], vec![integer("transB", 1)], shape);
    }
    let transposed = permuted(graph, weight, &[1, 0])?;
    let product = product(graph, x, &transposed)?;
    match bias {
        Some(bias) => binary(graph, "Add", &product, bias),
        None => Ok(product),
    }
}

/// The product of computed numbers and a matrix of known size.
fn product(graph: &mut Graph, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let [Dim::Known(inputs), Dim::Known(outputs)] = graph.shape(b)[..] else {
        anyhow::bail!("it multiplies by a tensor that is not a matrix of known size, which is not served");
    };
    ensure!(!b.shape.contains(&Dim::Batch), "it multiplies states with one another, which is not served");
    let Some((last, rows)) = a.shape.split_last() else { anyhow::bail!("its input is a single number") };
    graph.unify(*last, Dim::Known(inputs))?;
    let outer = rows.iter().filter_map(|dim| if let Dim::Known(size) = dim { Some(*size) } else { None });
    let outer = outer.fold(1usize, usize::saturating_mul);
    graph.charge(inputs.saturating_mul(outputs).saturating_mul(outer))?;
    graph.add("MatMul", &[a, b], [rows, &[Dim::Known(outputs)]].concat())
}

/// Normalises over the last dimension.
fn layer_norm(graph: &mut Graph, arguments: &Arguments) -> Result<Tensor> {
    let x = arguments.tensor(0, "input")?;
    let sizes = arguments.integers(1, "normalized_shape")?;
    let [size] = sizes[..] else { anyhow::bail!("it normalises over more than one dimension, which is not served") };
    let last = *x.shape.last().context("its input is a single number")?;
    graph.unify(last, Dim::Known(usize::try_from(size)?))?;
    let eps = arguments.number(4, "eps")?.unwrap_or(1e-5) as f32;
    let centre = mean(graph, &x, &[x.rank() - 1], true)?;
    let centred = binary(graph, "Sub", &x, &centre)?;
    let square = binary(graph, "Mul", &centred, &centred)?;
    let variance = mean(graph, &square, &[x.rank() - 1], true)?;
    let variance = binary(graph, "Add", &variance, &Tensor::scalar(eps))?;
    let deviation = unary(graph, "Sqrt", &variance)?;
    let normalised = binary(graph, "Div", &centred, &deviation)?;
    let (weight, bias) = (arguments.optional_tensor(2, "weight")?, arguments.optional_tensor(3, "bias")?);
    scaled(graph, normalised, weight.as_ref(), bias.as_ref())
}

/// Normalises each number of [batch, n] by the statistics of training.
fn batch_norm(graph: &mut Graph, name: &str, arguments: &Arguments) -> Result<Tensor> {
    let is_training = name == "batch_norm" && arguments.flag(5, "training")?;
    ensure!(!is_training, "it is in training mode: call eval() before the export");
    let x = arguments.tensor(0, "input")?;
    ensure!(x.rank() == 2, "its input has not the two dimensions [batch, n], which is not served");
    let (mean, variance) = (arguments.tensor(3, "running_mean")?, arguments.tensor(4, "running_var")?);
    // The momentum counts in training, and cuDNN computes the same.
    let (eps, others) = match name {
        "batch_norm" => (arguments.number(7, "eps")?, &[6, 8][..]),
        _ => (arguments.number(6, "eps")?, &[5][..]),
    };
    arguments.ignore(others);
    let variance = binary(graph, "Add", &variance, &Tensor::scalar(eps.unwrap_or(1e-5) as f32))?;
    let deviation = unary(graph, "Sqrt", &variance)?;
    let centred = binary(graph, "Sub", &x, &mean)?;
    let normalised = binary(graph, "Div", &centred, &deviation)?;
    let (weight, bias) = (arguments.optional_tensor(1, "weight")?, arguments.optional_tensor(2, "bias")?);
    scaled(graph, normalised, weight.as_ref(), bias.as_ref())
}

fn scaled(graph: &mut Graph, x: Tensor, weight: Option<&Tensor>, bias: Option<&Tensor>) -> Result<Tensor> {
    let x = weight.map_or(Ok(x.clone()), |weight| binary(graph, "Mul", &x, weight))?;
    bias.map_or(Ok(x.clone()), |bias| binary(graph, "Add", &x, bias))
}
