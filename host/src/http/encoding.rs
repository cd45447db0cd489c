//! The encoding of request bodies.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

/// The number of bytes that are decoded before other requests have their turn.
const STEP_BYTES: usize = 64 << 10;

/// The encoding of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// The body is not encoded.
    Identity,
    Gzip,
}

/// The encoding of a body is not supported.
#[derive(Debug)]
pub(crate) struct UnknownEncoding;

/// Decodes a body in steps.
pub(crate) struct Decoder<R> {
    decoder: MultiGzDecoder<R>,
    decoded: Vec<u8>,
}

impl Encoding {
    /// Returns the encoding that the headers name.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, UnknownEncoding> {
        let mut named = headers.get_all(CONTENT_ENCODING).iter();
        match (named.next().map(|name| name.as_bytes()), named.next()) {
            (None, _) => Ok(Encoding::Identity),
            (Some(name), None) if name.eq_ignore_ascii_case(b"identity") => Ok(Encoding::Identity),
            (Some(name), None) if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") => {
                Ok(Encoding::Gzip)
            }
            _ => Err(UnknownEncoding),
        }
    }
}

impl<R: BufRead> Decoder<R> {
    pub(crate) fn new(encoded: R) -> Self {
        Decoder { decoder: MultiGzDecoder::new(encoded), decoded: Vec::new() }
    }

    /// Decodes some more. Returns `false` at the end.
    pub(crate) fn step(&mut self) -> io::Result<bool> {
        let step = (&mut self.decoder).take(STEP_BYTES as u64).read_to_end(&mut self.decoded)?;
        Ok(step > 0)
    }

    /// Returns the number of bytes that are decoded.
    pub(crate) fn len(&self) -> usize {
        self.decoded.len()
    }

    /// Returns all that is decoded.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.decoded
    }
}
