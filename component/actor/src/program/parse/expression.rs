//! Parses expressions, by the precedence of their operators.

use anyhow::{Context, Result, bail, ensure};

use super::Parser;
use crate::program::syntax::Expression;
use crate::program::token::Token;

impl Parser {
    pub fn expression(&mut self) -> Result<Expression> {
        self.deeper(|parser| {
            let value = parser.binary(0)?;
            if !parser.take("if") {
                return Ok(value);
            }
            let condition = Box::new(parser.binary(0)?);
            parser.expect("else")?;
            let otherwise = Box::new(parser.expression()?);
            Ok(Expression::Conditional { condition, then: Box::new(value), otherwise })
        })
    }

    /// Parses operators that bind at least as strongly as `level`.
    pub fn binary(&mut self, level: usize) -> Result<Expression> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = if level == NOT_LEVEL && self.take("not") {
            Expression::Operator("__not__", vec![self.deeper(|parser| parser.binary(level))?])
        } else {
            self.binary(level + 1)?
        };
        let mut chain = 0;
        while let Some(name) = self.operator(operators) {
            chain += 1;
            ensure!(chain <= MAX_CHAIN, "the program has more than {MAX_CHAIN} operators in a row");
            let right = self.binary(level + 1)?;
            left = match name {
                "and" => Expression::And(Box::new(left), Box::new(right)),
                "or" => Expression::Or(Box::new(left), Box::new(right)),
                _ => Expression::Operator(name, vec![left, right]),
            };
        }
        Ok(left)
    }

    pub fn operator(&mut self, operators: &[(&str, &'static str)]) -> Option<&'static str> {
        if self.is("is") && operators.iter().any(|(_, name)| *name == "__is__") {
            self.at += 1;
            return Some(if self.take("not") { "__isnot__" } else { "__is__" });
        }
        let (symbol, name) = operators.iter().find(|(symbol, _)| self.is(symbol))?;
        self.take(symbol);
        Some(name)
    }

    pub fn unary(&mut self) -> Result<Expression> {
        if self.take("-") {
            return Ok(match self.deeper(Parser::unary)? {
                Expression::Int(int) => Expression::Int(int.checked_neg().context("a number is too large")?),
                Expression::Float(float) => Expression::Float(-float),
                other => Expression::Operator("neg", vec![other]),
            });
        }
        let base = self.postfix()?;
        if self.take("**") {
            return Ok(Expression::Operator("pow", vec![base, self.deeper(Parser::unary)?]));
        }
        Ok(base)
    }

    pub fn postfix(&mut self) -> Result<Expression> {
        let mut value = self.atom()?;
        let mut chain = 0;
        loop {
            if self.take(".") {
                let name = self.name()?;
                value = match value {
                    Expression::Path(mut path) => {
                        path.push(name);
                        Expression::Path(path)
                    }
                    other => {
                        chain += 1;
                        Expression::Attribute(Box::new(other), name)
                    }
                };
            } else if self.take("(") {
                chain += 1;
                value = self.call(value)?;
            } else if self.take("[") {
                chain += 1;
                value = self.subscript(value)?;
            } else {
                return Ok(value);
            }
            ensure!(chain <= MAX_CHAIN, "the program has more than {MAX_CHAIN} calls in a row");
        }
    }

    pub fn call(&mut self, callee: Expression) -> Result<Expression> {
        let (mut positional, mut named) = (vec![], vec![]);
        while !self.take(")") {
            let value = self.expression()?;
            match value {
                Expression::Path(path) if path.len() == 1 && self.take("=") => {
                    named.push((path.concat(), self.expression()?));
                }
                value => positional.push(value),
            }
            ensure!(self.take(",") || self.is(")"), "`,` or `)` is expected");
        }
        Ok(Expression::Call { callee: Box::new(callee), positional, named })
    }

    pub fn subscript(&mut self, value: Expression) -> Result<Expression> {
        let start = if self.is(":") { None } else { Some(self.expression()?) };
        if self.take(":") {
            let end = if self.is("]") { None } else { Some(Box::new(self.expression()?)) };
            self.expect("]")?;
            return Ok(Expression::Slice(Box::new(value), start.map(Box::new), end));
        }
        let mut indices = start.into_iter().collect::<Vec<_>>();
        while self.take(",") {
            if !self.is("]") {
                indices.push(self.expression()?);
            }
        }
        self.expect("]")?;
        Ok(Expression::Subscript(Box::new(value), indices))
    }

    pub fn atom(&mut self) -> Result<Expression> {
        Ok(match self.next() {
            Token::Int(int) => Expression::Int(int),
            Token::Float(float) => Expression::Float(float),
            Token::Text(text) => Expression::Text(text),
            Token::Name(name) => match name.as_str() {
                "None" => Expression::None,
                "True" => Expression::Bool(true),
                "False" => Expression::Bool(false),
                "lambda" | "yield" | "await" => bail!("`{name}` is not served"),
                _ => Expression::Path(vec![name]),
            },
            Token::Symbol("[") => Expression::List(self.elements("]")?.0),
            Token::Symbol("(") => {
                let (mut elements, is_tuple) = self.elements(")")?;
                if is_tuple || elements.is_empty() { Expression::List(elements) } else { elements.swap_remove(0) }
            }
            Token::Symbol("{") => {
                while !self.take("}") {
                    self.expression()?;
                    ensure!(self.take(":") || self.take(",") || self.is("}"), "`,` or `}}` is expected");
                }
                Expression::Dict
            }
            _ => bail!("a value is expected"),
        })
    }

    /// Parses expressions up to a closing bracket. Returns whether there was a comma.
    pub fn elements(&mut self, close: &str) -> Result<(Vec<Expression>, bool)> {
        let (mut elements, mut has_comma) = (vec![], false);
        while !self.take(close) {
            elements.push(self.expression()?);
            if self.take(",") {
                has_comma = true;
            } else {
                ensure!(self.is(close), "`,` or `{close}` is expected");
            }
        }
        Ok((elements, has_comma))
    }
}

/// The operators by level, the weakest first, with the names that PyTorch gives them.
const LEVELS: &[&[(&str, &str)]] = &[
    &[("or", "or")],
    &[("and", "and")],
    &[("is", "__is__"), ("==", "eq"), ("!=", "ne"), ("<=", "le"), (">=", "ge"), ("<", "lt"), (">", "gt")],
    &[("|", "__or__")],
    &[("&", "__and__")],
    &[("+", "add"), ("-", "sub")],
    &[("*", "mul"), ("//", "floordiv"), ("/", "div"), ("%", "remainder"), ("@", "matmul")],
];

/// The level of `not`, which binds more weakly than comparisons.
const NOT_LEVEL: usize = 2;

/// The most calls, subscripts or operators in a row, each of which makes the tree deeper.
const MAX_CHAIN: usize = 8;
