//! Attributes of nodes, and constants of whole numbers.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, TensorProto, attribute_proto};

/// Returns a constant of whole numbers.
pub fn list(name: &str, numbers: &[i64]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: vec![numbers.len() as i64],
        data_type: DataType::Int64.into(),
        raw_data: numbers.iter().map(|number| number.to_le_bytes()).collect::<Vec<_>>().into_flattened(),
        ..TensorProto::default()
    }
}

pub fn integer(name: &str, value: i64) -> AttributeProto {
    let r#type = attribute_proto::AttributeType::Int.into();
    AttributeProto { name: name.to_owned(), r#type, i: value, ..AttributeProto::default() }
}

pub fn integers(name: &str, values: &[i64]) -> AttributeProto {
    let r#type = attribute_proto::AttributeType::Ints.into();
    AttributeProto { name: name.to_owned(), r#type, ints: values.to_vec(), ..AttributeProto::default() }
}

pub fn float(name: &str, value: f32) -> AttributeProto {
    let r#type = attribute_proto::AttributeType::Float.into();
    AttributeProto { name: name.to_owned(), r#type, f: value, ..AttributeProto::default() }
}
