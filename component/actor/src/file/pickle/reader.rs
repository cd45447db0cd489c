//! A cursor over the bytes of a pickle.

use anyhow::{Context, Result};

/// Bytes and a position in them. Every method advances it, and fails if the pickle is cut short.
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    /// Returns the number of bytes that have been read.
    pub fn position(&self) -> usize {
        self.at
    }

    pub fn byte(&mut self) -> Result<u8> {
        self.array().map(|[byte]| byte)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.take(N)?;
        Ok(std::array::from_fn(|i| bytes[i]))
    }

    /// Takes bytes that are preceded by their count, which has `width` bytes.
    pub fn counted(&mut self, width: usize) -> Result<&'a [u8]> {
        let mut count = [0; 8];
        count[..width].copy_from_slice(self.take(width)?);
        self.take(usize::try_from(u64::from_le_bytes(count))?)
    }

    pub fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let taken = self.bytes[self.at..].get(..count).context("the pickle is cut short")?;
        self.at += count;
        Ok(taken)
    }

    /// Takes the rest of a line, without its end.
    pub fn line(&mut self) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|byte| *byte == b'\n').context("the pickle is cut short")?;
        self.at += end + 1;
        Ok(&rest[..end])
    }
}
