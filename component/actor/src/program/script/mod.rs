//! Interprets the program of a TorchScript archive: it runs `forward` on a value that stands for any state, so that each
//! operator adds its node to the graph. Branches and loops are followed where they depend on constants alone.

mod call;
mod expression;
mod object;
mod statement;

use std::collections::HashMap;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};

use super::graph::Graph;
use super::parse::parse;
use super::syntax::{Class, Function, Source};
use super::value::{Dim, Handle, Tensor, Value};
use crate::file::{Object, ObjectId, Script};

use object::names;
pub use object::stored;
use statement::Flow;

/// The deepest nesting of calls, blocks and expressions that run.
const MAX_DEPTH: usize = 160;
/// The most statements and expressions that run. A policy takes some hundreds.
const MAX_STEPS: usize = 1 << 18;

/// Runs `forward`. Returns its result.
pub fn run(script: &Script, graph: &mut Graph) -> Result<Value> {
    let mut interpreter = Interpreter {
        script,
        graph,
        sources: HashMap::new(),
        tensors: HashMap::new(),
        names: names(&script.module),
        steps: 0,
        depth: 0,
    };
    interpreter.forward()
}

struct Interpreter<'a> {
    script: &'a Script,
    graph: &'a mut Graph,
    /// The source files that were parsed, by the names of their modules.
    sources: HashMap<String, Rc<Source>>,
    /// The tensors of the archive that the program has read. `true` marks those of the constants.
    tensors: HashMap<(bool, ObjectId), Handle>,
    /// The names of the module's tensors, such as `actor.mu.weight`.
    names: HashMap<ObjectId, String>,
    steps: usize,
    depth: usize,
}

type Locals = HashMap<String, Value>;

impl Interpreter<'_> {
    fn forward(&mut self) -> Result<Value> {
        let root = self.script.module.root;
        ensure!(matches!(self.script.module.get(root), Object::Module(_)), "the program has no module in data.pkl");
        let forward = self.method(root, "forward")?;
        let [_, input, others @ ..] = &forward.parameters[..] else { bail!("the program's forward takes no state") };
        ensure!(
            input.annotation == "Tensor",
            "the program's forward takes a `{}`: one tensor, [batch, state_dim], is expected",
            input.annotation
        );
        let needed = others.iter().filter(|other| other.default.is_none()).map(|other| other.name.as_str());
        let needed = needed.collect::<Vec<_>>();
        ensure!(
            needed.is_empty(),
            "the program's forward takes {} beside `{}`: the state alone is expected",
            needed.join(", "),
            input.name
        );
        let state = self.state()?;
        self.call_function(&forward, vec![Value::Module(root), state], vec![])
    }

    /// Returns the value of the input. A trace tells its shape; a program that was traced with a state alone takes one
    /// without a batch.
    fn state(&mut self) -> Result<Value> {
        let state = self.graph.state();
        match self.script.traced_shape.as_deref() {
            None => Ok(state.value()),
            Some([dim]) => {
                self.graph.unify(Dim::State(0), Dim::Known(*dim))?;
                super::without_batch(self.graph, &state).map(Tensor::value)
            }
            Some([_, dim]) => {
                self.graph.unify(Dim::State(0), Dim::Known(*dim))?;
                self.graph.sizes.takes_batches = true;
                Ok(state.value())
            }
            Some(shape) => bail!("the program takes a tensor of shape {shape:?}: [batch, state_dim] is expected"),
        }
    }

    /// Counts a step, and one level of depth for as long as it runs.
    fn deeper<T>(&mut self, part: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.steps += 1;
        ensure!(self.steps <= MAX_STEPS, "the program takes more than {MAX_STEPS} steps");
        self.depth += 1;
        ensure!(self.depth <= MAX_DEPTH, "the program's calls are nested deeper than {MAX_DEPTH} levels");
        let result = part(self);
        self.depth -= 1;
        result
    }

    fn call_function(
        &mut self,
        function: &Rc<Function>,
        positional: Vec<Value>,
        named: Vec<(String, Value)>,
    ) -> Result<Value> {
        let mut locals = Locals::new();
        ensure!(
            positional.len() <= function.parameters.len(),
            "the program's `{}` is called with too many arguments",
            function.name
        );
        for (parameter, value) in function.parameters.iter().zip(positional) {
            locals.insert(parameter.name.clone(), value);
        }
        locals.extend(named);
        for parameter in &function.parameters {
            if !locals.contains_key(&parameter.name) {
                let default = parameter.default.as_ref();
                let default = default
                    .with_context(|| format!("the program calls `{}` without `{}`", function.name, parameter.name))?;
                let value = self.evaluate(default, &Locals::new())?;
                locals.insert(parameter.name.clone(), value);
            }
        }
        match self.block(&function.body, &mut locals)? {
            Flow::Return(value) => Ok(value),
            _ => Ok(Value::None),
        }
    }

    fn method(&mut self, id: ObjectId, name: &str) -> Result<Rc<Function>> {
        let Object::Module(module) = self.script.module.get(id) else { bail!("an object is missing") };
        let class = self.class(&module.class)?;
        let method = class.methods.get(name).cloned();
        method.with_context(|| format!("the program's `{}` has no method `{name}`", module.class))
    }

    fn class(&mut self, name: &str) -> Result<Rc<Class>> {
        let (module, class) = name.rsplit_once('.').context("a class has no module")?;
        let class = self.source(module)?.classes.get(class).cloned();
        class.with_context(|| format!("the program's source has no class `{name}`"))
    }

    fn source(&mut self, module: &str) -> Result<Rc<Source>> {
        if let Some(source) = self.sources.get(module) {
            return Ok(source.clone());
        }
        let text = self.script.sources.get(module);
        let text = text.with_context(|| format!("the program's source of `{module}` is missing"))?;
        let source = Rc::new(parse(text).with_context(|| format!("the program's source of `{module}`"))?);
        self.sources.insert(module.to_owned(), source.clone());
        Ok(source)
    }
}
