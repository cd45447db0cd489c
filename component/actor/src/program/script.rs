//! Interprets the program of a TorchScript archive: it runs `forward` on a value that stands for any state, so that each
//! operator adds its node to the graph. Branches and loops are followed where they depend on constants alone.

use std::collections::HashMap;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};

use super::graph::Graph;
use super::operator::{self, Arguments, number};
use super::parse::parse;
use super::syntax::{Class, Expression, Function, Source, Statement};
use super::value::{Constant, Content, Dim, Handle, Kind, Tensor, Value};
use crate::file::{Dtype, Object, ObjectId, Objects, Script};

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

/// What follows a statement.
enum Flow {
    Next,
    Return(Value),
    Break,
    Continue,
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
                self.graph.takes_batches = true;
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

    fn block(&mut self, statements: &[Statement], locals: &mut Locals) -> Result<Flow> {
        for statement in statements {
            match self.deeper(|interpreter| interpreter.statement(statement, locals))? {
                Flow::Next => {}
                other => return Ok(other),
            }
        }
        Ok(Flow::Next)
    }

    fn statement(&mut self, statement: &Statement, locals: &mut Locals) -> Result<Flow> {
        match statement {
            Statement::Pass => {}
            Statement::Break => return Ok(Flow::Break),
            Statement::Continue => return Ok(Flow::Continue),
            Statement::Return(value) => return self.evaluate(value, locals).map(Flow::Return),
            Statement::Expression(value) => drop(self.evaluate(value, locals)?),
            Statement::Assign { targets, unpack, value } => {
                let value = self.evaluate(value, locals)?;
                self.assign(targets, *unpack, value, locals)?;
            }
            Statement::If { condition, then, otherwise } => {
                let branch = if self.condition(condition, "an `if`", locals)? { then } else { otherwise };
                return self.block(branch, locals);
            }
            Statement::While { condition, body } => return self.while_loop(condition, body, locals),
            Statement::For { target, iterable, body } => return self.for_loop(target, iterable, body, locals),
            Statement::With { context, body } => {
                let is_no_grad = matches!(self.evaluate(context, locals)?, Value::Function(name) if is_no_grad(&name));
                ensure!(is_no_grad, "the program has a `with` block, which is not served: export the policy to ONNX");
                return self.block(body, locals);
            }
        }
        Ok(Flow::Next)
    }

    fn assign(&mut self, targets: &[Expression], unpack: bool, value: Value, locals: &mut Locals) -> Result<()> {
        if !unpack {
            return targets.first().map_or(Ok(()), |target| assign_one(target, value, locals));
        }
        let elements = match value {
            Value::List(list) => list.elements(),
            Value::Refused(_) => vec![value; targets.len()],
            other => bail!("the program unpacks {}, which is not served", other.kind()),
        };
        ensure!(
            elements.len() == targets.len(),
            "the program unpacks {} values into {}",
            elements.len(),
            targets.len()
        );
        targets.iter().zip(elements).try_for_each(|(target, value)| assign_one(target, value, locals))
    }

    fn while_loop(&mut self, condition: &Expression, body: &[Statement], locals: &mut Locals) -> Result<Flow> {
        while self.condition(condition, "a `while`", locals)? {
            match self.deeper(|interpreter| interpreter.block(body, locals))? {
                Flow::Return(value) => return Ok(Flow::Return(value)),
                Flow::Break => break,
                Flow::Next | Flow::Continue => {}
            }
        }
        Ok(Flow::Next)
    }

    fn for_loop(
        &mut self,
        target: &Expression,
        iterable: &Expression,
        body: &[Statement],
        locals: &mut Locals,
    ) -> Result<Flow> {
        let mut elements: Box<dyn Iterator<Item = Value>> = match self.evaluate(iterable, locals)? {
            Value::List(list) => {
                operator::charge_list(self.graph, &Value::List(list.clone()))?;
                Box::new(list.elements().into_iter())
            }
            // `range(n)` is the number itself here.
            Value::Int(count) => Box::new((0..count).map(Value::Int)),
            Value::Refused(reason) => bail!("{reason}"),
            other => bail!("the program's loop runs over {}, which is not served", other.kind()),
        };
        for element in &mut elements {
            assign_one(target, element, locals)?;
            match self.deeper(|interpreter| interpreter.block(body, locals))? {
                Flow::Return(value) => return Ok(Flow::Return(value)),
                Flow::Break => break,
                Flow::Next | Flow::Continue => {}
            }
        }
        Ok(Flow::Next)
    }

