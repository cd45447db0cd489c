//! Recognises an actor of linear layers in an ONNX graph, as PyTorch and this crate export it.

use std::collections::{HashMap, HashSet};
use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};

use anyhow::{Result, ensure};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto};

use super::constants;
use crate::layout::LogStd;
use crate::model::mlp::{Activation, Dense, Linear};
use crate::model::policy::Normalisation;

/// What a graph does, said by layers.
pub struct Recognised {
    pub dense: Dense,
    pub normalisation: Option<Normalisation>,
    /// What the graph makes of the log_std head's output.
    pub log_std: Option<LogStd>,
}

/// Nothing for a graph that does anything else. What it gives is checked against the graph itself later on.
pub fn recognise(model: &ModelProto) -> Option<Recognised> {
    let graph = Graph::of(model)?;
    let (mut log_std, mut rule) = ("log_std", None::<LogStd>);
    while let Some((inner, found)) = graph.log_std(log_std) {
        rule = Some(rule.map_or(Some(found), |outer| outer.after(found))?);
        log_std = inner;
    }
    let (from_mean, mean) = graph.linear("mean")?;
    let (from_log_std, log_std) = graph.linear(log_std)?;
    (from_mean == from_log_std).then_some(())?;
    let (mut trunk, mut activation, mut at) = (vec![], None, from_mean);
    while let Some((inner, found)) = graph.activation(at) {
        (activation.is_none_or(|activation| activation == found)).then_some(())?;
        activation = Some(found);
        let (before, linear) = graph.linear(inner)?;
        trunk.push(linear);
        at = before;
    }
    trunk.reverse();
    let dense = Dense { trunk, activation: activation.unwrap_or(Activation::Relu), mean, log_std };
    let normalisation = graph.normalisation(at)?;
    dense.check().ok()?;
    Some(Recognised { dense, normalisation, log_std: rule })
}

struct Graph<'a> {
    makers: HashMap<&'a str, &'a NodeProto>,
    constants: HashMap<&'a str, &'a TensorProto>,
}

impl<'a> Graph<'a> {
    fn of(model: &'a ModelProto) -> Option<Self> {
        let graph = model.graph.as_ref()?;
        is_sorted(graph).then_some(())?;
        let makers = graph.node.iter().flat_map(|node| node.output.iter().map(move |output| (output.as_str(), node)));
        Some(Graph { makers: makers.collect(), constants: constants(graph) })
    }

    /// The operator that makes a value, and its inputs.
    fn maker(&self, value: &str) -> Option<(&'a str, &'a NodeProto)> {
        self.makers.get(value).map(|node| (node.op_type.as_str(), *node))
    }

    fn constant(&self, name: &str) -> Option<(&'a [i64], Vec<f32>)> {
        let tensor = self.constants.get(name)?;
        numbers(tensor).ok().map(|numbers| (tensor.dims.as_slice(), numbers))
    }

    fn scalar(&self, name: &str) -> Option<f32> {
        if let [number] = self.constant(name)?.1[..] { Some(number) } else { None }
    }

    /// A value that an operator makes of another one and a constant, in this order.
    fn with_constant(&self, value: &str, op: &str) -> Option<(&'a str, Vec<f32>)> {
        let (found, node) = self.maker(value)?;
        let [input, constant] = &node.input[..] else { return None };
        (found == op).then(|| self.constant(constant))?.map(|(_, numbers)| (input.as_str(), numbers))
    }

    fn with_scalar(&self, value: &str, op: &str) -> Option<(&'a str, f32)> {
        let (input, numbers) = self.with_constant(value, op)?;
        if let [number] = numbers[..] { Some((input, number)) } else { None }
    }

