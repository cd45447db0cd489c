//! Parses statements.

use anyhow::{Result, bail, ensure};

use super::Parser;
use crate::program::syntax::{Expression, Statement};
use crate::program::token::Token;

impl Parser {
    pub fn block(&mut self) -> Result<Vec<Statement>> {
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

    pub fn statement(&mut self) -> Result<Statement> {
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

    pub fn conditional(&mut self) -> Result<Statement> {
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

    pub fn simple_statement(&mut self) -> Result<Statement> {
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
    pub fn targets(&mut self) -> Result<Expression> {
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
}
