//! Follows values through a graph: what a value is computed from, and which values a random operator reaches.

use std::collections::{HashMap, HashSet};

use anyhow::{Result, ensure};
use tract_onnx::pb::{FunctionProto, GraphProto, NodeProto, TensorProto};

use super::read::{constants, number};

/// The nodes of a graph by the values that they compute, and its constants.
pub struct Flow<'a> {
    graph: &'a GraphProto,
    producers: HashMap<&'a str, &'a NodeProto>,
    constants: HashMap<&'a str, &'a TensorProto>,
    /// The values that are drawn at random, with the operators that draw them.
    random: HashMap<&'a str, &'a str>,
}

impl<'a> Flow<'a> {
    /// # Errors
    ///
    /// Fails if one value is defined twice, or if a graph within a node has an output that nothing computes.
    pub fn new(graph: &'a GraphProto) -> Result<Self> {
        let mut producers = HashMap::new();
        let given = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect::<HashSet<_>>();
        for node in &graph.node {
            for output in node.output.iter().filter(|output| !output.is_empty()) {
                let is_new = producers.insert(output.as_str(), node).is_none() && !given.contains(output.as_str());
                ensure!(is_new, "the graph defines `{output:.256}` twice");
            }
            inner_graphs(node).try_for_each(check_outputs)?;
        }
        let constants = constants(graph);
        let random = random(graph, &constants);
        Ok(Flow { graph, producers, constants, random })
    }

    /// Returns `true` if a node, an input or an initialiser defines the value.
    pub fn defines(&self, value: &str) -> bool {
        self.producers.contains_key(value)
            || self.constants.contains_key(value)
            || self.graph.input.iter().any(|input| input.name == value)
    }

    /// Returns the random operator that a value depends on.
    pub fn random(&self, value: &str) -> Option<&'a str> {
        self.random.get(value).copied()
    }

    /// Returns every value that the given ones are computed from, themselves included.
    pub fn sources(&self, values: &[&'a str]) -> HashSet<&'a str> {
        let (mut open, mut found) = (values.to_vec(), HashSet::new());
        while let Some(value) = open.pop() {
            if found.insert(value)
                && let Some(node) = self.producers.get(value)
            {
                each_use(node, &mut |used| open.push(used));
            }
        }
        found
    }

    /// Returns the operator that keeps a value within bounds: Tanh, Sigmoid or Clip, with nothing after it but constant
    /// scales and shifts, and changes of shape.
    pub fn bound(&self, value: &'a str) -> Option<&'a str> {
        let mut at = value;
        // No exporter writes a longer tail, and a graph may be a circle.
        for _ in 0..32 {
            let node = self.producers.get(at)?;
            let is_constant = |input: &String| self.constants.contains_key(input.as_str());
            let inputs = &node.input[..];
            at = match (node.op_type.as_str(), inputs) {
                ("Tanh" | "Sigmoid" | "HardSigmoid" | "Softsign", _) => return Some(&node.op_type),
                // With a lower and an upper bound.
                ("Clip", [_, low, high]) if !low.is_empty() && !high.is_empty() => return Some(&node.op_type),
                ("Clip", [_]) if node.attribute.len() == 2 => return Some(&node.op_type),
                ("Min" | "Max", [a, b]) if self.is_other_limit(node, if is_constant(b) { a } else { b }) => {
                    return Some("Clip");
                }
                ("Mul" | "Add" | "Sub" | "Div", [a, b]) if is_constant(b) => a,
                ("Mul" | "Add" | "Sub", [a, b]) if is_constant(a) => b,
                (op, [input, ..]) if SAME_NUMBERS.contains(&op) => input,
                _ => return None,
            };
        }
        None
    }

    /// Returns `true` if a value is limited by the operator that, with that of `node`, makes a clip.
    fn is_other_limit(&self, node: &NodeProto, value: &str) -> bool {
        let other = if node.op_type == "Min" { "Max" } else { "Min" };
        self.producers.get(value).is_some_and(|node| node.op_type == other)
    }
}

/// Operators that return the numbers of their first input, in another shape or type.
const SAME_NUMBERS: &[&str] = &["Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand", "Dropout"];

/// Operators that draw at random.
const RANDOM: &[&str] =
    &["RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"];

/// Returns the values that are drawn at random, with the operators that draw them.
fn random<'a>(graph: &'a GraphProto, constants: &HashMap<&str, &TensorProto>) -> HashMap<&'a str, &'a str> {
    let draws = graph.node.iter().map(|node| random_operator(node, constants)).collect::<Vec<_>>();
    let mut found = HashMap::new();
    if draws.iter().all(Option::is_none) {
        return found;
    }
    let mut users = HashMap::<&str, Vec<&NodeProto>>::new();
    for node in &graph.node {
        each_use(node, &mut |used| users.entry(used).or_default().push(node));
    }
    let mut open = graph.node.iter().zip(draws).filter_map(|(node, draw)| Some((node, draw?))).collect::<Vec<_>>();
    while let Some((node, operator)) = open.pop() {
        for output in &node.output {
            if found.insert(output.as_str(), operator).is_none() {
                open.extend(users.get(output.as_str()).into_iter().flatten().map(|user| (*user, operator)));
            }
        }
    }
    found
}

/// Returns the operator by which a node draws at random, itself or in a graph within it.
fn random_operator<'a>(node: &'a NodeProto, constants: &HashMap<&str, &TensorProto>) -> Option<&'a str> {
    let op = node.op_type.as_str();
    let is_random = match op {
        "Dropout" => node.input.get(2).filter(|mode| !mode.is_empty()).is_some_and(|mode| !is_zero(constants, mode)),
        // The result depends on the other rows of a batch. It is a fault of the export just as a random operator is.
        "BatchNormalization" => {
            node.attribute.iter().any(|attribute| attribute.name == "training_mode" && attribute.i != 0)
        }
        _ => RANDOM.contains(&op),
    };
    let inner = || inner_graphs(node).flat_map(|graph| &graph.node).find_map(|node| random_operator(node, constants));
    if is_random { Some(op) } else { inner() }
}

