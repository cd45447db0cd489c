//! The values that a pickle spells out.

use std::borrow::Cow;

use anyhow::{Context, Result, bail};

use super::Node;

/// Reads text. Python writes half a surrogate pair too, which is no UTF-8.
pub fn text(bytes: &[u8]) -> Node<'_> {
    Node::Text(String::from_utf8_lossy(bytes))
}

/// Reads a whole number: little-endian two's complement of any length.
pub fn long<'a>(bytes: &[u8]) -> Node<'a> {
    let Some(last) = bytes.last() else { return Node::Int(0) };
    if bytes.len() > 8 {
        return Node::Sequence(vec![]);
    }
    let mut all = if last & 0x80 == 0 { [0; 8] } else { [0xff; 8] };
    all[..bytes.len()].copy_from_slice(bytes);
    Node::Int(i64::from_le_bytes(all))
}

/// Reads `True`, `False` (written `01` and `00`), or a whole number, with an `L` at its end in Python 2. A number beyond
/// 64 bits becomes an empty sequence.
pub fn int<'a>(line: &[u8]) -> Result<Node<'a>> {
    let text = std::str::from_utf8(line)?.trim();
    Ok(match text {
        "00" => Node::Bool(false),
        "01" => Node::Bool(true),
        _ => {
            let digits = text.strip_suffix('L').unwrap_or(text);
            let is_number = digits.trim_start_matches(['-', '+']).bytes().all(|digit| digit.is_ascii_digit());
            match digits.parse() {
                Ok(number) => Node::Int(number),
                Err(_) if is_number && !digits.is_empty() => Node::Sequence(vec![]),
                Err(_) => bail!("a whole number is not one"),
            }
        }
    })
}

/// Reads a number with a point.
pub fn float<'a>(line: &[u8]) -> Result<Node<'a>> {
    let text = std::str::from_utf8(line)?.trim();
    text.parse().map(Node::Float).context("a number is not one")
}

/// Reads a string of Python 2 within quotes.
pub fn string<'a>(line: &'a [u8]) -> Result<Node<'a>> {
    let quoted = match line {
        [b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"'] => inner,
        _ => bail!("a string has no quotes"),
    };
    if !quoted.contains(&b'\\') {
        return Ok(string_of(Cow::Borrowed(quoted)));
    }
    let mut bytes = Vec::with_capacity(quoted.len());
    let mut rest = quoted;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let (escaped, after) = rest.split_first().context("an escape is cut short")?;
        rest = after;
        match escaped {
            b'n' => bytes.push(b'\n'),
            b'r' => bytes.push(b'\r'),
            b't' => bytes.push(b'\t'),
            b'x' => {
                bytes.push(u8::try_from(hex(&mut rest, 2)?)?);
            }
            other => bytes.push(*other),
        }
    }
    Ok(string_of(Cow::Owned(bytes)))
}

/// Returns text if the bytes of a Python 2 string are text, or else bytes. `torch.load` decodes them likewise.
pub fn string_of(bytes: Cow<'_, [u8]>) -> Node<'_> {
    match bytes {
        Cow::Borrowed(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Node::Text(Cow::Borrowed(text)),
            Err(_) => Node::Bytes(Cow::Borrowed(bytes)),
        },
        Cow::Owned(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Node::Text(Cow::Owned(text)),
            Err(error) => Node::Bytes(Cow::Owned(error.into_bytes())),
        },
    }
}

/// Reads text in Python's encoding `raw-unicode-escape`: latin1, and `\u` or `\U` for every other character.
pub fn unicode<'a>(line: &'a [u8]) -> Result<Node<'a>> {
    if line.is_ascii() && !line.contains(&b'\\') {
        return Ok(Node::Text(Cow::Borrowed(std::str::from_utf8(line)?)));
    }
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let digits = match (first, rest.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => {
                text.push(char::from(*first));
                continue;
            }
        };
        rest = &rest[1..];
        text.push(char::from_u32(hex(&mut rest, digits)?).unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    Ok(Node::Text(Cow::Owned(text)))
}

/// Takes a number of hexadecimal digits.
fn hex(rest: &mut &[u8], digits: usize) -> Result<u32> {
    let (taken, after) = rest.split_at_checked(digits).context("an escape is cut short")?;
    *rest = after;
    u32::from_str_radix(std::str::from_utf8(taken)?, 16).context("an escape is not hexadecimal")
}