    /// `Gemm`, or `MatMul` and `Add`: what it takes, and the layer.
    fn linear(&self, value: &str) -> Option<(&'a str, Linear)> {
        let (op, node) = self.maker(value)?;
        match op {
            "Gemm" => {
                let [input, weight, bias] = &node.input[..] else { return None };
                let attribute = |name: &str| node.attribute.iter().find(|attribute| attribute.name == name);
                let plain = ["alpha", "beta"].iter().all(|name| attribute(name).is_none_or(|a| a.f == 1.0));
                let flag = |name: &str| attribute(name).is_some_and(|a| a.i != 0);
                (plain && !flag("transA")).then_some(())?;
                Some((input, self.layer(weight, Some(bias), flag("transB"))?))
            }
            "MatMul" => {
                let [input, weight] = &node.input[..] else { return None };
                Some((input, self.layer(weight, None, false)?))
            }
            "Add" => {
                let [a, b] = &node.input[..] else { return None };
                let (product, bias) = if self.constants.contains_key(b.as_str()) { (a, b) } else { (b, a) };
                let ("MatMul", product) = self.maker(product)? else { return None };
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
        // Before anything is made of that size.
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

    fn activation(&self, value: &str) -> Option<(&'a str, Activation)> {
        let (op, node) = self.maker(value)?;
        let alpha = node.attribute.iter().find(|attribute| attribute.name == "alpha").map(|attribute| attribute.f);
        let activation = match op {
            "Relu" => Activation::Relu,
            "Tanh" => Activation::Tanh,
            "Sigmoid" => Activation::Sigmoid,
            "Elu" if alpha.is_none_or(|alpha| alpha == 1.0) => Activation::Elu,
            "Gelu"
                if node.attribute.iter().all(|attribute| attribute.name == "approximate" && attribute.s == b"none") =>
            {
                Activation::Gelu
            }
            "LeakyRelu" if alpha.is_none_or(|alpha| alpha == Activation::LEAKY_SLOPE) => Activation::LeakyRelu,
            "Mul" => {
                let [a, b] = &node.input[..] else { return None };
                let is_gate = |gate: &str, of: &str| {
                    self.maker(gate)
                        .is_some_and(|(op, node)| op == "Sigmoid" && node.input.first().is_some_and(|x| x == of))
                };
                if is_gate(b, a) || is_gate(a, b) {
                    return Some((if is_gate(b, a) { a } else { b }, Activation::Silu));
                }
                return self.gelu(node).map(|input| (input, Activation::Gelu));
            }
            _ => return None,
        };
        Some((node.input.first()?, activation))
    }

    /// x · (1 + erf(x / √2)) / 2, its three factors in any order, as PyTorch writes it below opset 20, and this crate.
    fn gelu(&self, product: &'a NodeProto) -> Option<&'a str> {
        let near = |found: f32, expected: f32| (found - expected).abs() < 1e-6;
        let (mut open, mut factors, mut scale) = (vec![product], vec![], 1.0);
        while let Some(node) = open.pop() {
            for input in &node.input {
                match (self.scalar(input), self.maker(input)) {
                    (Some(number), _) => scale *= number,
                    // Two products multiply three factors.
                    (None, Some(("Mul", inner))) if std::ptr::eq(node, product) => open.push(inner),
                    _ => factors.push(input.as_str()),
                }
            }
        }
        let gated = |of: &str, gate: &str| {
            let (erf, _) = self.with_scalar(gate, "Add").filter(|(_, one)| *one == 1.0)?;
            let ("Erf", erf) = self.maker(erf)? else { return None };
            let scaled = erf.input.first()?;
            let times = self.with_scalar(scaled, "Mul").filter(|(_, by)| near(*by, FRAC_1_SQRT_2));
            let over = || self.with_scalar(scaled, "Div").filter(|(_, by)| near(*by, SQRT_2));
            times.or_else(over).filter(|(input, _)| *input == of).map(|(input, _)| input)
        };
        let [a, b] = factors[..] else { return None };
        near(scale, 0.5).then(|| gated(a, b).or_else(|| gated(b, a)))?
    }

    /// What a value is before it is clamped or squashed, and how it is.
    fn log_std(&self, value: &str) -> Option<(&'a str, LogStd)> {
        let squashed = || {
            let (value, low) = self.with_scalar(value, "Add")?;
            let (value, half) = self.with_scalar(value, "Mul")?;
            let (value, _) = self.with_scalar(value, "Add").filter(|(_, one)| *one == 1.0)?;
            let ("Tanh", node) = self.maker(value)? else { return None };
            Some((node.input.first()?.as_str(), LogStd::Squashed { low, high: low + 2.0 * half }))
        };
        let clamped = || self.clamp(value).map(|(value, low, high)| (value, LogStd::Clamped { low, high }));
        clamped().or_else(squashed)
    }

    /// `Clip`, or `Max` and then `Min`.
    fn clamp(&self, value: &str) -> Option<(&'a str, f32, f32)> {
        if let Some(("Clip", node)) = self.maker(value) {
            let [input, low, high] = &node.input[..] else { return None };
            return Some((input, self.scalar(low)?, self.scalar(high)?));
        }
        let (value, high) = self.with_scalar(value, "Min")?;
        let (value, low) = self.with_scalar(value, "Max")?;
        Some((value, low, high))
    }

    /// From `state` to what the trunk takes; nothing where something else lies between.
    #[allow(clippy::option_option, reason = "no normalisation is a finding too")]
    fn normalisation(&self, value: &str) -> Option<Option<Normalisation>> {
        if value == "state" {
            return Some(None);
        }
        let (value, clip) = match self.clamp(value) {
            Some((inner, low, high)) if low == -high => (inner, Some(high)),
            Some(_) => return None,
            None => (value, None),
        };
        let (value, std) = self.with_constant(value, "Div")?;
        let (value, mean) = self.with_constant(value, "Sub")?;
        let wide = |numbers: Vec<f32>| numbers.into_iter().map(f64::from).collect::<Vec<_>>();
        let normalisation = Normalisation::new(&wide(mean), &wide(std), clip.map(f64::from)).ok()?;
        (value == "state").then_some(Some(normalisation))
    }
}

/// Whether each value is made once, and before it is used, as ONNX demands: who follows the makers back comes to an end.
fn is_sorted(graph: &GraphProto) -> bool {
    let (mut used, mut made) = (HashSet::new(), HashSet::new());
    graph.node.iter().all(|node| {
        used.extend(&node.input);
        node.output.iter().all(|output| !used.contains(output) && made.insert(output))
    })
}

fn numbers(tensor: &TensorProto) -> Result<Vec<f32>> {
    ensure!(tensor.data_type == i32::from(DataType::Float), "not of f32");
    let raw = tensor.raw_data.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    Ok(if tensor.raw_data.is_empty() { tensor.float_data.clone() } else { raw.collect() })
}