    fn condition(&mut self, condition: &Expression, what: &str, locals: &Locals) -> Result<bool> {
        match self.evaluate(condition, locals)? {
            Value::Refused(reason) => bail!("{reason}"),
            Value::None => Ok(false),
            Value::Size(dim) if self.graph.resolve(dim) == Dim::Batch => {
                bail!("{what} of the program depends on the number of states, which is not served")
            }
            value => {
                let known = number(&value).map(|number| number != 0.0);
                known.with_context(|| format!("{what} of the program depends on the state, which is not served"))
            }
        }
    }

    fn evaluate(&mut self, expression: &Expression, locals: &Locals) -> Result<Value> {
        self.deeper(|interpreter| interpreter.evaluate_here(expression, locals))
    }

    fn evaluate_here(&mut self, expression: &Expression, locals: &Locals) -> Result<Value> {
        Ok(match expression {
            Expression::None => Value::None,
            Expression::Bool(bool) => Value::Bool(*bool),
            Expression::Int(int) => Value::Int(*int),
            Expression::Float(float) => Value::Float(*float),
            Expression::Text(text) => Value::Text(text.as_str().into()),
            Expression::Dict => bail!("the program makes a dict, which is not served: export the policy to ONNX"),
            Expression::Path(path) => self.path(path, locals)?,
            Expression::Attribute(of, name) => {
                let of = self.evaluate(of, locals)?;
                self.attribute(&of, name)?
            }
            Expression::List(elements) => Value::list(self.evaluate_all(elements, locals)?)?,
            Expression::Subscript(of, indices) => {
                let mut values = vec![self.evaluate(of, locals)?];
                values.extend(self.evaluate_all(indices, locals)?);
                self.operator("__getitem__", values, vec![])?
            }
            Expression::Slice(of, start, end) => self.slice(of, start.as_deref(), end.as_deref(), locals)?,
            Expression::Operator(name, operands) => {
                let operands = self.evaluate_all(operands, locals)?;
                self.operator(name, operands, vec![])?
            }
            Expression::And(a, b) => {
                Value::Bool(self.condition(a, "a condition", locals)? && self.condition(b, "a condition", locals)?)
            }
            Expression::Or(a, b) => {
                Value::Bool(self.condition(a, "a condition", locals)? || self.condition(b, "a condition", locals)?)
            }
            Expression::Conditional { condition, then, otherwise } => {
                let then = if self.condition(condition, "a condition", locals)? { then } else { otherwise };
                self.evaluate(then, locals)?
            }
            Expression::Call { callee, positional, named } => self.call(callee, positional, named, locals)?,
        })
    }

    fn evaluate_all(&mut self, expressions: &[Expression], locals: &Locals) -> Result<Vec<Value>> {
        expressions.iter().map(|expression| self.evaluate(expression, locals)).collect()
    }

    fn slice(
        &mut self,
        of: &Expression,
        start: Option<&Expression>,
        end: Option<&Expression>,
        locals: &Locals,
    ) -> Result<Value> {
        let Value::List(list) = self.evaluate(of, locals)? else {
            bail!("the program slices something else than a list, which is not served")
        };
        operator::charge_list(self.graph, &Value::List(list.clone()))?;
        let mut bound = |bound: Option<&Expression>, default: usize| -> Result<usize> {
            let Some(bound) = bound else { return Ok(default) };
            let index =
                operator::integer(&self.evaluate(bound, locals)?).context("the program slices a list by a value")?;
            let index = if index < 0 { index.saturating_add(list.len() as i64) } else { index };
            Ok(usize::try_from(index.max(0))?.min(list.len()))
        };
        let (start, end) = (bound(start, 0)?, bound(end, list.len())?);
        Value::list(list.elements().get(start..end).unwrap_or_default().to_vec())
    }

