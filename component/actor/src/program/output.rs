//! The end of a translation: the results become the outputs of the graph, and what they do not need is left out.

use std::collections::{HashMap, HashSet};

use anyhow::{Result, bail, ensure};
use tract_onnx::pb::tensor_shape_proto::dimension;
use tract_onnx::pb::type_proto::Value as Type;
use tract_onnx::pb::{GraphProto, ModelProto, ValueInfoProto};

use super::graph::{Graph, OUTPUTS, STATE, list, size_text};
use super::operator::{expanded, squeezed, unsqueezed};
use super::value::{Dim, Kind, Tensor, Value};
use crate::onnx::build;

/// Makes a model of a graph whose program returned `result`.
///
/// The only result of a program that `is_policy` by the name of its class is the action; otherwise it is an output that
/// must show by its bounds, or a card by its examples, that it is one.
pub fn finish(mut graph: Graph, result: &Value, is_policy: bool) -> Result<ModelProto> {
    let results = match result {
        Value::List(list) if list.len() >= 2 => list.elements().into_iter().take(2).collect(),
        Value::List(list) => list.elements(),
        other => vec![other.clone()],
    };
    let [action, output, mean, log_std] = OUTPUTS;
    let only = if is_policy { action } else { output };
    let names = if results.len() == 1 { vec![only] } else { vec![mean, log_std] };
    ensure!(!results.is_empty(), "the program returns no tensor");
    let results = names.iter().zip(&results).map(|(name, result)| tensor(name, result)).collect::<Result<Vec<_>>>()?;
    let state_dim = graph.state_dim()?;
    let mut outputs = vec![];
    for (name, result) in names.iter().zip(results) {
        outputs.push(rows(&mut graph, name, result)?);
    }
    let dims = outputs.iter().map(|output| dimension_of(&graph, output)).collect::<Result<Vec<_>>>()?;
    ensure!(
        dims.iter().all(|dim| *dim == dims[0]),
        "the program returns a pair of {} and {} numbers: the mean and log_std of an action are expected, or an action alone",
        dims[0],
        dims[dims.len() - 1]
    );
    let mut defined = HashMap::new();
    for (name, output) in names.iter().zip(&outputs) {
        define(&mut graph, name, output, &mut defined)?;
    }
    prune(&mut graph, &names);
    if names.len() == 2 {
        ensure_unsquashed(&graph)?;
    }
    if graph.is_for_one_state() {
        refuse_batches(&mut graph, state_dim);
    }
    let value = |name: &str, columns| {
        let value = build::value(name, columns);
        if graph.is_for_one_state() { one_row(value) } else { value }
    };
    let proto = GraphProto {
        name: "program".to_owned(),
        input: vec![value(STATE, state_dim)],
        output: names.iter().zip(&dims).map(|(name, dim)| value(name, *dim)).collect(),
        node: graph.nodes,
        initializer: graph.constants,
        ..GraphProto::default()
    };
    Ok(build::model_of(proto))
}

fn tensor(name: &str, result: &Value) -> Result<Tensor> {
    let tensor = match result {
        Value::Tensor(handle) => handle.read()?,
        Value::Refused(reason) => bail!("{reason}"),
        other => bail!("the program returns {} as its {name}: a tensor is expected", other.kind()),
    };
    ensure!(tensor.kind == Kind::Float, "the program returns {name} as whole numbers or bools: floats are expected");
    Ok(tensor)
}

/// Brings a result into the shape [batch, n].
fn rows(graph: &mut Graph, name: &str, mut tensor: Tensor) -> Result<Tensor> {
    let rows = graph.resolve(Dim::Batch);
    while tensor.rank() > 2 && graph.resolve(tensor.shape[0]) == Dim::Known(1) {
        tensor = squeezed(graph, &tensor, &[0])?;
    }
    // A number for each state, numbers for the one state, or numbers that are the same for all states.
    let shape = graph.shape(&tensor);
    match shape[..] {
        [Dim::Batch] => unsqueezed(graph, &tensor, 1),
        [size @ Dim::Known(_)] | [Dim::Known(1), size @ Dim::Known(_)] if rows != Dim::Known(1) => {
            expanded(graph, &tensor, vec![rows, size])
        }
        [Dim::Known(_)] => unsqueezed(graph, &tensor, 0),
        [] if rows == Dim::Known(1) => {
            let row = unsqueezed(graph, &tensor, 0)?;
            unsqueezed(graph, &row, 0)
        }
        [first, Dim::Known(_)] if first == rows => Ok(tensor),
        _ => {
            let sizes = shape.iter().map(|dim| size_text(*dim)).collect::<Vec<_>>().join(", ");
            bail!("the program returns {name} of the shape [{sizes}]: [batch, action_dim] is expected")
        }
    }
}

