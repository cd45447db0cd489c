//! Decides whether a graph can be nothing but the layers that were recognised in it.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto};

use super::super::read::constants;

/// The operator sets whose operators are those below. Before 7, operators broadcast by attributes.
const OPSETS: RangeInclusive<i64> = 7..=25;

/// The operators that keep rows apart and do to them what their name says, whatever the shape of the rows.
const OPERATORS: &[&str] = &[
    "Gemm",
    "MatMul",
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Min",
    "Max",
    "Clip",
    "Identity",
    "Constant",
    "Relu",
    "Tanh",
    "Sigmoid",
    "Softplus",
    "Mish",
    "HardSwish",
    "HardSigmoid",
    "Elu",
    "Celu",
    "Selu",
    "LeakyRelu",
    "Gelu",
    "Erf",
];

/// Returns `true` if every operator of a graph keeps rows apart, and every constant applies to each row alike.
pub fn is_plain(model: &ModelProto) -> bool {
    let [opset] = &model.opset_import[..] else { return false };
    let Some(graph) = &model.graph else { return false };
    is_standard(&opset.domain)
        && OPSETS.contains(&opset.version)
        && model.functions.is_empty()
        && graph.sparse_initializer.is_empty()
        && graph.quantization_annotation.is_empty()
        && graph.node.iter().all(is_plain_node)
        && have_plain_shapes(graph)
}

fn is_plain_node(node: &NodeProto) -> bool {
    let op = node.op_type.as_str();
    let keeps_rank_two = op == "Flatten" && node.attribute.iter().all(|axis| axis.name == "axis" && axis.i == 1);
    is_standard(&node.domain) && node.output.len() == 1 && (OPERATORS.contains(&op) || keeps_rank_two)
}

/// Weights are matrices, and every other constant is one row or one number.
fn have_plain_shapes(graph: &GraphProto) -> bool {
    let products = graph.node.iter().filter(|node| ["Gemm", "MatMul"].contains(&node.op_type.as_str()));
    let weights = products.filter_map(|node| node.input.get(1)).map(String::as_str).collect::<HashSet<_>>();
    let is_row = |tensor: &TensorProto| matches!(tensor.dims[..], [] | [_] | [1, _]);
    constants(graph).into_iter().all(|(name, tensor)| match weights.contains(name) {
        true => tensor.dims.len() == 2,
        false => is_row(tensor),
    })
}

fn is_standard(domain: &str) -> bool {
    ["", "ai.onnx"].contains(&domain)
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::tensor_proto::DataType;
    use tract_onnx::pb::{ModelProto, TensorProto};

    use super::super::recognise;
    use crate::onnx::fixtures::{FREE, constant, model, node, with};
    use crate::onnx::{Names, select};

    /// Two layers, the second of which takes `input`.
    fn layers(nodes: Vec<tract_onnx::pb::NodeProto>, input: &str) -> ModelProto {
        model(&FREE, [nodes, vec![node("MatMul", &[input, "w"], "action")]].concat(), &["action"])
    }

    /// Returns whether the layers are the graph for certain, if they are recognised at all.
    fn certainty(proto: ModelProto) -> Option<bool> {
        let (proto, _) = select(proto, &Names::default()).unwrap();
        recognise(&proto).map(|found| found.is_certain)
    }

    #[test]
    fn layers_that_keep_rows_apart_are_the_graph_for_certain() {
        assert_eq!(certainty(layers(vec![], "squashed")), Some(true));
        let flat = vec![node("Flatten", &["squashed"], "flat"), node("Identity", &["flat"], "same")];
        assert_eq!(certainty(layers(flat, "same")), Some(true));
    }

    #[test]
    fn layers_among_which_rows_may_mix_are_not_certain() {
        let shape =
            TensorProto { data_type: DataType::Int64.into(), int64_data: vec![-1, 2], ..constant("s", &[2], &[]) };
        let mut reshaped = layers(vec![node("Reshape", &["squashed", "s"], "flat")], "flat");
        reshaped.graph.as_mut().unwrap().initializer.push(shape);
        assert_eq!(certainty(reshaped), Some(false));
        let other_axis = vec![with(node("Flatten", &["squashed"], "flat"), "axis", 0)];
        assert_eq!(certainty(layers(other_axis, "flat")), Some(false));
    }

    #[test]
    fn layers_of_another_meaning_are_not_certain() {
        // A column is added to every row as a whole.
        let mut column = layers(vec![], "squashed");
        column.graph.as_mut().unwrap().initializer[1].dims = vec![2, 1];
        assert_eq!(certainty(column), Some(false));
        let mut old = layers(vec![], "squashed");
        old.opset_import[0].version = 6;
        assert_eq!(certainty(old), Some(false));
        let mut foreign = layers(vec![node("Relu", &["sum"], "active")], "active");
        foreign.graph.as_mut().unwrap().node[3].domain = "com.example".to_owned();
        assert_eq!(certainty(foreign), Some(false));
    }

    #[test]
    fn bounds_in_the_wrong_order_are_no_clamp() {
        let mut proto = model(&FREE, vec![node("Clip", &["sum", "low", "high"], "action")], &["action"]);
        let bounds = [constant("low", &[], &[5.0]), constant("high", &[], &[-5.0])];
        proto.graph.as_mut().unwrap().initializer.extend(bounds);
        assert_eq!(certainty(proto), None);
    }
}
