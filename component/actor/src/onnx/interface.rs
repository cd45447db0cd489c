//! Finds the input and the outputs of a policy in a graph, and brings the graph into the form that this crate serves.

use std::collections::HashSet;
use std::fmt::Debug;

use anyhow::{Context, Result, bail, ensure};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value;
use tract_onnx::pb::{GraphProto, ModelProto, ValueInfoProto, type_proto};

use super::canonical::{self, Interfaces};
use super::flow::{Flow, check_functions};
use super::names::{Candidate, Chosen, choose, is_squash};
use crate::model::{Mlp, Outputs};

/// The input and the outputs that a card names.
#[derive(Debug, Default, Clone)]
pub struct Names {
    pub input: Option<String>,
    /// The action, or the mean and the log_std in this order.
    pub outputs: Option<Vec<String>>,
    /// True if the card has examples, which prove that the only output is the action.
    pub has_examples: bool,
    /// True if metadata or the card names the squash of the mean.
    pub has_squash: bool,
}

/// The input and the outputs of a policy's graph, as its file names them.
#[derive(Debug, Clone)]
pub struct Interface {
    pub input: String,
    pub input_by: NamedBy,
    /// The action, or the mean and the log_std in this order.
    pub outputs: Vec<String>,
    pub outputs_by: NamedBy,
    pub kind: Outputs,
    /// True if the first output ends in a tanh or the like.
    pub is_squashed: bool,
    pub state_dim: usize,
    pub rows: Rows,
}

impl Interface {
    /// The interface of the graph that [`super::model`] builds.
    pub fn built(mlp: &Mlp) -> Self {
        let kind = if mlp.log_std.is_some() { Outputs::MeanAndLogStd } else { Outputs::Action };
        let outputs = ["mean"].into_iter().chain(mlp.log_std.as_ref().map(|_| "log_std"));
        Interface {
            input: "state".to_owned(),
            input_by: NamedBy::UsualName,
            outputs: outputs.map(str::to_owned).collect(),
            outputs_by: NamedBy::UsualName,
            kind,
            is_squashed: false,
            state_dim: mlp.state_dim(),
            rows: Rows::Any,
        }
    }
}

/// The way in which an input or an output was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedBy {
    Card,
    /// It goes by a name that trainers give it.
    UsualName,
    /// The graph has no other that would do.
    OnlyOne,
}

/// The number of states that a graph takes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// [batch, state_dim]. The batch is free, or one.
    Any,
    /// [rows, state_dim] with a number of rows other than one, as exporters without dynamic axes write the example's.
    Fixed(usize),
    /// [state_dim].
    Single,
}

impl Rows {
    /// The most rows that a graph may be fixed to. Each state is computed as often.
    const MAX_FIXED: usize = 4096;
}

/// Chooses the input and the outputs of a policy, by the card's names if it has any. Returns the graph with only what
/// these outputs depend on. Its input is `state` and its outputs are `mean` and `log_std`, or `action`, all of f32.
///
/// # Errors
///
/// Fails unless one set of outputs can be chosen that depends on one input of floats, and on no random operator and no function
/// of the file's own. The error says what was found, and which line of a card decides.
pub fn select(mut model: ModelProto, names: &Names) -> Result<(ModelProto, Interface)> {
    let graph = model.graph.as_mut().context("the ONNX model contains no graph")?;
    check_outputs(graph)?;
    let (interface, interfaces) = find(graph, names)?;
    canonical::rewrite(graph, &interfaces);
    check_functions(graph, &model.functions)?;
    Ok((model, interface))
}

/// Refuses a graph that promises an output which nothing computes: the file is damaged, or cut short.
fn check_outputs(graph: &GraphProto) -> Result<()> {
    let computed = graph.node.iter().flat_map(|node| &node.output).chain(graph.initializer.iter().map(|it| &it.name));
    let computed = computed.chain(graph.input.iter().map(|input| &input.name)).collect::<HashSet<_>>();
    let missing = graph.output.iter().find(|output| !computed.contains(&output.name));
    ensure!(
        missing.is_none(),
        "output `{}` is computed by no node of the graph",
        missing.map_or("", |output| output.name.as_str())
    );
    Ok(())
}