/// Returns `true` if the value is known to be zero or false.
fn is_zero(constants: &HashMap<&str, &TensorProto>, value: &str) -> bool {
    constants.get(value).and_then(|tensor| number(tensor)).is_some_and(|number| number == 0.0)
}

/// Visits the values that a node uses. Names within its graphs count, whether they come from outside or not.
fn each_use<'a>(node: &'a NodeProto, visit: &mut dyn FnMut(&'a str)) {
    node.input.iter().filter(|input| !input.is_empty()).for_each(|input| visit(input));
    for graph in inner_graphs(node) {
        graph.node.iter().for_each(|node| each_use(node, visit));
        graph.output.iter().for_each(|output| visit(&output.name));
    }
}

fn inner_graphs(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
}

/// Checks that a graph calls none of the functions that its file defines. tract knows no functions, and would run an
/// operator that goes by the same name instead.
pub fn check_functions(graph: &GraphProto, functions: &[FunctionProto]) -> Result<()> {
    let known = functions.iter().map(|function| (function.domain.as_deref().unwrap_or(""), function.name.as_deref()));
    let known = known.collect::<HashSet<_>>();
    let mut graphs = vec![graph];
    while let Some(graph) = graphs.pop() {
        let call = graph.node.iter().find(|node| known.contains(&(node.domain.as_str(), Some(node.op_type.as_str()))));
        ensure!(
            call.is_none(),
            "the graph calls the function `{:.256}` of its own: export it without functions, or inline them with \
             onnx.inliner.inline_local_functions",
            call.map_or("", |node| &node.op_type)
        );
        graphs.extend(graph.node.iter().flat_map(inner_graphs));
    }
    Ok(())
}

/// Checks that a graph within a node knows its outputs, on which tract relies.
fn check_outputs(graph: &GraphProto) -> Result<()> {
    let mut known = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect::<HashSet<_>>();
    known.extend(graph.input.iter().map(|input| input.name.as_str()));
    known.extend(graph.node.iter().flat_map(|node| node.input.iter().chain(&node.output)).map(String::as_str));
    let unknown = graph.output.iter().find(|output| !known.contains(output.name.as_str()));
    ensure!(
        unknown.is_none(),
        "output `{:.256}` is computed by no node of its graph",
        unknown.map_or("", |output| &output.name)
    );
    graph.node.iter().flat_map(inner_graphs).try_for_each(check_outputs)
}
