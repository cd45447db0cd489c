//! Runs statements: assignments, branches and loops.

use anyhow::{Context, Result, bail, ensure};

use super::call::is_no_grad;
use super::{Interpreter, Locals};
use crate::program::operator::{self, number};
use crate::program::syntax::{Expression, Statement};
use crate::program::value::{Dim, Value};

impl Interpreter<'_> {
    pub fn block(&mut self, statements: &[Statement], locals: &mut Locals) -> Result<Flow> {
        for statement in statements {
            match self.deeper(|interpreter| interpreter.statement(statement, locals))? {
                Flow::Next => {}
                other => return Ok(other),
            }
        }
        Ok(Flow::Next)
    }

    pub fn statement(&mut self, statement: &Statement, locals: &mut Locals) -> Result<Flow> {
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

    pub fn assign(&mut self, targets: &[Expression], unpack: bool, value: Value, locals: &mut Locals) -> Result<()> {
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

    pub fn while_loop(&mut self, condition: &Expression, body: &[Statement], locals: &mut Locals) -> Result<Flow> {
        while self.condition(condition, "a `while`", locals)? {
            match self.deeper(|interpreter| interpreter.block(body, locals))? {
                Flow::Return(value) => return Ok(Flow::Return(value)),
                Flow::Break => break,
                Flow::Next | Flow::Continue => {}
            }
        }
        Ok(Flow::Next)
    }

    pub fn for_loop(
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

    pub fn condition(&mut self, condition: &Expression, what: &str, locals: &Locals) -> Result<bool> {
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
}

/// The place where a program goes on after a statement.
pub enum Flow {
    Next,
    Return(Value),
    Break,
    Continue,
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
