//! The nodes and constants of a graph, and the patterns of which layers consist.

use std::collections::{HashMap, HashSet};

use anyhow::{Result, ensure};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto};

use super::super::read::constants;
use crate::model::Linear;

/// The nodes and constants of a graph, by the names of the values that they define.
pub struct Graph<'a> {
    nodes: HashMap<&'a str, &'a NodeProto>,
    constants: HashMap<&'a str, &'a TensorProto>,
}

impl<'a> Graph<'a> {
    pub fn new(model: &'a ModelProto) -> Option<Self> {
        let graph = model.graph.as_ref()?;
        is_sorted(graph).then_some(())?;
        let nodes = graph.node.iter().flat_map(|node| node.output.iter().map(move |output| (output.as_str(), node)));
        Some(Graph { nodes: nodes.collect(), constants: constants(graph) })
    }

    /// Returns `true` if a node computes the value.
    pub fn computes(&self, value: &str) -> bool {
        self.nodes.contains_key(value)
    }

    /// Returns the node that computes a value, and its operator.
    pub fn producer(&self, value: &str) -> Option<(&'a str, &'a NodeProto)> {
        self.nodes.get(value).map(|node| (node.op_type.as_str(), *node))
    }

    /// Follows a value back through nodes that keep its numbers and their order, of one row at least.
    pub fn same_numbers(&self, value: &'a str) -> &'a str {
        let mut at = value;
        while let Some((op, node)) = self.producer(at) {
            let keeps = match op {
                "Identity" | "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" | "Expand" | "Dropout" => true,
                "Cast" => node.attribute.iter().any(|a| a.name == "to" && a.i == i64::from(i32::from(DataType::Float))),
                _ => false,
            };
            match node.input.first() {
                Some(input) if keeps && node.output.first().is_some_and(|output| output == at) => at = input,
                _ => break,
            }
        }
        at
    }

    fn constant(&self, name: &str) -> Option<(&'a [i64], Vec<f32>)> {
        let tensor = self.tensor(name)?;
        numbers(tensor).ok().map(|numbers| (tensor.dims.as_slice(), numbers))
    }

    /// Returns a constant. Exporters give one that is used twice a second name by `Identity`.
    fn tensor(&self, name: &str) -> Option<&'a TensorProto> {
        self.constants.get(name).copied().or_else(|| {
            let ("Identity", node) = self.producer(name)? else { return None };
            self.constants.get(node.input.first()?.as_str()).copied()
        })
    }

    pub fn scalar(&self, name: &str) -> Option<f32> {
        if let [number] = self.constant(name)?.1[..] { Some(number) } else { None }
    }

    /// Matches a value that `op` computes from another one and a number, in this order. Returns both.
    pub fn with_scalar(&self, value: &str, op: &str) -> Option<(&'a str, f32)> {
        let (found, node) = self.producer(value)?;
        let [input, constant] = &node.input[..] else { return None };
        (found == op).then(|| self.scalar(constant))?.map(|number| (input.as_str(), number))
    }

    /// Matches a sum, difference, product or quotient of a value and a constant. Returns the operator and both.
    pub fn arithmetic(&self, value: &str) -> Option<(&'a str, &'a str, Vec<f32>)> {
        let (op, node) = self.producer(value)?;
        let [a, b] = &node.input[..] else { return None };
        ["Add", "Sub", "Mul", "Div"].contains(&op).then_some(())?;
        if let Some((_, numbers)) = self.constant(b) {
            return Some((op, a, numbers));
        }
        // A constant on the left is the same in a sum or a product.
        ["Add", "Mul"].contains(&op).then(|| self.constant(a))?.map(|(_, numbers)| (op, b.as_str(), numbers))
    }

