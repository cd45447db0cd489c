use std::pin::pin;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, EXPECT};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::timeout;

/// How much of a body over the limit is read and dropped, and for how long: a client that is still sending would not
/// see the answer if the connection were closed on it.
const DRAIN_BYTES: usize = 16 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(1);

pub(crate) enum Received {
    Complete(Bytes),
    /// Its beginning was dropped; the connection is of no more use.
    OverLimit,
    Broken,
}

/// Buffers a body of at most `limit` bytes. A body that announces more is not buffered at all.
pub(crate) async fn receive(headers: &HeaderMap, body: impl Body, limit: usize) -> Received {
    let mut body = pin!(body);
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        // A client that waits to be asked for the body is simply not asked.
        if !headers.contains_key(EXPECT) {
            drain(body).await;
        }
        return Received::OverLimit;
    }
    let mut buffer = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Received::Broken };
        let Ok(mut data) = frame.into_data() else { continue };
        let length = data.remaining();
        if buffer.len() + length > limit {
            drain(body).await;
            return Received::OverLimit;
        }
        let data = data.copy_to_bytes(length);
        // The body of a small request comes whole: no copy.
        if buffer.is_empty() && body.is_end_stream() {
            return Received::Complete(data);
        }
        buffer.extend_from_slice(&data);
    }
    Received::Complete(buffer.freeze())
}

async fn drain(mut body: impl Body + Unpin) {
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
