//! Recognises an actor of linear layers in an ONNX graph, in the forms that PyTorch and this crate export.

use std::collections::{HashMap, HashSet};
use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};

use anyhow::{Result, ensure};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto};

use super::read::constants;
use crate::model::{Activation, Hidden, Linear, LogStd, Mlp, Normalisation};

/// A graph as linear layers, with what the graph does before and after them.
pub struct Recognised {
    pub mlp: Mlp,
    /// The normalisation that the graph applies to `state`.
    pub normalisation: Option<Normalisation>,
    /// The rule that the graph applies to the output of the log_std head.
    pub log_std: Option<LogStd>,
}

/// Returns `None` for a graph that does anything else. A mistake here costs no wrong action: the backend is chosen by
/// comparing the layers with the graph.
pub fn recognise(model: &ModelProto) -> Option<Recognised> {
    let graph = Graph::new(model)?;
    let (mut log_std, mut rule) = ("log_std", None::<LogStd>);
    while let Some((inner, found)) = graph.log_std(log_std) {
        rule = Some(rule.map_or(Some(found), |outer| outer.after(found))?);
        log_std = inner;
    }
    let (from_mean, mean) = graph.linear("mean")?;
    let (from_log_std, log_std) = graph.linear(log_std)?;
    (from_mean == from_log_std).then_some(())?;
    let (mut trunk, mut at) = (vec![], from_mean);
    while let Some((inner, activation)) = graph.activation(at) {
        let (before, linear) = graph.linear(inner)?;
        trunk.push(Hidden::new(linear, Some(activation)));
        at = before;
    }
    trunk.reverse();
    let mlp = Mlp { trunk, mean, mean_step: None, log_std: Some(log_std) };
    let normalisation = graph.normalisation(at)?;
    mlp.check().ok()?;
    Some(Recognised { mlp, normalisation, log_std: rule })
}

/// The nodes and constants of a graph, by the names of the values that they define.
struct Graph<'a> {
    nodes: HashMap<&'a str, &'a NodeProto>,
    constants: HashMap<&'a str, &'a TensorProto>,
}

impl<'a> Graph<'a> {
    fn new(model: &'a ModelProto) -> Option<Self> {
        let graph = model.graph.as_ref()?;
        is_sorted(graph).then_some(())?;
        let nodes = graph.node.iter().flat_map(|node| node.output.iter().map(move |output| (output.as_str(), node)));
        Some(Graph { nodes: nodes.collect(), constants: constants(graph) })
    }

    /// Returns the node that computes a value, and its operator.
    fn producer(&self, value: &str) -> Option<(&'a str, &'a NodeProto)> {
        self.nodes.get(value).map(|node| (node.op_type.as_str(), *node))
    }

    fn constant(&self, name: &str) -> Option<(&'a [i64], Vec<f32>)> {
        let tensor = self.constants.get(name)?;
        numbers(tensor).ok().map(|numbers| (tensor.dims.as_slice(), numbers))
    }

    fn scalar(&self, name: &str) -> Option<f32> {
        if let [number] = self.constant(name)?.1[..] { Some(number) } else { None }
    }

    /// Matches a value that `op` computes from another one and a constant, in this order. Returns both.
    fn with_constant(&self, value: &str, op: &str) -> Option<(&'a str, Vec<f32>)> {
        let (found, node) = self.producer(value)?;
        let [input, constant] = &node.input[..] else { return None };
        (found == op).then(|| self.constant(constant))?.map(|(_, numbers)| (input.as_str(), numbers))
    }

    fn with_scalar(&self, value: &str, op: &str) -> Option<(&'a str, f32)> {
        let (input, numbers) = self.with_constant(value, op)?;
        if let [number] = numbers[..] { Some((input, number)) } else { None }
    }

    /// Matches a linear layer: `Gemm`, `MatMul`, or `MatMul` and `Add`. Returns its input and the layer.
    fn linear(&self, value: &str) -> Option<(&'a str, Linear)> {
        let (op, node) = self.producer(value)?;
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

    /// Matches an activation. Returns its input and which it is.
    fn activation(&self, value: &str) -> Option<(&'a str, Activation)> {
        let (op, node) = self.producer(value)?;
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
                    self.producer(gate)
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

    /// Matches x · (1 + erf(x / √2)) / 2 with its three factors in any order: PyTorch's form below opset 20, and this
    /// crate's.
    fn gelu(&self, product: &'a NodeProto) -> Option<&'a str> {
        let near = |found: f32, expected: f32| (found - expected).abs() < 1e-6;
        let (mut open, mut factors, mut scale) = (vec![product], vec![], 1.0);
        while let Some(node) = open.pop() {
            for input in &node.input {
                match (self.scalar(input), self.producer(input)) {
                    (Some(number), _) => scale *= number,
                    // Three factors take two products.
                    (None, Some(("Mul", inner))) if std::ptr::eq(node, product) => open.push(inner),
                    _ => factors.push(input.as_str()),
                }
            }
        }
        let gated = |of: &str, gate: &str| {
            let (erf, _) = self.with_scalar(gate, "Add").filter(|(_, one)| *one == 1.0)?;
            let ("Erf", erf) = self.producer(erf)? else { return None };
            let scaled = erf.input.first()?;
            let times = self.with_scalar(scaled, "Mul").filter(|(_, by)| near(*by, FRAC_1_SQRT_2));
            let over = || self.with_scalar(scaled, "Div").filter(|(_, by)| near(*by, SQRT_2));
            times.or_else(over).filter(|(input, _)| *input == of).map(|(input, _)| input)
        };
        let [a, b] = factors[..] else { return None };
        near(scale, 0.5).then(|| gated(a, b).or_else(|| gated(b, a)))?
    }

    /// Matches a rule for log_std. Returns its input and the rule.
    fn log_std(&self, value: &str) -> Option<(&'a str, LogStd)> {
        let squashed = || {
            let (value, low) = self.with_scalar(value, "Add")?;
            let (value, half) = self.with_scalar(value, "Mul")?;
            let (value, _) = self.with_scalar(value, "Add").filter(|(_, one)| *one == 1.0)?;
            let ("Tanh", node) = self.producer(value)? else { return None };
            Some((node.input.first()?.as_str(), LogStd::Squashed { low, high: low + 2.0 * half }))
        };
        let clamped = || self.clamp(value).map(|(value, low, high)| (value, LogStd::Clamped { low, high }));
        clamped().or_else(squashed)
    }

    /// Matches `Clip`, or `Max` and then `Min`. Returns the input and both bounds.
    fn clamp(&self, value: &str) -> Option<(&'a str, f32, f32)> {
        if let Some(("Clip", node)) = self.producer(value) {
            let [input, low, high] = &node.input[..] else { return None };
            return Some((input, self.scalar(low)?, self.scalar(high)?));
        }
        let (value, high) = self.with_scalar(value, "Min")?;
        let (value, low) = self.with_scalar(value, "Max")?;
        Some((value, low, high))
    }

    /// Returns the normalisation between `state` and the input of the trunk, if any; `None` if anything else lies
    /// between them.
    #[allow(clippy::option_option, reason = "a graph without a normalisation is recognised too")]
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
