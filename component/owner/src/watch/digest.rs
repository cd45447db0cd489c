//! The sha256 of a content, which takes long to compute where the processor has no instructions for it, as in WebAssembly.

use std::sync::OnceLock;

use sha2::{Digest as _, Sha256};

/// The sha256 of one content, computed once it is asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Digest(OnceLock<String>);

impl Digest {
    /// Returns the sha256 in lowercase hexadecimal. `bytes` are the same in each call.
    pub(crate) fn of(&self, bytes: &[u8]) -> &str {
        self.0.get_or_init(|| sha256(bytes))
    }

    /// Returns the sha256 if it was computed.
    pub(crate) fn known(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

/// Returns a sha256 in lowercase hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