fn dimension_of(graph: &Graph, output: &Tensor) -> Result<usize> {
    match output.shape.get(1).map(|dim| graph.resolve(*dim)) {
        Some(Dim::Known(size)) if size > 0 => Ok(size),
        _ => bail!("the program returns no numbers"),
    }
}

/// Gives a value the name of an output: the node that computes it gets the name, unless an output has it already.
fn define(graph: &mut Graph, name: &str, output: &Tensor, defined: &mut HashMap<String, String>) -> Result<()> {
    let from = graph.name(output)?;
    let from = defined.get(&from).cloned().unwrap_or(from);
    let is_free = !OUTPUTS.contains(&from.as_str());
    if is_free && graph.nodes.iter().any(|node| node.output.contains(&from)) {
        for value in graph.nodes.iter_mut().flat_map(|node| node.input.iter_mut().chain(&mut node.output)) {
            if *value == from {
                name.clone_into(value);
            }
        }
        defined.insert(from, name.to_owned());
    } else {
        graph.nodes.push(build::node("Identity", &[&from], name));
    }
    Ok(())
}

/// Refuses a pair whose parts are not a mean before tanh and a log_std, as far as the graph tells.
fn ensure_unsquashed(graph: &Graph) -> Result<()> {
    let [.., mean, log_std] = OUTPUTS;
    let makers = graph.nodes.iter().map(|node| (node.output[0].as_str(), node)).collect::<HashMap<_, _>>();
    // Follows a value back over steps with a constant, which scale it. Each step leads to an earlier node.
    let origin = |name: &str| {
        let mut node = *makers.get(name)?;
        while ["Mul", "Add", "Sub", "Div", "Clip", "Identity", "Max", "Min"].contains(&node.op_type.as_str()) {
            let mut computed = node.input.iter().filter_map(|input| makers.get(input.as_str()));
            match (computed.next(), computed.next()) {
                (Some(inner), None) => node = inner,
                _ => break,
            }
        }
        let inputs = node.input.iter().filter_map(|input| makers.get(input.as_str()));
        let is_softplus = node.op_type == "Add" && inputs.map(|node| node.op_type.as_str()).eq(["Relu", "Log"]);
        Some(if is_softplus { "softplus" } else { node.op_type.as_str() })
    };
    ensure!(
        origin(mean) != Some("Tanh"),
        "the program returns a pair whose first part is the result of tanh already: return the action alone, or the mean and log_std"
    );
    if let Some(op @ ("Exp" | "softplus" | "Sqrt")) = origin(log_std) {
        let op = op.to_lowercase();
        bail!(
            "the program returns a pair whose second part is the result of {op}, as a standard deviation is: return log_std"
        );
    }
    Ok(())
}

/// Fixes the shape of the state within the graph, so that a batch of more states fails and never mixes them.
fn refuse_batches(graph: &mut Graph, state_dim: usize) {
    const ROW: &str = "state#row";
    const SHAPE: &str = "state#shape";
    for input in graph.nodes.iter_mut().flat_map(|node| &mut node.input) {
        if input == STATE {
            ROW.clone_into(input);
        }
    }
    graph.nodes.insert(0, build::node("Reshape", &[STATE, SHAPE], ROW));
    graph.constants.push(list(SHAPE, &[1, state_dim as i64]));
}

/// Removes the nodes and constants that no output needs.
fn prune(graph: &mut Graph, outputs: &[&str]) {
    let mut needed = outputs.iter().map(|name| (*name).to_owned()).collect::<HashSet<_>>();
    let mut kept = vec![];
    for node in std::mem::take(&mut graph.nodes).into_iter().rev() {
        if node.output.iter().any(|output| needed.contains(output)) {
            needed.extend(node.input.iter().cloned());
            kept.push(node);
        }
    }
    kept.reverse();
    graph.nodes = kept;
    graph.constants.retain(|constant| needed.contains(&constant.name));
}

/// Fixes a value to one row.
fn one_row(mut value: ValueInfoProto) -> ValueInfoProto {
    if let Some(Type::TensorType(tensor)) = value.r#type.as_mut().and_then(|r#type| r#type.value.as_mut())
        && let Some(rows) = tensor.shape.as_mut().and_then(|shape| shape.dim.first_mut())
    {
        rows.value = Some(dimension::Value::DimValue(1));
    }
    value
}
