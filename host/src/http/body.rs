use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, EXPECT};
use http_body::Body;
use http_body_util::BodyExt;
use sac_owner::settings::DRAIN_BYTES;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// An oversized body is read and dropped for at most this long, and [`DRAIN_BYTES`].
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// What a body takes of the common room begins beyond this: no number of slow uploads refuses a prediction.
const FREE_BYTES: usize = 64 << 10;
/// The common room has place for so many of the largest bodies.
const LARGEST_AT_ONCE: usize = 16;
/// What is taken of it at a time.
const UNIT: usize = 1 << 10;

/// Buffers request bodies, within bounds of size, of time, and of all of them together.
pub(crate) struct Intake {
    limit: usize,
    time: Duration,
    /// Its permits are units of memory.
    room: Arc<Semaphore>,
}

pub(crate) enum Received {
    Complete(Bytes, Room),
    /// Its beginning was dropped; the connection is of no more use.
    OverLimit,
    Broken,
    /// It had so long to come.
    Late(Duration),
    NoRoom,
}

/// What a body takes of the common room, until it is dropped.
#[derive(Default)]
pub(crate) struct Room(Option<OwnedSemaphorePermit>);

impl Intake {
    pub(crate) fn new(limit: usize, time: Duration) -> Self {
        let units = (limit / UNIT).saturating_mul(LARGEST_AT_ONCE).clamp(1, u32::MAX as usize);
        Intake { limit, time, room: Arc::new(Semaphore::new(units)) }
    }

    /// A body of at most the limit. One that announces more is not buffered at all.
    pub(crate) async fn receive(&self, headers: &HeaderMap, body: impl Body) -> Received {
        let mut body = pin!(body);
        let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        let received = if announced.is_some_and(|length| length > self.limit as u64) {
            Received::OverLimit
        } else {
            timeout(self.time, self.buffer(body.as_mut())).await.unwrap_or(Received::Late(self.time))
        };
        // A client that waits to be asked for the body is simply not asked.
        if matches!(received, Received::OverLimit | Received::NoRoom) && !headers.contains_key(EXPECT) {
            drain(body).await;
        }
        received
    }

    async fn buffer(&self, mut body: Pin<&mut impl Body>) -> Received {
        let mut buffer = BytesMut::new();
        let mut room = Room::default();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return Received::Broken };
            let Ok(mut data) = frame.into_data() else { continue };
            let length = data.remaining();
            if buffer.len() + length > self.limit {
                return Received::OverLimit;
            }
            if !room.take(&self.room, buffer.len() + length) {
                return Received::NoRoom;
            }
            let data = data.copy_to_bytes(length);
            // The body of a small request comes whole: no copy.
            if buffer.is_empty() && body.is_end_stream() {
                return Received::Complete(data, room);
            }
            buffer.extend_from_slice(&data);
        }
        Received::Complete(buffer.freeze(), room)
    }
}

impl Room {
    /// Whether there is place for a body of so many bytes in all.
    fn take(&mut self, room: &Arc<Semaphore>, bytes: usize) -> bool {
        let held = self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = bytes.saturating_sub(FREE_BYTES).div_ceil(UNIT).saturating_sub(held);
        if missing == 0 {
            return true;
        }
        let more = u32::try_from(missing).ok().and_then(|units| room.clone().try_acquire_many_owned(units).ok());
        match (more, &mut self.0) {
            (None, _) => return false,
            (Some(more), Some(held)) => held.merge(more),
            (more, none) => *none = more,
        }
        true
    }
}

async fn drain(mut body: Pin<&mut impl Body>) {
    let rest = async {
        let mut dropped = 0;
        while let Some(Ok(frame)) = body.frame().await {
            dropped += frame.data_ref().map_or(0, Buf::remaining);
            if dropped > DRAIN_BYTES {
                break;
            }
        }
    };
    // Past the time the client is on its own.
    let _ = timeout(DRAIN_TIME, rest).await;
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    async fn receive(intake: &Intake, bytes: usize) -> Received {
        intake.receive(&HeaderMap::new(), Full::new(Bytes::from(vec![b' '; bytes]))).await
    }

    #[tokio::test]
    async fn large_bodies_share_a_bounded_room_and_small_ones_need_none() {
        let intake = Intake::new(256 << 10, Duration::from_secs(60));
        let mut held = Vec::new();
        while let Received::Complete(body, room) = receive(&intake, 256 << 10).await {
            held.push((body, room));
        }
        // Each takes 192 KiB of 4 MiB.
        assert_eq!(held.len(), 21);
        assert!(matches!(receive(&intake, 256 << 10).await, Received::NoRoom));
        assert!(matches!(receive(&intake, FREE_BYTES).await, Received::Complete(..)));
        held.pop();
        assert!(matches!(receive(&intake, 256 << 10).await, Received::Complete(..)));
        assert!(matches!(receive(&intake, (256 << 10) + 1).await, Received::OverLimit));
    }
}
