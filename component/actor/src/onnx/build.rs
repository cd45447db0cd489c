//! Builds the ONNX messages that an actor needs.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::type_proto::{Tensor, Value};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto,
};

use crate::model::{Activation, LayerNorm, Linear, MeanStep, Mlp};

/// The operator set. It has all operators that are needed, and is older than the one that PyTorch writes by default.
const OPSET: i64 = 17;
const IR_VERSION: i64 = 8;

/// Writes a network as an ONNX model from `state` to `mean`, and to `log_std` if it has one, which [`super::Network`]
/// reads.
pub fn model(mlp: &Mlp) -> ModelProto {
    let mut graph = GraphProto { name: "actor".to_owned(), ..GraphProto::default() };
    let mut last = "state".to_owned();
    for hidden in &mlp.trunk {
        last = linear(&mut graph, &hidden.linear, &last, &format!("{}.output", hidden.linear.name));
        last = normalise(&mut graph, hidden.norm.as_ref(), last);
        if let Some(activation) = hidden.activation {
            last = activate(&mut graph, activation, &last);
        }
        last = normalise(&mut graph, hidden.norm_after.as_ref(), last);
    }
    mean(&mut graph, mlp, &last);
    if let Some(log_std) = &mlp.log_std {
        linear(&mut graph, log_std, &last, "log_std");
    }
    graph.input.push(value("state", mlp.state_dim()));
    let outputs = ["mean"].into_iter().chain(mlp.log_std.is_some().then_some("log_std"));
    graph.output.extend(outputs.map(|name| value(name, mlp.action_dim())));
    model_of(graph)
}

/// Makes a model of a graph that uses this crate's operator set.
pub fn model_of(graph: GraphProto) -> ModelProto {
    ModelProto {
        ir_version: IR_VERSION,
        producer_name: "sac-serving".to_owned(),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        graph: Some(graph),
        ..ModelProto::default()
    }
}

fn linear(graph: &mut GraphProto, layer: &Linear, input: &str, output: &str) -> String {
    let (weight, bias) = (format!("{}.weight", layer.name), format!("{}.bias", layer.name));
    graph.initializer.push(tensor(&weight, &[layer.outputs, layer.inputs], &layer.weight));
    graph.initializer.push(tensor(&bias, &[layer.outputs], &layer.bias));
    let transposed = AttributeProto {
        name: "transB".to_owned(),
        r#type: attribute_proto::AttributeType::Int.into(),
        i: 1,
        ..AttributeProto::default()
    };
    graph.node.push(NodeProto { attribute: vec![transposed], ..node("Gemm", &[input, &weight, &bias], output) });
    output.to_owned()
}

/// Adds the head of the mean and the step after it.
fn mean(graph: &mut GraphProto, mlp: &Mlp, last: &str) {
    let Some(step) = mlp.mean_step else {
        linear(graph, &mlp.mean, last, "mean");
        return;
    };
    linear(graph, &mlp.mean, last, "mean.output");
    match step {
        MeanStep::Tanh => graph.node.push(node("Tanh", &["mean.output"], "mean")),
        MeanStep::Clamp(limit) => {
            graph.initializer.push(tensor("mean.low", &[], &[-limit]));
            graph.initializer.push(tensor("mean.high", &[], &[limit]));
            graph.node.push(node("Clip", &["mean.output", "mean.low", "mean.high"], "mean"));
        }
    }
}

fn normalise(graph: &mut GraphProto, norm: Option<&LayerNorm>, input: String) -> String {
    let Some(norm) = norm else { return input };
    let (output, weight, bias) =
        (format!("{input}.normalised"), format!("{}.weight", norm.name), format!("{}.bias", norm.name));
    graph.initializer.push(tensor(&weight, &[norm.weight.len()], &norm.weight));
    graph.initializer.push(tensor(&bias, &[norm.bias.len()], &norm.bias));
    // The axis is the last one, and the epsilon PyTorch's, by default.
    graph.node.push(node("LayerNormalization", &[&input, &weight, &bias], &output));
    output
}