    /// Evaluates a name with attributes: a local variable, a constant, or a function.
    fn path(&mut self, path: &[String], locals: &Locals) -> Result<Value> {
        let [first, rest @ ..] = path else { bail!("a name is missing") };
        if let Some(value) = locals.get(first) {
            let mut value = value.clone();
            for name in rest {
                value = self.attribute(&value, name)?;
            }
            return Ok(value);
        }
        match (first.as_str(), rest) {
            ("CONSTANTS", [name]) => self.constant(name),
            ("inf", []) => Ok(Value::Float(f64::INFINITY)),
            ("nan", []) => Ok(Value::Float(f64::NAN)),
            ("torch" | "__torch__" | "ops", [_, ..]) => Ok(Value::Function(path.join(".").into())),
            _ => bail!("the program uses `{}`, which is not defined", path.join(".")),
        }
    }

    fn attribute(&mut self, of: &Value, name: &str) -> Result<Value> {
        match of {
            Value::Module(id) => {
                let Object::Module(module) = self.script.module.get(*id) else { bail!("an object is missing") };
                if let Some(attribute) = module.attributes.get(name) {
                    return self.object(false, *attribute);
                }
                let class = self.class(&module.class)?;
                let constant = class.constants.get(name);
                let constant =
                    constant.with_context(|| format!("the program's `{}` has no attribute `{name}`", module.class))?;
                self.evaluate(constant, &Locals::new())
            }
            Value::Refused(_) => Ok(of.clone()),
            _ => bail!("the program reads the attribute `{name}` of {}, which is not served", of.kind()),
        }
    }

    fn constant(&mut self, name: &str) -> Result<Value> {
        let found = || {
            let constants = self.script.constants.as_ref()?;
            let Object::List(elements) = constants.get(constants.root) else { return None };
            elements.get(name.strip_prefix('c')?.parse::<usize>().ok()?).copied()
        };
        let id = found().with_context(|| format!("the program's constant `{name}` is missing"))?;
        self.object(true, id)
    }

    /// Returns an object of the archive, of the constants or of the module.
    fn object(&mut self, is_constant: bool, id: ObjectId) -> Result<Value> {
        self.deeper(|interpreter| interpreter.object_here(is_constant, id))
    }