/// The longest name of an input or an output, which errors and facts repeat.
const MAX_NAME: usize = 256;

fn find(graph: &GraphProto, names: &Names) -> Result<(Interface, Interfaces)> {
    let long = graph.input.iter().chain(&graph.output).find(|value| value.name.len() > MAX_NAME);
    ensure!(long.is_none(), "an input or an output has a name of more than {MAX_NAME} bytes");
    let flow = Flow::new(graph)?;
    let candidates = graph.output.iter().map(|output| candidate(&flow, output)).collect::<Vec<_>>();
    let Chosen { names: outputs, outputs: kind, by } = choose(&candidates, names)?;
    for output in &outputs {
        ensure!(flow.defines(output), "output `{output}` is computed by no node of the graph");
    }
    let is_squashed = flow.bound(outputs[0]).is_some_and(is_squash);
    let needed = flow.sources(&outputs);
    let (input, input_by) = input(graph, &needed, names.input.as_deref())?;
    let (state_dim, rows) = shape(input)?;
    let as_declared = |name: &&str| graph.output.iter().find(|output| output.name == **name).and_then(data_type);
    let interfaces = Interfaces {
        input: (input.name.clone(), data_type(input)),
        outputs: outputs.iter().map(|name| ((*name).to_owned(), as_declared(name))).collect(),
        kind,
        needed: needed.into_iter().map(str::to_owned).collect(),
    };
    let interface = Interface {
        input: input.name.clone(),
        input_by,
        outputs: outputs.into_iter().map(str::to_owned).collect(),
        outputs_by: by,
        kind,
        is_squashed,
        state_dim,
        rows,
    };
    Ok((interface, interfaces))
}

fn candidate<'a>(flow: &Flow<'a>, output: &'a ValueInfoProto) -> Candidate<'a> {
    Candidate {
        name: &output.name,
        random: flow.random(&output.name),
        bound: flow.bound(&output.name),
        is_row: dims(output).is_none_or(|dims| matches!(dims.len(), 1 | 2)),
        is_float: data_type(output).is_none_or(is_float),
    }
}

/// Returns the input that is the state: the only one that the outputs depend on and that has no default.
fn input<'a>(
    graph: &'a GraphProto,
    needed: &HashSet<&str>,
    card: Option<&str>,
) -> Result<(&'a ValueInfoProto, NamedBy)> {
    let defaults = graph.initializer.iter().map(|tensor| tensor.name.as_str());
    let defaults = defaults.collect::<HashSet<_>>();
    let given = graph.input.iter().filter(|input| !defaults.contains(input.name.as_str()));
    let open = given.filter(|input| needed.contains(input.name.as_str())).collect::<Vec<_>>();
    let names = || open.iter().map(|input| input.name.as_str()).collect::<Vec<_>>();
    if let Some(card) = card {
        ensure!(
            open.iter().any(|input| input.name == card),
            "the card names the input `{card}`: the outputs depend on {}",
            list(&names())
        );
    }
    match open[..] {
        [] => bail!("one input of floats is expected, and the outputs depend on none"),
        [only] if card.is_some() => Ok((only, NamedBy::Card)),
        [only] => Ok((only, NamedBy::OnlyOne)),
        _ => {
            bail!("one input is expected, the state, and the outputs depend on {}{}", list(&names()), advice(&names()))
        }
    }
}

