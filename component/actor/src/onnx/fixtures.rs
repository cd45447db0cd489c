//! Small graphs for tests.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::type_proto::{Tensor, Value as Kind};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, attribute_proto,
};

/// The shape [batch, 2].
pub const FREE: [Option<i64>; 2] = [None, Some(2)];

pub fn value(name: &str, dims: &[Option<i64>]) -> ValueInfoProto {
    let dim = |size: &Option<i64>| {
        let free = || dimension::Value::DimParam("batch".to_owned());
        Dimension { value: Some(size.map_or_else(free, dimension::Value::DimValue)), ..Dimension::default() }
    };
    let shape = Some(TensorShapeProto { dim: dims.iter().map(dim).collect() });
    let tensor = Tensor { elem_type: DataType::Float.into(), shape };
    let r#type = Some(TypeProto { value: Some(Kind::TensorType(tensor)), ..TypeProto::default() });
    ValueInfoProto { name: name.to_owned(), r#type, ..ValueInfoProto::default() }
}

pub fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    let input = inputs.iter().map(|input| (*input).to_owned()).collect();
    NodeProto { op_type: op.to_owned(), input, output: vec![output.to_owned()], ..NodeProto::default() }
}

pub fn with(node: NodeProto, name: &str, i: i64) -> NodeProto {
    let r#type = attribute_proto::AttributeType::Int.into();
    NodeProto { attribute: vec![AttributeProto { name: name.to_owned(), r#type, i, ..Default::default() }], ..node }
}

pub fn constant(name: &str, dims: &[i64], numbers: &[f32]) -> TensorProto {
    let (name, dims, float_data) = (name.to_owned(), dims.to_vec(), numbers.to_vec());
    TensorProto { name, dims, data_type: DataType::Float.into(), float_data, ..TensorProto::default() }
}

/// A model of one layer, tanh(2·x + 1) for two numbers, as `squashed`, with more nodes and outputs after it.
pub fn model(input: &[Option<i64>], nodes: Vec<NodeProto>, outputs: &[&str]) -> ModelProto {
    let weights = vec![constant("w", &[2, 2], &[2.0, 0.0, 0.0, 2.0]), constant("b", &[2], &[1.0, 1.0])];
    let layer = vec![
        node("MatMul", &["obs", "w"], "product"),
        node("Add", &["product", "b"], "sum"),
        node("Tanh", &["sum"], "squashed"),
    ];
    let graph = GraphProto {
        name: "g".to_owned(),
        node: [layer, nodes].concat(),
        initializer: weights,
        input: vec![value("obs", input)],
        // The shape is stale, as that of an example batch.
        output: outputs.iter().map(|name| value(name, &[Some(7), Some(2)])).collect(),
        value_info: vec![value("sum", &[Some(7), Some(2)])],
        ..GraphProto::default()
    };
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 17 }];
    ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..ModelProto::default() }
}
