//! Gives a request the instance for itself.
//!
//! Under Spin, TCP holds a response's second write back until the client acknowledges the first one, which it does 40 ms later.
//! Spin writes the head of a response alone if another request keeps the instance busy before it has the body.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use wit_bindgen::{backpressure_dec, backpressure_inc};

/// The turn of a request. Until it is dropped, the runtime gives new requests to other instances.
pub struct Turn;

/// The body of a response. It drops the request's turn when the runtime has taken all of it.
pub struct ResponseBody {
    bytes: Option<Bytes>,
    turn: Option<Turn>,
}

impl Turn {
    /// Begins a turn. A request that the instance has accepted already may begin one at the same time.
    pub fn begin() -> Self {
        backpressure_inc();
        Turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        backpressure_dec();
    }
}

impl ResponseBody {
    pub fn new(bytes: Vec<u8>, turn: Turn) -> Self {
        ResponseBody { bytes: Some(bytes.into()), turn: Some(turn) }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Infallible;

    /// The runtime asks again once it has taken the bytes.
    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = self.bytes.take().map(|bytes| Ok(Frame::data(bytes)));
        if frame.is_none() {
            self.turn = None;
        }
        Poll::Ready(frame)
    }
}