    fn object_here(&mut self, is_constant: bool, id: ObjectId) -> Result<Value> {
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
                let label = if is_constant { None } else { self.names.get(&id).map(String::as_str) };
                let handle = stored(self.graph, tensor, label.unwrap_or_default())?;
                self.tensors.insert((is_constant, id), handle.clone());
                Value::Tensor(handle)
            }
        })
    }

    fn call(
        &mut self,
        callee: &Expression,
        positional: &[Expression],
        named: &[(String, Expression)],
        locals: &Locals,
    ) -> Result<Value> {
        if let Expression::Path(path) = callee
            && let [name] = &path[..]
            && !locals.contains_key(name)
        {
            return self.call_builtin(name, positional, locals);
        }
        // A method: `(linear).forward(x, )`. Its object is a variable or an expression.
        let method = match callee {
            Expression::Attribute(of, name) => Some((self.evaluate(of, locals)?, name)),
            Expression::Path(path) => match path.split_last() {
                Some((name, of)) if of.first().is_some_and(|first| locals.contains_key(first)) => {
                    Some((self.path(of, locals)?, name))
                }
                _ => None,
            },
            _ => None,
        };
        let mut arguments = self.evaluate_all(positional, locals)?;
        let mut keywords = vec![];
        for (name, value) in named {
            keywords.push((name.clone(), self.evaluate(value, locals)?));
        }
        let function = match method {
            Some((Value::Module(id), name)) => {
                let function = self.method(id, name)?;
                arguments.insert(0, Value::Module(id));
                return self.call_function(&function, arguments, keywords);
            }
            Some((Value::Refused(reason), _)) => return Ok(Value::Refused(reason)),
            Some((Value::Function(name), _)) if is_no_grad(&name) => return Ok(Value::None),
            Some((of, name)) => bail!("the program calls `{name}` of {}, which is not served", of.kind()),
            None => self.evaluate(callee, locals)?,
        };
        match function {
            Value::Function(name) => self.call_named(&name, arguments, keywords),
            other => bail!("the program calls {}, which is not served", other.kind()),
        }
    }

    /// Calls a function by its name: an operator, or a function of the program.
    fn call_named(&mut self, name: &str, positional: Vec<Value>, named: Vec<(String, Value)>) -> Result<Value> {
        if is_no_grad(name) {
            return Ok(Value::Function(name.trim_end_matches(".__new__").into()));
        }
        match name.split_once('.') {
            Some(("torch", name)) => return self.operator(name, positional, named),
            Some(("ops", name)) => {
                ensure!(name != "prim.RaiseException", "the program raises an exception for every state");
                return self.operator(name.strip_prefix("aten.").unwrap_or(name), positional, named);
            }
            _ => {}
        }
        let (module, function) = name.rsplit_once('.').context("a function has no module")?;
        let source = self.source(module)?;
        if let Some(function) = source.functions.get(function) {
            return self.call_function(function, positional, named);
        }
        let class = source.classes.get(function);
        let class = class.with_context(|| format!("the program's source has no `{name}`"))?;
        ensure!(
            class.base == "NamedTuple",
            "the program makes a `{name}`, which is not served: export the policy to ONNX"
        );
        Value::list(positional.into_iter().chain(named.into_iter().map(|(_, value)| value)).collect())
    }

    fn operator(&mut self, name: &str, positional: Vec<Value>, named: Vec<(String, Value)>) -> Result<Value> {
        operator::call(self.graph, name, &Arguments { positional, named })
    }

    /// Calls a function that needs no module.
    fn call_builtin(&mut self, name: &str, arguments: &[Expression], locals: &Locals) -> Result<Value> {
        // The first argument of these is a type.
        if let ("annotate" | "unchecked_cast", [_, value]) = (name, arguments) {
            return self.evaluate(value, locals);
        }
        match (name, arguments) {
            ("uninitialized", _) => return Ok(Value::None),
            ("float", [Expression::Text(text)]) => {
                return Ok(Value::Float(text.parse().with_context(|| format!("`{text}` is no number"))?));
            }
            _ => {}
        }
        let values = self.evaluate_all(arguments, locals)?;
        match (name, &values[..]) {
            ("getattr", [of, Value::Text(name)]) => self.attribute(of, name),
            ("hasattr", [Value::Module(id), Value::Text(name)]) => {
                let Object::Module(module) = self.script.module.get(*id) else { bail!("an object is missing") };
                Ok(Value::Bool(module.attributes.contains_key(&**name)))
            }
            ("int", _) => self.operator("Int", values, vec![]),
            ("float", _) => self.operator("Float", values, vec![]),
            ("bool", _) => self.operator("Bool", values, vec![]),
            ("len", _) => self.operator("len", values, vec![]),
            ("range", [count]) => {
                let count =
                    operator::integer(count).context("the program's loop depends on the state, which is not served")?;
                Ok(Value::Int(count))
            }
            ("tuple" | "list", [Value::List(list)]) => Value::list(list.elements()),
            _ => bail!("the program calls `{name}`, which is not served: export the policy to ONNX"),
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

/// Returns `true` for the contexts that switch gradients off, which change no number.
fn is_no_grad(name: &str) -> bool {
    name.starts_with("__torch__.torch.autograd.grad_mode.no_grad")
}

fn assign_one(target: &Expression, value: Value, locals: &mut Locals) -> Result<()> {
    match target {
        Expression::Path(path) if path.len() == 1 => {
            locals.insert(path.concat(), value);
            Ok(())
        }
        Expression::List(targets) => {
            let Value::List(list) = value else { bail!("the program unpacks {}, which is not served", value.kind()) };
            ensure!(list.len() == targets.len(), "the program unpacks {} values into {}", list.len(), targets.len());
            targets.iter().zip(list.elements()).try_for_each(|(target, value)| match target {
                Expression::Path(path) if path.len() == 1 => {
                    locals.insert(path.concat(), value);
                    Ok(())
                }
                _ => bail!("the program assigns to a nested list, which is not served"),
            })
        }
        // `no_grad` keeps what was before it.
        Expression::Path(path) if matches!(locals.get(&path[0]), Some(Value::Function(name)) if is_no_grad(name)) => {
            Ok(())
        }
        _ => bail!(
            "the program's forward changes an attribute or a list, so its answers depend on earlier ones: not served"
        ),
    }
}

/// Reads a tensor of the archive as a constant.
pub fn stored(graph: &mut Graph, tensor: &crate::file::Tensor, label: &str) -> Result<Handle> {
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
fn names(objects: &Objects) -> HashMap<ObjectId, String> {
    let mut names = HashMap::new();
    let mut open = std::collections::VecDeque::from([(objects.canonical(objects.root), String::new())]);
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
