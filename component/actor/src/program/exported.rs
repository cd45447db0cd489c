//! Translates the graph of a `torch.export` archive, node by node.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value as Json;

use super::graph::Graph;
use super::operator::{self, Arguments};
use super::script::stored;
use super::value::{Dim, Handle, Tensor, Value};
use crate::file::{Exported, exported_size};

/// Runs the graph. Returns its result.
pub fn run(exported: &Exported, graph: &mut Graph) -> Result<Value> {
    let mut runner = Runner { exported, graph, values: HashMap::new(), stored: HashMap::new() };
    runner.inputs()?;
    for node in &exported.graph_module.graph.nodes {
        runner.node(node)?;
    }
    runner.outputs()
}

struct Runner<'a> {
    exported: &'a Exported,
    graph: &'a mut Graph,
    values: HashMap<String, Value>,
    /// The parameters that a node has read, by the names of their values. The others never are.
    stored: HashMap<String, &'a str>,
}

impl<'a> Runner<'a> {
    fn inputs(&mut self) -> Result<()> {
        let mut inputs = vec![];
        for spec in &self.exported.graph_module.signature.input_specs {
            let (kind, spec) = only(spec).context("an input of the program's signature")?;
            let key = match kind {
                "parameter" => "parameter_name",
                "buffer" => "buffer_name",
                "tensor_constant" => "tensor_constant_name",
                "user_input" => {
                    inputs.push(spec.get("arg").context("an input has no name")?);
                    continue;
                }
                _ => bail!("the program takes a `{kind}`, which is not served"),
            };
            let text = |json: Option<&'a Json>| json.and_then(Json::as_str);
            let value = text(spec.get("arg").and_then(|arg| arg.get("name"))).context("a parameter has no name")?;
            self.stored.insert(value.to_owned(), text(spec.get(key)).context("a parameter has no name")?);
        }
        let tensors = inputs.iter().filter_map(|input| input.get("as_tensor")?.get("name")?.as_str());
        let [name] = tensors.collect::<Vec<_>>()[..] else {
            bail!("the program takes {} inputs: one tensor, [batch, state_dim], is expected", inputs.len());
        };
        let state = self.state(name)?;
        self.values.insert(name.to_owned(), state.value());
        Ok(())
    }

    fn state(&mut self, name: &str) -> Result<Tensor> {
        let state = self.graph.state();
        let meta = self.exported.graph_module.graph.tensor_values.get(name);
        let sizes = &meta.context("the program's input has no shape")?.sizes;
        let last = |size: &Json| {
            let size = exported_size(size);
            size.context("the program's input has a state_dim that is not a number: export it with a fixed one")
        };
        match &sizes[..] {
            [dim] => {
                self.graph.unify(Dim::State(0), Dim::Known(last(dim)?))?;
                super::without_batch(self.graph, &state)
            }
            [_, dim] => {
                self.graph.unify(Dim::State(0), Dim::Known(last(dim)?))?;
                self.graph.sizes.takes_batches = true;
                Ok(state)
            }
            _ => bail!("the program takes a tensor of {} dimensions: [batch, state_dim] is expected", sizes.len()),
        }
    }

    fn node(&mut self, node: &crate::file::ExportedNode) -> Result<()> {
        let target = node.target.as_str();
        let name = match target.strip_prefix("torch.ops.").unwrap_or(target) {
            name if name.starts_with("aten.") => name["aten.".len()..].split('.').next().unwrap_or_default(),
            name => name.rsplit_once("operator.").map_or(name, |(_, name)| name),
        };
        let mut arguments = Arguments::default();
        let is_python = !target.starts_with("torch.ops.");
        for input in &node.inputs {
            let value = self.argument(&input.arg)?;
            if input.name.is_empty() || is_python {
                arguments.push(value);
            } else {
                arguments.push_named(input.name.clone(), value);
            }
        }
        // An operator of another namespace goes by its whole name, so it is refused by it.
        let result = operator::call(self.graph, name, &arguments)?;
        match &node.outputs[..] {
            [] => Ok(()),
            [output] => self.define(output, result),
            outputs => {
                let results = match result {
                    Value::List(list) => list.elements(),
                    other => vec![other; outputs.len()],
                };
                ensure!(results.len() == outputs.len(), "`{target}` has {} results", results.len());
                outputs.iter().zip(results).try_for_each(|(output, result)| self.define(output, result))
            }
        }
    }

