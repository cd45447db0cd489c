//! Decodes an ONNX file and lists what it contains.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto};

use super::external;
use crate::file::Contents;
use crate::model::{Layer, MAX_WEIGHTS};

/// Decodes a file. `external` holds the files with the weights that the model keeps outside of itself, by their names.
///
/// # Errors
///
/// Fails if the file is no whole ONNX model, if its external data is missing or does not fit, or if a weight is NaN.
pub fn read(bytes: &[u8], external: &[(&str, &[u8])]) -> Result<ModelProto> {
    let mut model = ModelProto::decode(bytes).context(
        "not a checkpoint of a known format, or a safetensors file or an ONNX model that is damaged or incomplete",
    )?;
    external::inline(&mut model, external)?;
    // The output does not always show it: an activation may turn NaN into a number.
    model.graph.iter_mut().try_for_each(|graph| {
        external::each_tensor(graph, &mut |tensor| {
            ensure!(!has_nan(tensor), "`{}` holds NaN: finite weights are expected", tensor.name);
            Ok(())
        })
    })?;
    // tract keeps a copy of the weights for each layer, even if layers share them in the file.
    let weights = layers(&model).into_iter().map(|layer| u64::from(layer.inputs).saturating_mul(layer.outputs.into()));
    let weights = weights.fold(0, u64::saturating_add);
    ensure!(weights <= MAX_WEIGHTS as u64, "the layers take {weights} numbers, {MAX_WEIGHTS} at most are expected");
    // The exporters write this field last, so a file without it has been cut short.
    ensure!(!model.opset_import.is_empty(), "the ONNX model has no opset_import: the file is incomplete");
    Ok(model)
}

fn has_nan(tensor: &TensorProto) -> bool {
    let raw = tensor.raw_data.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    tensor.data_type == i32::from(DataType::Float) && raw.chain(tensor.float_data.iter().copied()).any(f32::is_nan)
}

/// Returns the settings in `metadata_props` by name.
pub fn metadata(model: &ModelProto) -> Result<Contents> {
    let mut contents = Contents::default();
    model.metadata_props.iter().try_for_each(|property| contents.insert_setting(&property.key, &property.value))?;
    Ok(contents)
}

/// Returns the linear layers of a graph in the order of computation.
pub fn layers(model: &ModelProto) -> Vec<Layer> {
    let Some(graph) = &model.graph else { return vec![] };
    let constants = constants(graph);
    let products = graph.node.iter().filter(|node| ["Gemm", "MatMul"].contains(&node.op_type.as_str()));
    let layer = |node: &NodeProto| {
        let weight = node.input.get(1)?;
        let [rows, columns] = constants.get(weight.as_str())?.dims[..] else { return None };
        let (rows, columns) = (u32::try_from(rows).ok()?, u32::try_from(columns).ok()?);
        let transposed = node.attribute.iter().any(|attribute| attribute.name == "transB" && attribute.i != 0);
        let (inputs, outputs) = if transposed { (columns, rows) } else { (rows, columns) };
        Some(Layer { name: weight.strip_suffix(".weight").unwrap_or(weight).to_owned(), inputs, outputs })
    };
    products.filter_map(layer).collect()
}

/// Returns the constant tensors of a graph, initialisers and `Constant` nodes, by the names of their values.
pub fn constants(graph: &GraphProto) -> HashMap<&str, &TensorProto> {
    let nodes = graph.node.iter().filter(|node| node.op_type == "Constant").filter_map(|node| {
        Some((node.output.first()?.as_str(), node.attribute.iter().find_map(|attribute| attribute.t.as_ref())?))
    });
    graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).chain(nodes).collect()
}

/// Returns the number of a tensor of one element, if it is of a type that flags and limits have.
pub fn number(tensor: &TensorProto) -> Option<f64> {
    let raw = &tensor.raw_data[..];
    match DataType::try_from(tensor.data_type).ok()? {
        DataType::Float => match raw {
            [] => tensor.float_data.first().copied().map(f64::from),
            raw => Some(f32::from_le_bytes(raw.try_into().ok()?).into()),
        },
        DataType::Bool => match raw {
            [] => tensor.int32_data.first().copied().map(f64::from),
            raw => Some(u8::from_le_bytes(raw.try_into().ok()?).into()),
        },
        _ => None,
    }
}
