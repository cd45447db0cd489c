//! Parses a source file by recursive descent. The depth is bounded, so no source takes much stack.

use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};

use super::syntax::{Class, Expression, Function, Parameter, Source, Statement};
use super::token::{Token, tokens};

/// The deepest nesting of expressions and blocks.
const MAX_DEPTH: usize = 48;
/// The most calls, subscripts or operators in a row, each of which makes the tree deeper.
const MAX_CHAIN: usize = 8;

/// Parses a source file.
pub fn parse(source: &str) -> Result<Source> {
    let mut parser = Parser { tokens: tokens(source)?, at: 0, depth: 0 };
    let parsed = parser.source();
    parsed.with_context(|| format!("line {} of its source", parser.line()))
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

    fn block(&mut self) -> Result<Vec<Statement>> {
        self.expect(":")?;
        self.deeper(|parser| {
            if !matches!(parser.peek(), Token::Newline) {
                return Ok(vec![parser.statement()?]);
            }
            parser.at += 1;
            ensure!(matches!(parser.next(), Token::Indent), "a block is empty");
            let mut statements = vec![];
            while !matches!(parser.peek(), Token::Dedent | Token::End) {
                if matches!(parser.peek(), Token::Newline) {
                    parser.at += 1;
                } else {
                    statements.push(parser.statement()?);
                }
            }
            parser.at += 1;
            Ok(statements)
        })
    }

    fn statement(&mut self) -> Result<Statement> {
        if self.take("if") {
            return self.conditional();
        }
        if self.take("while") {
            let condition = self.expression()?;
            return Ok(Statement::While { condition, body: self.block()? });
        }
        if self.take("for") {
            let target = self.targets()?;
            self.expect("in")?;
            let iterable = self.expression()?;
            return Ok(Statement::For { target, iterable, body: self.block()? });
        }
        if self.take("with") {
            let context = self.expression()?;
            return Ok(Statement::With { context, body: self.block()? });
        }
        let statement = self.simple_statement()?;
        self.end_of_line()?;
        Ok(statement)
    }

    fn conditional(&mut self) -> Result<Statement> {
        let condition = self.expression()?;
        let then = self.block()?;
        let otherwise = if self.take("elif") {
            vec![self.deeper(Parser::conditional)?]
        } else if self.take("else") {
            self.block()?
        } else {
            vec![]
        };
        Ok(Statement::If { condition, then, otherwise })
    }

    fn simple_statement(&mut self) -> Result<Statement> {
        if self.take("return") {
            let has_value = !matches!(self.peek(), Token::Newline | Token::End);
            return Ok(Statement::Return(if has_value { self.targets()? } else { Expression::None }));
        }
        for (keyword, statement) in
            [("pass", Statement::Pass), ("break", Statement::Break), ("continue", Statement::Continue)]
        {
            if self.take(keyword) {
                return Ok(statement);
            }
        }
        for keyword in ["raise", "del", "assert", "import", "from", "global"] {
            if self.is(keyword) {
                bail!("the statement `{keyword}` is not served");
            }
        }
        let first = self.expression()?;
        let mut targets = vec![first];
        let mut unpack = false;
        while self.take(",") {
            unpack = true;
            if !self.is("=") {
                targets.push(self.expression()?);
            }
        }
        if self.take(":") {
            self.expression()?;
        }
        if self.take("=") {
            let value = self.targets()?;
            return Ok(Statement::Assign { targets, unpack, value });
        }
        ensure!(!unpack, "`=` is expected");
        Ok(Statement::Expression(targets.swap_remove(0)))
    }

    /// Parses an expression, or several with commas between them, which are a tuple.
    fn targets(&mut self) -> Result<Expression> {
        let first = self.expression()?;
        if !self.is(",") {
            return Ok(first);
        }
        let mut elements = vec![first];
        while self.take(",") {
            if matches!(self.peek(), Token::Newline | Token::End) || self.is("in") {
                break;
            }
            elements.push(self.expression()?);
        }
        Ok(Expression::List(elements))
    }

    fn expression(&mut self) -> Result<Expression> {
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
    fn binary(&mut self, level: usize) -> Result<Expression> {
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

    fn operator(&mut self, operators: &[(&str, &'static str)]) -> Option<&'static str> {
        if self.is("is") && operators.iter().any(|(_, name)| *name == "__is__") {
            self.at += 1;
            return Some(if self.take("not") { "__isnot__" } else { "__is__" });
        }
        let (symbol, name) = operators.iter().find(|(symbol, _)| self.is(symbol))?;
        self.take(symbol);
        Some(name)
    }

    fn unary(&mut self) -> Result<Expression> {
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

    fn postfix(&mut self) -> Result<Expression> {
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

    fn call(&mut self, callee: Expression) -> Result<Expression> {
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

    fn subscript(&mut self, value: Expression) -> Result<Expression> {
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

    fn atom(&mut self) -> Result<Expression> {
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
    fn elements(&mut self, close: &str) -> Result<(Vec<Expression>, bool)> {
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

/// Returns the outermost name of a type.
fn outermost(annotation: &Expression) -> String {
    match annotation {
        Expression::Path(path) => path.last().cloned().unwrap_or_default(),
        Expression::Subscript(of, _) => outermost(of),
        _ => String::new(),
    }
}
