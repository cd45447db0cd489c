//! The body of an inference request: JSON, and the binary tensors after it.

use crate::routes::error::Error;

/// The parts of a body.
pub struct Parts<'a> {
    pub json: &'a [u8],
    /// None without the header that says where the JSON ends.
    binary: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    /// Splits a body. `length` is the value of its Inference-Header-Content-Length header.
    pub fn of(body: &'a [u8], length: Option<&str>) -> Result<Self, Error> {
        let Some(length) = length else { return Ok(Parts { json: body, binary: None }) };
        let is_decimal = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
        let split = length.parse().ok().filter(|_| is_decimal).and_then(|length| body.split_at_checked(length));
        let (json, binary) = split.ok_or_else(|| {
            let size = body.len();
            Error::Refused(format!("Inference-Header-Content-Length is no length within the body of {size} bytes"))
        })?;
        Ok(Parts { json, binary: Some(binary) })
    }

    /// Estimates how many bytes of JSON take as long to parse as the body. Numbers in binary are read in a small part of the
    /// time.
    pub fn bytes_to_parse(&self) -> usize {
        self.json.len() + self.binary.unwrap_or_default().len() / 8
    }

    /// Returns the bytes after the JSON, of which there are exactly so many.
    pub fn expect_binary(&self, size: u64) -> Result<&'a [u8], Error> {
        let wrong = |reason: String| Err(Error::Refused(reason));
        match self.binary {
            None if size == 0 => Ok(&[]),
            None => wrong("a binary tensor takes the header Inference-Header-Content-Length".to_owned()),
            Some(binary) if binary.len() as u64 == size => Ok(binary),
            Some(binary) => {
                let found = binary.len();
                wrong(format!("{found} bytes follow the JSON of the request, and its input takes {size}"))
            }
        }
    }
}
