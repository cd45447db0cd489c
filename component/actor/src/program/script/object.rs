//! Reads the objects of the archive: attributes of modules, and constants.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use anyhow::{Context, Result, bail};

use super::Interpreter;
use crate::file::{self, Dtype, Object, ObjectId, Objects};
use crate::program::graph::Graph;
use crate::program::value::{Constant, Content, Dim, Handle, Kind, Tensor, Value};

impl Interpreter<'_> {
    pub fn constant(&mut self, name: &str) -> Result<Value> {
        let found = || {
            let constants = self.script.constants.as_ref()?;
            let Object::List(elements) = constants.get(constants.root) else { return None };
            elements.get(name.strip_prefix('c')?.parse::<usize>().ok()?).copied()
        };
        let id = found().with_context(|| format!("the program's constant `{name}` is missing"))?;
        self.object(true, id)
    }

    /// Returns an object of the archive, of the constants or of the module.
    pub fn object(&mut self, is_constant: bool, id: ObjectId) -> Result<Value> {
        self.deeper(|interpreter| interpreter.object_here(is_constant, id))
    }

    pub fn object_here(&mut self, is_constant: bool, id: ObjectId) -> Result<Value> {
        let script = self.script;
        let objects = if is_constant { script.constants.as_ref() } else { Some(&script.module) };
        let objects = objects.context("the constants are missing")?;
        let id = objects.canonical(id);
        Ok(match objects.get(id) {
            Object::None => Value::None,
            Object::Bool(bool) => Value::Bool(*bool),
            Object::Int(int) => Value::Int(*int),
            Object::Float(float) => Value::Float(*float),
            Object::Text(text) => Value::Text(text.as_str().into()),
            Object::List(elements) => {
                let elements = elements.iter().map(|element| self.object(is_constant, *element));
                Value::list(elements.collect::<Result<_>>()?)?
            }
            Object::Module(_) => Value::Module(id),
            Object::Other(what) => Value::Refused(format!("the program reads {what}, which is not served").into()),
            Object::Same(_) => bail!("an object is missing"),
            Object::Tensor(tensor) => {
                if let Some(known) = self.tensors.get(&(is_constant, id)) {
                    return Ok(Value::Tensor(known.clone()));
                }
                if let Some(reason) = tensor.unread_reason() {
                    return Ok(Value::Refused(
                        format!("the program reads a tensor that is not read here: {reason}").into(),
                    ));
                }
                let label = if is_constant { None } else { self.names.get(&id).map(String::as_str) };
                let handle = stored(self.graph, tensor, label.unwrap_or_default())?;
                self.tensors.insert((is_constant, id), handle.clone());
                Value::Tensor(handle)
            }
        })
    }
}

/// Reads a tensor of the archive as a constant.
pub fn stored(graph: &mut Graph, tensor: &file::Tensor, label: &str) -> Result<Handle> {
    graph.charge_constant(tensor.numel())?;
    let numbers = Rc::new(tensor.floats()?);
    let kind = match tensor.dtype {
        Dtype::Bool => Kind::Bool,
        dtype if dtype.is_float() => Kind::Float,
        _ => Kind::Int,
    };
    let shape = tensor.shape.iter().copied().map(Dim::Known).collect();
    let content = Content::Constant(Constant { numbers, label: label.into() });
    Ok(Handle::stored(Tensor { shape, kind, content }))
}

/// Returns the path of each tensor below the root, the shortest one if there are several.
pub fn names(objects: &Objects) -> HashMap<ObjectId, String> {
    let mut names = HashMap::new();
    let mut open = VecDeque::from([(objects.canonical(objects.root), String::new())]);
    while let Some((id, path)) = open.pop_front() {
        let Object::Module(module) = objects.get(id) else { continue };
        for (name, attribute) in &module.attributes {
            let id = objects.canonical(*attribute);
            if names.contains_key(&id) || path.len() + name.len() > 200 {
                continue;
            }
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            open.push_back((id, path.clone()));
            names.insert(id, path);
        }
    }
    names
}
