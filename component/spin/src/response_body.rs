//! The body of a response, and the requests that wait until the runtime has it.
//!
//! A response that is written in two parts takes 40 ms under Spin: TCP holds the second part back until the client acknowledges
//! the first one. Spin writes the head alone if another request keeps the instance busy before Spin has the body.

use std::cell::Cell;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use wit_bindgen::yield_async;

/// A request lets the runtime act at most this often. Spin and Wasmtime take a body the first time.
const MAX_YIELDS: usize = 16;

thread_local! {
    /// The number of bodies that the runtime does not have yet.
    static PENDING: Cell<usize> = const { Cell::new(0) };
}

/// A body of one frame.
pub struct ResponseBody {
    bytes: Option<Bytes>,
    pending: Option<Pending>,
}

/// A body that the runtime does not have yet.
struct Pending;

impl ResponseBody {
    pub fn new(bytes: Vec<u8>) -> Self {
        ResponseBody { bytes: Some(bytes.into()), pending: Some(Pending::new()) }
    }
}

/// Waits until the runtime has the bodies of all responses so far.
pub async fn bodies_are_taken() {
    for _ in 0..MAX_YIELDS {
        if PENDING.get() == 0 {
            return;
        }
        yield_async().await;
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Infallible;

    /// The second call comes when the runtime has the bytes.
    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = self.bytes.take().map(|bytes| Ok(Frame::data(bytes)));
        if frame.is_none() {
            self.pending = None;
        }
        Poll::Ready(frame)
    }
}

impl Pending {
    fn new() -> Self {
        PENDING.set(PENDING.get() + 1);
        Pending
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        PENDING.set(PENDING.get() - 1);
    }
}
