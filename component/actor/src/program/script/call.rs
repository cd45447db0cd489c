//! Calls operators, methods and functions of the program.

use anyhow::{Context, Result, bail, ensure};

use super::{Interpreter, Locals};
use crate::file::Object;
use crate::program::operator::{self, Arguments};
use crate::program::syntax::Expression;
use crate::program::value::Value;

impl Interpreter<'_> {
    pub fn call(
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
    pub fn call_named(&mut self, name: &str, positional: Vec<Value>, named: Vec<(String, Value)>) -> Result<Value> {
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

    pub fn operator(&mut self, name: &str, positional: Vec<Value>, named: Vec<(String, Value)>) -> Result<Value> {
        let mut arguments = Arguments::default();
        positional.into_iter().for_each(|value| arguments.push(value));
        named.into_iter().for_each(|(name, value)| arguments.push_named(name, value));
        operator::call(self.graph, name, &arguments)
    }

    /// Calls a function that needs no module.
    pub fn call_builtin(&mut self, name: &str, arguments: &[Expression], locals: &Locals) -> Result<Value> {
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
}

/// Returns `true` for the contexts that switch gradients off, which change no number.
pub fn is_no_grad(name: &str) -> bool {
    name.starts_with("__torch__.torch.autograd.grad_mode.no_grad")
}
