//! Splits a source file into tokens.

use anyhow::{Context, Result, bail, ensure};

/// A token.
#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    Name(String),
    Int(i64),
    Float(f64),
    Text(String),
    /// Punctuation, an operator or a bracket.
    Symbol(&'static str),
    Newline,
    Indent,
    Dedent,
    End,
}

/// The most tokens of a file.
const MAX_TOKENS: usize = 1 << 19;

/// The symbols, each before those that it starts with.
const SYMBOLS: &[&str] = &[
    "**", "//", "->", "==", "!=", "<=", ">=", "(", ")", "[", "]", "{", "}", ",", ":", ".", "=", "+", "-", "*", "/",
    "%", "<", ">", "&", "|", "^", "~", "@", ";",
];

/// Splits a source into tokens with their lines.
pub fn tokens(source: &str) -> Result<Vec<(Token, u32)>> {
    let mut lexer = Lexer { rest: source, line: 1, brackets: 0, indents: vec![0], tokens: vec![] };
    while !lexer.rest.is_empty() {
        let line = lexer.line;
        lexer.line().with_context(|| format!("line {line}"))?;
        ensure!(lexer.tokens.len() <= MAX_TOKENS, "a source file has more than {MAX_TOKENS} tokens");
    }
    lexer.push(Token::Newline);
    while lexer.indents.pop().is_some_and(|indent| indent > 0) {
        lexer.push(Token::Dedent);
    }
    lexer.push(Token::End);
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    rest: &'a str,
    line: u32,
    /// The brackets that are open. Within them, line breaks mean nothing.
    brackets: usize,
    indents: Vec<usize>,
    tokens: Vec<(Token, u32)>,
}

impl Lexer<'_> {
    fn push(&mut self, token: Token) {
        self.tokens.push((token, self.line));
    }

    /// Reads one line.
    fn line(&mut self) -> Result<()> {
        let body = self.rest.trim_start_matches(' ');
        let indent = self.rest.len() - body.len();
        self.rest = body;
        let is_empty = body.starts_with(['\n', '\r', '#']);
        if self.brackets == 0 && !is_empty {
            self.indent(indent)?;
        }
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', '\r']);
            let Some(next) = self.rest.chars().next() else { return Ok(()) };
            match next {
                '\n' => {
                    self.rest = &self.rest[1..];
                    if self.brackets == 0 && !is_empty {
                        self.push(Token::Newline);
                    }
                    self.line += 1;
                    return Ok(());
                }
                '#' => self.rest = self.rest.find('\n').map_or("", |end| &self.rest[end..]),
                '"' | '\'' => self.text(next)?,
                '0'..='9' => self.number()?,
                '.' if self.rest[1..].starts_with(|c: char| c.is_ascii_digit()) => self.number()?,
                _ if next == '_' || next.is_alphabetic() => self.name(),
                _ => self.symbol(next)?,
            }
        }
    }

    fn indent(&mut self, indent: usize) -> Result<()> {
        let last = |indents: &[usize]| indents.last().copied().unwrap_or(0);
        if indent > last(&self.indents) {
            self.indents.push(indent);
            self.push(Token::Indent);
        }
        while indent < last(&self.indents) {
            self.indents.pop();
            self.push(Token::Dedent);
        }
        ensure!(indent == last(&self.indents), "its indentation is no level of the program");
        Ok(())
    }

    fn name(&mut self) {
        let end = self.rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(self.rest.len());
        let name = self.rest[..end].to_owned();
        self.rest = &self.rest[end..];
        self.push(Token::Name(name));
    }

    fn number(&mut self) -> Result<()> {
        let bytes = self.rest.as_bytes();
        let mut end = 0;
        let mut is_float = false;
        while let Some(byte) = bytes.get(end) {
            match byte {
                b'0'..=b'9' => {}
                b'.' => is_float = true,
                b'e' | b'E' => {
                    is_float = true;
                    end += usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
                }
                _ => break,
            }
            end += 1;
        }
        let (number, rest) = self.rest.split_at(end);
        self.rest = rest;
        let token = if is_float { number.parse().map(Token::Float).ok() } else { number.parse().map(Token::Int).ok() };
        self.push(token.with_context(|| format!("`{}` is no number", number.get(..40).unwrap_or(number)))?);
        Ok(())
    }

    fn text(&mut self, quote: char) -> Result<()> {
        let mut text = String::new();
        let mut chars = self.rest[1..].char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => {
                    let (_, escaped) = chars.next().context("a string does not end")?;
                    text.push(if escaped == 'n' { '\n' } else { escaped });
                }
                '\n' => bail!("a string does not end"),
                _ if c == quote => {
                    self.rest = &self.rest[1 + at + 1..];
                    self.push(Token::Text(text));
                    return Ok(());
                }
                _ => text.push(c),
            }
        }
        bail!("a string does not end")
    }

    fn symbol(&mut self, next: char) -> Result<()> {
        let symbol = SYMBOLS.iter().find(|symbol| self.rest.starts_with(**symbol));
        let symbol = symbol.with_context(|| format!("`{next}` is not expected"))?;
        match *symbol {
            "(" | "[" | "{" => self.brackets += 1,
            ")" | "]" | "}" => self.brackets = self.brackets.saturating_sub(1),
            _ => {}
        }
        self.rest = &self.rest[symbol.len()..];
        self.push(Token::Symbol(symbol));
        Ok(())
    }
}
