//! Evaluates expressions.

use anyhow::{Context, Result, bail};

use super::{Interpreter, Locals};
use crate::file::Object;
use crate::program::operator;
use crate::program::syntax::Expression;
use crate::program::value::Value;

impl Interpreter<'_> {
    pub fn evaluate(&mut self, expression: &Expression, locals: &Locals) -> Result<Value> {
        self.deeper(|interpreter| interpreter.evaluate_here(expression, locals))
    }

    pub fn evaluate_here(&mut self, expression: &Expression, locals: &Locals) -> Result<Value> {
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

    pub fn evaluate_all(&mut self, expressions: &[Expression], locals: &Locals) -> Result<Vec<Value>> {
        expressions.iter().map(|expression| self.evaluate(expression, locals)).collect()
    }

    pub fn slice(
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
    pub fn path(&mut self, path: &[String], locals: &Locals) -> Result<Value> {
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

    pub fn attribute(&mut self, of: &Value, name: &str) -> Result<Value> {
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
}
