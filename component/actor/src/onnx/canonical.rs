//! Rewrites a graph to the form that this crate serves: only what its outputs depend on, under names of one kind.

use std::collections::HashSet;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::type_proto::{Tensor, Value};
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TypeProto, ValueInfoProto, attribute_proto};

use super::build::node;
use super::rename::rename;
use crate::model::Outputs;

/// The interface of a graph before it is rewritten, with the types that the file declares.
pub struct Interfaces {
    pub input: (String, Option<DataType>),
    pub outputs: Vec<(String, Option<DataType>)>,
    pub kind: Outputs,
    /// The values that the outputs depend on.
    pub needed: HashSet<String>,
}

/// Rewrites a graph in place. Shapes that the file declares for inner values and outputs are dropped: exporters leave
/// stale ones there, which contradict the graph.
pub fn rewrite(graph: &mut GraphProto, interfaces: &Interfaces) {
    let needed = &interfaces.needed;
    graph.node.retain(|node| node.output.iter().any(|output| needed.contains(output)));
    graph.initializer.retain(|tensor| needed.contains(&tensor.name));
    graph.input.retain(|input| needed.contains(&input.name));
    graph.value_info.clear();
    let names: &[&str] = match interfaces.kind {
        Outputs::MeanAndLogStd => &["mean", "log_std"],
        Outputs::Action => &["action"],
    };
    let made = graph.node.iter().flat_map(|node| &node.output).map(String::as_str).collect::<HashSet<_>>();
    let is_canonical = interfaces.input.0 == "state"
        && interfaces.outputs.iter().zip(names).all(|((from, kind), to)| {
            from == to && made.contains(from.as_str()) && kind.is_none_or(|kind| kind == DataType::Float)
        });
    if !is_canonical {
        let is_made = interfaces.outputs.iter().map(|(name, _)| made.contains(name.as_str())).collect::<Vec<_>>();
        name(graph, interfaces, names, &is_made);
    }
    graph.output = names.iter().map(|name| float(name)).collect();
    set_input_type(graph, interfaces.input.1);
}

/// Names the input and the outputs. They pass through names that no file has, since they may exchange theirs.
fn name(graph: &mut GraphProto, interfaces: &Interfaces, names: &[&str], is_made: &[bool]) {
    let passing = |name: &str| format!("sac-serving/interface/{name}");
    for (((from, kind), to), is_made) in interfaces.outputs.iter().zip(names).zip(is_made) {
        match kind {
            Some(kind) if *kind != DataType::Float => graph.node.push(cast(from, &passing(to), DataType::Float)),
            // An input or a constant keeps its name.
            _ if !is_made => graph.node.push(node("Identity", &[from], &passing(to))),
            _ => rename(graph, from, &passing(to)),
        }
    }
    rename_with_inputs(graph, &interfaces.input.0, &passing("state"));
    let all = names.iter().chain(&["state"]);
    all.clone().for_each(|name| rename_with_inputs(graph, name, &format!("sac-serving/other/{name}")));
    all.for_each(|name| rename_with_inputs(graph, &passing(name), name));
}

fn rename_with_inputs(graph: &mut GraphProto, from: &str, to: &str) {
    rename(graph, from, to);
    graph.input.iter_mut().filter(|input| input.name == from).for_each(|input| to.clone_into(&mut input.name));
}

/// Makes the input one of f32, with a cast to the type that the graph takes.
fn set_input_type(graph: &mut GraphProto, kind: Option<DataType>) {
    let Some(kind) = kind.filter(|kind| *kind != DataType::Float) else { return };
    for input in graph.input.iter_mut().filter(|input| input.name == "state") {
        if let Some(Value::TensorType(tensor)) = input.r#type.as_mut().and_then(|kind| kind.value.as_mut()) {
            tensor.elem_type = DataType::Float.into();
        }
    }
    rename(graph, "state", "sac-serving/input");
    graph.node.insert(0, cast("state", "sac-serving/input", kind));
}

fn cast(from: &str, to: &str, kind: DataType) -> NodeProto {
    let attribute = AttributeProto {
        name: "to".to_owned(),
        r#type: attribute_proto::AttributeType::Int.into(),
        i: i32::from(kind).into(),
        ..AttributeProto::default()
    };
    NodeProto { attribute: vec![attribute], ..node("Cast", &[from], to) }
}

/// Returns an output of f32 whose shape the graph decides.
fn float(name: &str) -> ValueInfoProto {
    let tensor = Tensor { elem_type: DataType::Float.into(), shape: None };
    let r#type = TypeProto { value: Some(Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: name.to_owned(), r#type: Some(r#type), ..ValueInfoProto::default() }
}