/// Parts of names by which exporters know inputs that are no states, with what the trainer can do.
const OTHER_INPUTS: &[(&str, &str)] = &[
    ("mask", "action masks belong to discrete actions, which are not served"),
    ("recurrent", IS_RECURRENT),
    ("h_in", IS_RECURRENT),
    ("c_in", IS_RECURRENT),
    ("hidden", IS_RECURRENT),
    ("state_in", IS_RECURRENT),
    ("memory", IS_RECURRENT),
    ("lstm", IS_RECURRENT),
    ("gru", IS_RECURRENT),
    ("rnn", IS_RECURRENT),
];

/// The refusal of a policy that keeps a state of its own.
pub const IS_RECURRENT: &str =
    "the policy is recurrent, and each request is answered by itself: train one without a memory";

fn advice(inputs: &[&str]) -> String {
    let lower = inputs.iter().map(|input| input.to_ascii_lowercase()).collect::<Vec<_>>();
    let known = |(part, advice): &(&str, &str)| {
        let position = lower.iter().position(|input| input.contains(part))?;
        Some(format!(": `{}`: {advice}", inputs.get(position)?))
    };
    OTHER_INPUTS
        .iter()
        .find_map(known)
        .unwrap_or_else(|| ": export a module that takes one flat state, splits it, and calls the policy".to_owned())
}

/// Returns the length of a state and the number of states that the input takes.
fn shape(input: &ValueInfoProto) -> Result<(usize, Rows)> {
    let name = &input.name;
    if let Some(found) = data_type(input) {
        ensure!(is_float(found), "input `{name}`: f32 is expected, found {}", shown(found));
    }
    let dims = dims(input).with_context(|| format!("input `{name}` has no shape, [batch, state_dim] is expected"))?;
    let (rows, columns) = match dims[..] {
        [columns] => (Rows::Single, columns),
        [None | Some(1), columns] => (Rows::Any, columns),
        [Some(rows), columns] => (Rows::Fixed(rows), columns),
        _ => bail!("input `{name}`: rank 2, [batch, state_dim], is expected, found rank {}", dims.len()),
    };
    if let Rows::Fixed(rows) = rows {
        let most = Rows::MAX_FIXED;
        ensure!(rows <= most, "input `{name}` is fixed to {rows} states at once, {most} at most are expected");
    }
    let columns = columns.filter(|columns| *columns > 0);
    let position = if rows == Rows::Single { "first" } else { "second" };
    let columns =
        columns.with_context(|| format!("input `{name}`: the {position} dimension must be a number, state_dim"))?;
    Ok((columns, rows))
}

/// Returns the dimensions that a value is declared to have. One that is no number, or not above zero, is free.
fn dims(value: &ValueInfoProto) -> Option<Vec<Option<usize>>> {
    let Some(type_proto::Value::TensorType(tensor)) = &value.r#type.as_ref()?.value else { return None };
    let dims = tensor.shape.as_ref()?.dim.iter();
    Some(
        dims.map(|dim| match dim.value {
            Some(Value::DimValue(size)) => usize::try_from(size).ok().filter(|size| *size > 0),
            _ => None,
        })
        .collect(),
    )
}

fn data_type(value: &ValueInfoProto) -> Option<DataType> {
    let Some(type_proto::Value::TensorType(tensor)) = &value.r#type.as_ref()?.value else { return None };
    DataType::try_from(tensor.elem_type).ok().filter(|found| *found != DataType::Undefined)
}

fn is_float(data_type: DataType) -> bool {
    matches!(data_type, DataType::Float | DataType::Double | DataType::Float16)
}

fn shown(data_type: DataType) -> String {
    let known = tract_onnx::prelude::DatumType::try_from(data_type);
    known.map_or_else(|_| format!("{data_type:?}"), |known| format!("{known:?}"))
}

/// Returns names for an error message, sixteen at most.
pub fn list(names: &[impl Debug]) -> String {
    match names {
        [] => "none".to_owned(),
        names if names.len() <= 16 => format!("{names:?}"),
        names => format!("{:?} and {} more", &names[..16], names.len() - 16),
    }
}
