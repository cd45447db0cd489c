//! Reads request bodies into memory, with limits of size, time and memory. It knows no route.

use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, EXPECT};
use http_body::Body;
use http_body_util::BodyExt;
use sac_owner::settings::DRAIN_BYTES;
use thiserror::Error;
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::http::encoding::{Decoder, Encoding};
use crate::http::memory::{Memory, MemoryShare};

/// The time for reading and dropping the rest of a body over the limit, up to [`DRAIN_BYTES`].
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// The number of the largest bodies that the shared memory holds.
const LARGEST_AT_ONCE: usize = 16;

/// Reads request bodies whole.
pub(crate) struct BodyReader {
    max_bytes: usize,
    time: Duration,
    /// The memory that all bodies share.
    memory: Memory,
}

/// The reason for not reading a body.
#[derive(Debug, Error)]
pub(crate) enum BodyError {
    /// The beginning of the body was dropped, so the connection cannot be used again.
    #[error("the request body is over the limit")]
    OverLimit,
    #[error("the request body could not be read")]
    Broken,
    #[error("the request body did not come within {} s", .0.as_secs_f32())]
    Late(Duration),
    #[error("the request body is not gzip, as its Content-Encoding says")]
    NotGzip,
    #[error("the Content-Encoding of a request body must be gzip, or absent")]
    Encoding,
    #[error("too many large request bodies at once")]
    NoMemory,
}

impl BodyReader {
    pub(crate) fn new(max_bytes: usize, time: Duration) -> Self {
        BodyReader { max_bytes, time, memory: Memory::new(max_bytes.saturating_mul(LARGEST_AT_ONCE)) }
    }

    pub(crate) fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    pub(crate) fn time(&self) -> Duration {
        self.time
    }

    /// Reads a body of at most `max_bytes`, sent and decoded. A body whose `content-length` is larger is not buffered at all.
    pub(crate) async fn read(&self, headers: &HeaderMap, body: impl Body) -> Result<(Bytes, MemoryShare), BodyError> {
        let mut body = pin!(body);
        let Ok(encoding) = Encoding::of(headers) else {
            drain_unless_expected(headers, body).await;
            return Err(BodyError::Encoding);
        };
        let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        let received = if announced.is_some_and(|length| length > self.max_bytes as u64) {
            Err(BodyError::OverLimit)
        } else {
            timeout(self.time, self.buffer(body.as_mut())).await.unwrap_or(Err(BodyError::Late(self.time)))
        };
        if matches!(received, Err(BodyError::OverLimit | BodyError::NoMemory)) {
            drain_unless_expected(headers, body).await;
        }
        match encoding {
            Encoding::Identity => received,
            Encoding::Gzip => self.decode(received?).await,
        }
    }

    async fn decode(&self, (encoded, mut share): (Bytes, MemoryShare)) -> Result<(Bytes, MemoryShare), BodyError> {
        let mut decoder = Decoder::new(&*encoded);
        while decoder.step().map_err(|_| BodyError::NotGzip)? {
            if decoder.len() > self.max_bytes {
                return Err(BodyError::OverLimit);
            }
            if !share.grow(&self.memory, encoded.len() + decoder.len()) {
                return Err(BodyError::NoMemory);
            }
            yield_now().await;
        }
        Ok((decoder.finish().into(), share))
    }

    async fn buffer(&self, mut body: Pin<&mut impl Body>) -> Result<(Bytes, MemoryShare), BodyError> {
        let mut buffer = BytesMut::new();
        let mut share = MemoryShare::default();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return Err(BodyError::Broken) };
            let Ok(mut data) = frame.into_data() else { continue };
            let length = data.remaining();
            if buffer.len() + length > self.max_bytes {
                return Err(BodyError::OverLimit);
            }
            if !share.grow(&self.memory, buffer.len() + length) {
                return Err(BodyError::NoMemory);
            }
            let data = data.copy_to_bytes(length);
            // The body of a small request arrives in one frame, and is not copied.
            if buffer.is_empty() && body.is_end_stream() {
                return Ok((data, share));
            }
            buffer.extend_from_slice(&data);
        }
        Ok((buffer.freeze(), share))
    }
}

/// Drops the rest of a body, unless the client sent `expect` and has not begun to send it.
async fn drain_unless_expected(headers: &HeaderMap, body: Pin<&mut impl Body>) {
    if !headers.contains_key(EXPECT) {
        drain(body).await;
    }
}

/// Reads and drops the rest of a body, within limits.
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
    // After the time limit the connection may be closed while the client still sends.
    let _ = timeout(DRAIN_TIME, rest).await;
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;
    use crate::http::memory::FREE_BYTES;

    async fn read(reader: &BodyReader, bytes: usize) -> Result<(Bytes, MemoryShare), BodyError> {
        reader.read(&HeaderMap::new(), Full::new(Bytes::from(vec![b' '; bytes]))).await
    }

    #[tokio::test]
    async fn large_bodies_share_bounded_memory_and_small_ones_need_none() {
        let reader = BodyReader::new(256 << 10, Duration::from_secs(60));
        let mut held = Vec::new();
        while let Ok(body) = read(&reader, 256 << 10).await {
            held.push(body);
        }
        // Each takes 192 KiB of 4 MiB.
        assert_eq!(held.len(), 21);
        assert!(matches!(read(&reader, 256 << 10).await, Err(BodyError::NoMemory)));
        assert!(read(&reader, FREE_BYTES).await.is_ok());
        held.pop();
        assert!(read(&reader, 256 << 10).await.is_ok());
        assert!(matches!(read(&reader, (256 << 10) + 1).await, Err(BodyError::OverLimit)));
    }
}