    /// Matches a linear layer: `Gemm`, `MatMul`, or `MatMul` and `Add`. Returns its input and the layer.
    pub fn linear(&self, value: &'a str) -> Option<(&'a str, Linear)> {
        let (op, node) = self.producer(self.same_numbers(value))?;
        match op {
            "Gemm" => {
                let (input, weight, bias) = match &node.input[..] {
                    [input, weight] => (input, weight, None),
                    [input, weight, bias] => (input, weight, Some(bias.as_str()).filter(|bias| !bias.is_empty())),
                    _ => return None,
                };
                let attribute = |name: &str| node.attribute.iter().find(|attribute| attribute.name == name);
                let plain = ["alpha", "beta"].iter().all(|name| attribute(name).is_none_or(|a| a.f == 1.0));
                let flag = |name: &str| attribute(name).is_some_and(|a| a.i != 0);
                (plain && !flag("transA")).then_some(())?;
                Some((input, self.layer(weight, bias, flag("transB"))?))
            }
            "MatMul" => {
                let [input, weight] = &node.input[..] else { return None };
                Some((input, self.layer(weight, None, false)?))
            }
            "Add" => {
                let [a, b] = &node.input[..] else { return None };
                let (product, bias) = if self.tensor(b).is_some() { (a, b) } else { (b, a) };
                let ("MatMul", product) = self.producer(product)? else { return None };
                let [input, weight] = &product.input[..] else { return None };
                Some((input, self.layer(weight, Some(bias), false)?))
            }
            _ => None,
        }
    }

    fn layer(&self, weight: &str, bias: Option<&str>, transposed: bool) -> Option<Linear> {
        let (dims, numbers) = self.constant(weight)?;
        let [rows, columns] = dims else { return None };
        let (rows, columns) = (usize::try_from(*rows).ok()?, usize::try_from(*columns).ok()?);
        // Checked before anything of that size is allocated.
        (rows > 0 && rows.checked_mul(columns) == Some(numbers.len())).then_some(())?;
        let (inputs, outputs) = if transposed { (columns, rows) } else { (rows, columns) };
        let bias = match bias {
            Some(bias) => self.constant(bias)?.1,
            None => vec![0.0; outputs],
        };
        (bias.len() == outputs).then_some(())?;
        let weight = match transposed {
            true => numbers,
            false => (0..outputs)
                .flat_map(|o| (0..inputs).map(move |i| (i, o)))
                .map(|(i, o)| numbers[i * columns + o])
                .collect(),
        };
        Some(Linear { name: String::new(), inputs, outputs, weight, bias })
    }

    /// Matches `Clip`, with its bounds as inputs or attributes, or `Max` and then `Min`. Returns the input and both bounds.
    /// Bounds in the wrong order are no clamp.
    pub fn clamp(&self, value: &str) -> Option<(&'a str, f32, f32)> {
        self.bounded(value).filter(|(_, low, high)| low <= high)
    }

    fn bounded(&self, value: &str) -> Option<(&'a str, f32, f32)> {
        if let Some(("Clip", node)) = self.producer(value) {
            return match &node.input[..] {
                [input, low, high] => Some((input, self.scalar(low)?, self.scalar(high)?)),
                [input] => Some((input, float(node, "min")?, float(node, "max")?)),
                _ => None,
            };
        }
        let (value, high) = self.with_scalar(value, "Min")?;
        let (value, low) = self.with_scalar(value, "Max")?;
        Some((value, low, high))
    }
}

/// Returns an attribute of a node that is a number.
pub fn float(node: &NodeProto, name: &str) -> Option<f32> {
    node.attribute.iter().find(|attribute| attribute.name == name).map(|attribute| attribute.f)
}

/// Returns `true` if each value is computed once, and before it is used. ONNX demands this, and it ensures that
/// following values back to their producers ends.
fn is_sorted(graph: &GraphProto) -> bool {
    let (mut used, mut computed) = (HashSet::new(), HashSet::new());
    graph.node.iter().all(|node| {
        used.extend(&node.input);
        node.output.iter().all(|output| !used.contains(output) && computed.insert(output))
    })
}

fn numbers(tensor: &TensorProto) -> Result<Vec<f32>> {
    ensure!(tensor.data_type == i32::from(DataType::Float), "the tensor is not of f32");
    let raw = tensor.raw_data.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    Ok(if tensor.raw_data.is_empty() { tensor.float_data.clone() } else { raw.collect() })
}
