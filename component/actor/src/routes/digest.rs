//! The sha256 of the checkpoint in service.

use std::cell::{Cell, OnceCell};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

/// The sha256 of a file. The owner supplies it, or it is computed when a response needs it.
pub struct Digest {
    hex: OnceCell<String>,
    /// The file, until its sha256 is known.
    bytes: Cell<Bytes>,
}

impl Digest {
    /// `known` is the sha256 of `bytes`, if the owner supplies it.
    pub fn new(known: Option<String>, bytes: Bytes) -> Self {
        match known {
            Some(hex) => Digest { hex: hex.into(), bytes: Cell::default() },
            None => Digest { hex: OnceCell::new(), bytes: Cell::new(bytes) },
        }
    }

    /// Returns the sha256 in lowercase hexadecimal.
    pub fn hex(&self) -> &str {
        self.hex.get_or_init(|| hex::encode(Sha256::digest(self.bytes.take())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owners_sha256_is_repeated_and_another_is_that_of_the_bytes_which_are_kept_until_then() {
        let bytes = Bytes::from(b"abc".to_vec());
        let known = Digest::new(Some("known".to_owned()), bytes.clone());
        assert!(bytes.is_unique() && known.hex() == "known");
        let digest = Digest::new(None, bytes.clone());
        assert!(!bytes.is_unique());
        for _ in 0..2 {
            assert_eq!(digest.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
            assert!(bytes.is_unique());
        }
    }
}