    fn define(&mut self, output: &Json, value: Value) -> Result<()> {
        let (kind, name) = only(output).context("an output of a node")?;
        if let ("as_tensors", Some(names)) = (kind, name.as_array()) {
            let values = match value {
                Value::List(list) => list.elements(),
                other => vec![other; names.len()],
            };
            ensure!(values.len() == names.len(), "a node has {} results", values.len());
            for (name, value) in names.iter().zip(values) {
                let name = name.get("name").and_then(Json::as_str).context("a result has no name")?;
                self.values.insert(name.to_owned(), value);
            }
            return Ok(());
        }
        let name = ["name", "as_name"].iter().find_map(|key| name.get(*key)?.as_str());
        if let Some(name) = name {
            self.values.insert(name.to_owned(), value);
        }
        Ok(())
    }

    fn argument(&mut self, argument: &Json) -> Result<Value> {
        let (kind, value) = only(argument).context("an argument of a node")?;
        let list = |runner: &mut Self, kind: &str| {
            let elements = value.as_array().context("a list is expected")?;
            ensure!(elements.len() <= 1 << 16, "a list has too many elements");
            Value::list(elements.iter().map(|value| runner.single(kind, value)).collect::<Result<_>>()?)
        };
        match kind {
            "as_tensors" | "as_ints" | "as_floats" | "as_bools" | "as_sym_ints" | "as_sym_floats" | "as_strings"
            | "as_nested_tensors" => list(self, kind.trim_end_matches('s')),
            "as_optional_tensors" => list(self, "as_optional_tensor"),
            _ => self.single(kind, value),
        }
    }

    fn single(&mut self, kind: &str, value: &Json) -> Result<Value> {
        Ok(match kind {
            "as_none" | "as_device" | "as_layout" | "as_memory_format" => Value::None,
            "as_int" => Value::Int(value.as_i64().context("an integer is expected")?),
            "as_bool" => Value::Bool(value.as_bool().context("a bool is expected")?),
            "as_float" => Value::Float(match value.as_str() {
                Some("Infinity") => f64::INFINITY,
                Some("-Infinity") => f64::NEG_INFINITY,
                Some(_) => f64::NAN,
                None => value.as_f64().context("a number is expected")?,
            }),
            "as_string" => Value::Text(value.as_str().context("a string is expected")?.into()),
            "as_scalar_type" => Value::Int(scalar_type(value.as_i64().unwrap_or_default())),
            "as_tensor" => self.named(value.get("name"))?,
            "as_optional_tensor" | "as_sym_int" | "as_sym_float" | "as_sym_bool" => match only(value) {
                Ok((inner, value)) if inner != "as_name" => self.single(inner, value)?,
                _ => self.named(value.get("as_name"))?,
            },
            _ => Value::Refused(
                format!("the program takes an argument of the kind `{kind}`, which is not served").into(),
            ),
        })
    }

    /// Returns a value by its name. A parameter is read when it is first used.
    fn named(&mut self, name: Option<&Json>) -> Result<Value> {
        let name = name.and_then(Json::as_str).context("a value has no name")?;
        if let Some(value) = self.values.get(name) {
            return Ok(value.clone());
        }
        let parameter = self.stored.get(name).with_context(|| format!("the value `{name}` is not defined"))?;
        let tensor = self.exported.tensors.get(*parameter);
        let tensor = tensor.with_context(|| format!("the archive has no tensor `{parameter}`"))?;
        let handle: Handle = stored(self.graph, tensor, parameter)?;
        self.values.insert(name.to_owned(), Value::Tensor(handle.clone()));
        Ok(Value::Tensor(handle))
    }

    fn outputs(&mut self) -> Result<Value> {
        let mut outputs = vec![];
        let exported = self.exported;
        for spec in &exported.graph_module.signature.output_specs {
            let (kind, spec) = only(spec).context("an output of the program's signature")?;
            ensure!(
                kind == "user_output",
                "the program has a `{kind}`: its answers depend on earlier ones, which is not served"
            );
            outputs.push(self.argument(spec.get("arg").context("an output has no name")?)?);
        }
        match outputs.len() {
            1 => outputs.pop().context("the program has no output"),
            _ => Value::list(outputs),
        }
    }
}

/// Returns the only field of an object, by which the schema tells its variants apart.
fn only(json: &Json) -> Result<(&str, &Json)> {
    let fields = json.as_object().context("an object is expected")?;
    let mut fields = fields.iter();
    match (fields.next(), fields.next()) {
        (Some((kind, value)), None) => Ok((kind, value)),
        _ => bail!("an object of one field is expected"),
    }
}

/// Returns PyTorch's number of a type for the schema's number.
fn scalar_type(number: i64) -> i64 {
    match number {
        1..=8 => number - 1,
        12 => 11,
        13 => 15,
        _ => -1,
    }
}
