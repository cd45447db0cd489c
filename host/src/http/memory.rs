//! Memory that requests or responses share: each large body takes a share until it is dropped.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The part of each body that is not counted. So slow clients never cause the refusal of a small request or response,
/// however many they are.
pub(crate) const FREE_BYTES: usize = 64 << 10;
/// The unit of shared memory.
const UNIT: usize = 1 << 10;

/// A bound of memory for all bodies of one kind. Each permit is a unit.
#[derive(Clone)]
pub(crate) struct Memory(Arc<Semaphore>);

/// The share of a body, until it is dropped.
#[derive(Debug, Default)]
pub(crate) struct MemoryShare(Option<OwnedSemaphorePermit>);

/// Bytes with their share.
struct Shared {
    bytes: Vec<u8>,
    _share: MemoryShare,
}

impl Memory {
    pub(crate) fn new(bytes: usize) -> Self {
        Memory(Arc::new(Semaphore::new((bytes / UNIT).clamp(1, u32::MAX as usize).min(Semaphore::MAX_PERMITS))))
    }

    /// Returns the bytes with a share that lives as long as they do, or `None` if there is not enough memory left.
    pub(crate) fn hold(&self, bytes: Vec<u8>) -> Option<Bytes> {
        let mut share = MemoryShare::default();
        if !share.grow(self, bytes.len()) {
            return None;
        }
        match share.0 {
            None => Some(bytes.into()),
            Some(_) => Some(Bytes::from_owner(Shared { bytes, _share: share })),
        }
    }
}

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl MemoryShare {
    /// Grows the share for a body of `bytes` in all. Returns `false` if there is not enough memory left.
    pub(crate) fn grow(&mut self, Memory(memory): &Memory, bytes: usize) -> bool {
        let held = self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = bytes.saturating_sub(FREE_BYTES).div_ceil(UNIT).saturating_sub(held);
        if missing == 0 {
            return true;
        }
        let more = u32::try_from(missing).ok().and_then(|units| memory.clone().try_acquire_many_owned(units).ok());
        match (more, &mut self.0) {
            (None, _) => return false,
            (Some(more), Some(held)) => held.merge(more),
            (more, none) => *none = more,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_give_their_share_back_when_they_are_dropped() {
        let memory = Memory::new(128 << 10);
        let large = vec![7; FREE_BYTES + (100 << 10)];
        let held = memory.hold(large.clone()).unwrap();
        assert_eq!(held, large);
        let part = held.slice(1..3);
        drop(held);
        assert!(memory.hold(large.clone()).is_none(), "a part of them is left");
        assert!(memory.hold(vec![7; FREE_BYTES]).is_some());
        drop(part);
        assert!(memory.hold(large).is_some());
    }
}
