//! Recognises an actor of linear layers in an ONNX graph, in the forms that PyTorch and this crate export.

mod activation;
mod graph;
mod plain;

use tract_onnx::pb::ModelProto;

use crate::model::{Hidden, Linear, LogStd, MeanStep, Mlp, Normalisation};
use graph::Graph;
use plain::is_plain;

/// A graph as linear layers, with what the graph does before and after them.
pub struct Recognised {
    pub mlp: Mlp,
    /// The normalisation that the graph applies to `state`.
    pub normalisation: Option<Normalisation>,
    /// The rule that the graph applies to the output of the log_std head.
    pub log_std: Option<LogStd>,
    /// True if the layers are the graph for certain. Otherwise they have to be compared with the graph.
    pub is_certain: bool,
}

impl Recognised {
    /// Computes the mean of a state in double precision.
    pub fn mean_of(&self, state: &[f64]) -> Vec<f64> {
        match &self.normalisation {
            Some(normalisation) => self.mlp.mean_of(&normalisation.of(state)),
            None => self.mlp.mean_of(state),
        }
    }
}

/// Returns `None` for a graph that does anything else. A mistake here costs no wrong action: the layers of a graph that is
/// not plain are compared with the graph, and their dimensions with the network's.
pub fn recognise(model: &ModelProto) -> Option<Recognised> {
    let graph = Graph::new(model)?;
    let (head, has_log_std) = (if graph.computes("action") { "action" } else { "mean" }, graph.computes("log_std"));
    let (head, mean_step) = mean_step(&graph, head);
    let (from_mean, mean) = graph.linear(head)?;
    let (log_std, rule) = match has_log_std {
        true => log_std(&graph, from_mean).map(|(head, rule)| (Some(head), rule))?,
        false => (None, None),
    };
    let (trunk, input) = trunk(&graph, from_mean)?;
    let mlp = Mlp { trunk, mean, mean_step, log_std };
    mlp.check().ok()?;
    let normalisation = normalisation(&graph, input, mlp.state_dim())?;
    Some(Recognised { mlp, normalisation, log_std: rule, is_certain: is_plain(model) })
}

/// Returns the value of the mean's head, and the step after it.
fn mean_step<'a>(graph: &Graph<'a>, value: &'a str) -> (&'a str, Option<MeanStep>) {
    let value = graph.same_numbers(value);
    match graph.producer(value) {
        Some(("Tanh", node)) => node.input.first().map(|input| (input.as_str(), Some(MeanStep::Tanh))),
        _ => graph
            .clamp(value)
            .filter(|(_, low, high)| *low == -high)
            .map(|(input, _, high)| (input, Some(MeanStep::Clamp(high)))),
    }
    .unwrap_or((value, None))
}

/// Returns the head of log_std, which must take the same value as that of the mean, and the rule after it.
fn log_std(graph: &Graph, from_mean: &str) -> Option<(Linear, Option<LogStd>)> {
    let (mut value, mut rule) = ("log_std", None::<LogStd>);
    while let Some((inner, found)) = log_std_rule(graph, graph.same_numbers(value)) {
        rule = Some(rule.map_or(Some(found), |outer| outer.after(found))?);
        value = inner;
    }
    let (from, head) = graph.linear(value)?;
    (graph.same_numbers(from) == graph.same_numbers(from_mean)).then_some((head, rule))
}

/// Returns the hidden layers, and the value that the first of them takes.
fn trunk<'a>(graph: &Graph<'a>, last: &'a str) -> Option<(Vec<Hidden>, &'a str)> {
    let (mut trunk, mut at) = (vec![], last);
    loop {
        let activated = graph.activation(at);
        let (inner, activation) = activated.map_or((at, None), |(inner, activation)| (inner, Some(activation)));
        match graph.linear(inner) {
            Some((before, linear)) => {
                trunk.push(Hidden::new(linear, activation));
                at = before;
            }
            // Nothing that a normalisation of states does is an activation.
            None if activation.is_some() => return None,
            None => break,
        }
    }
    trunk.reverse();
    Some((trunk, at))
}

/// Matches a rule for log_std. Returns its input and the rule.
fn log_std_rule<'a>(graph: &Graph<'a>, value: &'a str) -> Option<(&'a str, LogStd)> {
    let squashed = || {
        let (value, low) = graph.with_scalar(value, "Add")?;
        let (value, half) = graph.with_scalar(value, "Mul")?;
        let (value, _) = graph.with_scalar(value, "Add").filter(|(_, one)| *one == 1.0)?;
        let ("Tanh", node) = graph.producer(value)? else { return None };
        Some((node.input.first()?.as_str(), LogStd::Squashed { low, high: low + 2.0 * half }))
    };
    let clamped = || graph.clamp(value).map(|(value, low, high)| (value, LogStd::Clamped { low, high }));
    clamped().or_else(squashed)
}

/// Returns the normalisation between `state` and the first layer, which takes `state_dim` numbers, if any; `None` if
/// anything else lies between them.
#[allow(clippy::option_option, reason = "a graph without a normalisation is recognised too")]
fn normalisation(graph: &Graph, value: &str, state_dim: usize) -> Option<Option<Normalisation>> {
    let value = graph.same_numbers(value);
    let (value, clip) = match graph.clamp(value) {
        Some((inner, low, high)) if low == -high => (inner, Some(f64::from(high))),
        Some(_) => return None,
        None => (value, None),
    };
    let (value, scale, shift) = affine(graph, value, state_dim)?;
    (value == "state").then_some(())?;
    if clip.is_none() && scale.iter().all(|scale| *scale == 1.0) && shift.iter().all(|shift| *shift == 0.0) {
        return Some(None);
    }
    let mean = shift.iter().zip(&scale).map(|(shift, scale)| -shift / scale).collect::<Vec<_>>();
    let std = scale.iter().map(|scale| 1.0 / scale).collect::<Vec<_>>();
    Normalisation::new(&mean, &std, clip).ok().map(Some)
}

/// The most steps of a normalisation. Exporters write four, and a longer chain on one large constant costs time.
const MAX_STEPS: usize = 8;

/// Follows sums, differences, products and quotients with constants back to the value v from which they compute
/// scale · v + shift. Returns v, scale and shift.
fn affine<'a>(graph: &Graph<'a>, value: &'a str, dim: usize) -> Option<(&'a str, Vec<f64>, Vec<f64>)> {
    let (mut value, mut scale, mut shift) = (graph.same_numbers(value), vec![1.0; dim], vec![0.0; dim]);
    for _ in 0..MAX_STEPS {
        let Some((op, input, numbers)) = graph.arithmetic(value) else { break };
        ([1, dim].contains(&numbers.len())).then_some(())?;
        let numbers = numbers.iter().map(|number| f64::from(*number)).cycle();
        for ((scale, shift), number) in scale.iter_mut().zip(&mut shift).zip(numbers) {
            match op {
                "Add" => *shift += *scale * number,
                "Sub" => *shift -= *scale * number,
                "Mul" => *scale *= number,
                _ => *scale /= number,
            }
        }
        value = graph.same_numbers(input);
    }
    Some((value, scale, shift))
}
