//! The storage of tensors: bytes that are fetched only if they are needed.

use std::cell::OnceCell;
use std::rc::Rc;

use anyhow::{Result, anyhow};
use bytes::Bytes;

/// Bytes that are fetched and verified when a tensor in them is first read. Those of critics never are.
pub struct Storage {
    fetch: Box<dyn Fn() -> Result<Bytes>>,
    bytes: OnceCell<Result<Bytes, String>>,
}

impl Storage {
    /// Makes a storage from the function that fetches its bytes.
    pub fn new(fetch: impl Fn() -> Result<Bytes> + 'static) -> Rc<Self> {
        Rc::new(Storage { fetch: Box::new(fetch), bytes: OnceCell::new() })
    }

    /// Makes the storage of a tensor that is not read, which fails with the reason.
    pub fn unread(reason: String) -> Rc<Self> {
        Storage::new(move || Err(anyhow!(reason.clone())))
    }

    /// Returns the bytes, which the first call fetches.
    pub fn bytes(&self) -> Result<&Bytes> {
        let fetched = self.bytes.get_or_init(|| (self.fetch)().map_err(|error| format!("{error:#}")));
        fetched.as_ref().map_err(|error| anyhow!(error.clone()))
    }
}
