//! Parses a source file by recursive descent. The depth is bounded, so no source takes much stack.

mod expression;
mod statement;

use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};

use super::syntax::{Class, Expression, Function, Parameter, Source};
use super::token::{Token, tokens};

/// The deepest nesting of expressions and blocks.
const MAX_DEPTH: usize = 48;

/// Parses a source file.
pub fn parse(source: &str) -> Result<Source> {
    let mut parser = Parser { tokens: tokens(source)?, at: 0, depth: 0 };
    let parsed = parser.source();
    parsed.with_context(|| format!("line {}", parser.line()))
}

struct Parser {
    tokens: Vec<(Token, u32)>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |(token, _)| token)
    }

    fn line(&self) -> u32 {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(0, |(_, line)| *line)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    /// Takes a token if it is the next one.
    fn take(&mut self, symbol: &str) -> bool {
        let found = self.is(symbol);
        self.at += usize::from(found);
        found
    }

    fn is(&self, wanted: &str) -> bool {
        match self.peek() {
            Token::Symbol(symbol) => *symbol == wanted,
            Token::Name(name) => name == wanted,
            _ => false,
        }
    }

    fn expect(&mut self, symbol: &str) -> Result<()> {
        ensure!(self.take(symbol), "`{symbol}` is expected");
        Ok(())
    }

    fn name(&mut self) -> Result<String> {
        match self.next() {
            Token::Name(name) => Ok(name),
            _ => bail!("a name is expected"),
        }
    }

    /// Runs a part of the parser one level deeper.
    fn deeper<T>(&mut self, part: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        ensure!(self.depth <= MAX_DEPTH, "the program is nested deeper than {MAX_DEPTH} levels");
        let result = part(self);
        self.depth -= 1;
        result
    }

    fn source(&mut self) -> Result<Source> {
        let mut source = Source::default();
        loop {
            if *self.peek() == Token::End {
                return Ok(source);
            } else if self.take("class") {
                let (name, class) = self.class()?;
                source.classes.insert(name, Rc::new(class));
            } else if self.take("def") {
                let function = self.function()?;
                source.functions.insert(function.name.clone(), Rc::new(function));
            } else if *self.peek() == Token::Newline {
                self.at += 1;
            } else {
                // `op_version_set = 1`, which old versions write.
                self.statement()?;
            }
        }
    }

    fn class(&mut self) -> Result<(String, Class)> {
        let name = self.name()?;
        let mut class = Class::default();
        if self.take("(") {
            class.base = self.name()?;
            self.expect(")")?;
        }
        self.expect(":")?;
        ensure!(matches!(self.next(), Token::Newline), "a line break is expected");
        ensure!(matches!(self.next(), Token::Indent), "a class is empty");
        while !matches!(self.peek(), Token::Dedent | Token::End) {
            if self.take("def") {
                let function = self.function()?;
                class.methods.insert(function.name.clone(), Rc::new(function));
            } else if !matches!(self.peek(), Token::Newline) {
                self.field(&mut class)?;
            } else {
                self.at += 1;
            }
        }
        self.at += 1;
        Ok((name, class))
    }

    /// Parses `name : Type`, `name : Final[Type] = value`, or an assignment such as that of `__parameters__`.
    fn field(&mut self, class: &mut Class) -> Result<()> {
        let target = self.expression()?;
        if let Expression::Path(path) = &target
            && let [name] = &path[..]
        {
            if self.take(":") {
                self.expression()?;
                class.fields.push(name.clone());
            }
            if self.take("=") {
                let value = self.expression()?;
                class.constants.insert(name.clone(), value);
            }
        } else if self.take("=") {
            self.expression()?;
        }
        self.end_of_line()
    }

    fn end_of_line(&mut self) -> Result<()> {
        match self.next() {
            Token::Newline | Token::End => Ok(()),
            _ => bail!("a line break is expected"),
        }
    }

    fn function(&mut self) -> Result<Function> {
        let name = self.name()?;
        self.expect("(")?;
        let mut parameters = vec![];
        while !self.take(")") {
            // `*` stands before those that are given by name.
            if !self.take("*") {
                let name = self.name()?;
                let annotation = if self.take(":") { outermost(&self.expression()?) } else { "Tensor".to_owned() };
                let default = if self.take("=") { Some(self.expression()?) } else { None };
                parameters.push(Parameter { name, annotation, default });
            }
            ensure!(self.take(",") || self.is(")"), "`,` or `)` is expected");
        }
        if self.take("->") {
            self.expression()?;
        }
        Ok(Function { name, parameters, body: self.block()? })
    }
}

/// Returns the outermost name of a type.
fn outermost(annotation: &Expression) -> String {
    match annotation {
        Expression::Path(path) => path.last().cloned().unwrap_or_default(),
        Expression::Subscript(of, _) => outermost(of),
        _ => String::new(),
    }
}