fn activate(graph: &mut GraphProto, activation: Activation, input: &str) -> String {
    let output = format!("{input}.activated");
    let mut push = |op: &str, inputs: &[&str], to: &str| graph.node.push(node(op, inputs, to));
    match activation {
        Activation::Relu => push("Relu", &[input], &output),
        Activation::Tanh => push("Tanh", &[input], &output),
        Activation::Sigmoid => push("Sigmoid", &[input], &output),
        // The alphas that ONNX takes by default are PyTorch's.
        Activation::LeakyRelu => push("LeakyRelu", &[input], &output),
        Activation::Elu => push("Elu", &[input], &output),
        // CELU needs no alpha either, and with PyTorch's it is ELU.
        Activation::Celu => push("Elu", &[input], &output),
        Activation::Selu => push("Selu", &[input], &output),
        Activation::Softplus => push("Softplus", &[input], &output),
        Activation::Hardswish => push("HardSwish", &[input], &output),
        Activation::Mish => {
            let (softplus, gate) = (format!("{input}.softplus"), format!("{input}.gate"));
            push("Softplus", &[input], &softplus);
            push("Tanh", &[&softplus], &gate);
            push("Mul", &[input, &gate], &output);
        }
        Activation::Relu6 => {
            let (low, high) = (format!("{input}.low"), format!("{input}.high"));
            push("Clip", &[input, &low, &high], &output);
            graph.initializer.extend([tensor(&low, &[], &[0.0]), tensor(&high, &[], &[6.0])]);
        }
        Activation::Silu => {
            let gate = format!("{input}.gate");
            push("Sigmoid", &[input], &gate);
            push("Mul", &[input, &gate], &output);
        }
        Activation::Gelu => gelu(graph, input, &output),
    }
    output
}

/// Adds GELU in its exact form, x / 2 · (1 + erf(x / √2)), which is no operator of its own in this set.
fn gelu(graph: &mut GraphProto, input: &str, output: &str) {
    let part = |what: &str| format!("{input}.{what}");
    let mut steps = |op: &str, from: &str, constant: Option<(&str, f32)>, to: &str| {
        let mut inputs = vec![from];
        let name = constant.map(|(name, _)| part(name));
        if let (Some((_, value)), Some(name)) = (constant, &name) {
            graph.initializer.push(tensor(name, &[], &[value]));
            inputs.push(name);
        }
        graph.node.push(node(op, &inputs, to));
    };
    steps("Mul", input, Some(("root_half", std::f32::consts::FRAC_1_SQRT_2)), &part("scaled"));
    steps("Erf", &part("scaled"), None, &part("erf"));
    steps("Add", &part("erf"), Some(("one", 1.0)), &part("shifted"));
    steps("Mul", input, Some(("half", 0.5)), &part("halved"));
    graph.node.push(node("Mul", &[&part("halved"), &part("shifted")], output));
}

pub fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        name: format!("{op} {output}"),
        op_type: op.to_owned(),
        input: inputs.iter().map(|input| (*input).to_owned()).collect(),
        output: vec![output.to_owned()],
        ..NodeProto::default()
    }
}

pub fn tensor(name: &str, shape: &[usize], values: &[f32]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: shape.iter().map(|size| *size as i64).collect(),
        data_type: DataType::Float.into(),
        raw_data: values.iter().map(|value| value.to_le_bytes()).collect::<Vec<_>>().into_flattened(),
        ..TensorProto::default()
    }
}

/// Returns the type of a graph's input or output: [batch, `columns`] of f32.
pub fn value(name: &str, columns: usize) -> ValueInfoProto {
    let dimension = |value| Dimension { value: Some(value), ..Dimension::default() };
    let rows = dimension(dimension::Value::DimParam("batch".to_owned()));
    let columns = dimension(dimension::Value::DimValue(columns as i64));
    let tensor =
        Tensor { elem_type: DataType::Float.into(), shape: Some(TensorShapeProto { dim: vec![rows, columns] }) };
    let r#type = TypeProto { value: Some(Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: name.to_owned(), r#type: Some(r#type), ..ValueInfoProto::default() }
}

pub fn property(key: &str, value: String) -> StringStringEntryProto {
    StringStringEntryProto { key: key.to_owned(), value }
}
