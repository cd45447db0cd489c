//! The bytes that the client of a WebSocket sends, with a time limit for each message. The library that reads messages does
//! not say when one has begun.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// The bits of the first byte of a frame (RFC 6455, section 5.2).
const FINAL: u8 = 0x80;
const CONTROL: u8 = 0x08;

/// A connection whose client must end a message within a time after it began it. Writing is not limited.
pub(super) struct Inbound<S> {
    stream: S,
    message_time: Duration,
    frames: Frames,
    /// Runs while a message has begun and is not whole.
    timer: Option<Pin<Box<Sleep>>>,
}

/// Follows the frames in a sequence of bytes, as far as it takes to know where messages begin and end. It judges nothing.
#[derive(Default)]
struct Frames {
    /// The part of a head that has come. It is empty between frames, and while a payload comes.
    head: Vec<u8>,
    /// The bytes of the payload that are to come.
    missing: u64,
    /// True from the first frame of a message to its last.
    is_in_message: bool,
}

impl<S> Inbound<S> {
    pub(super) fn new(stream: S, message_time: Duration) -> Self {
        Inbound { stream, message_time, frames: Frames::default(), timer: None }
    }

    /// Returns the connection without the limit.
    pub(super) fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Returns `true` if a message did not end in time.
    pub(super) fn is_late(&self) -> bool {
        self.timer.as_ref().is_some_and(|timer| timer.is_elapsed())
    }
}

impl Frames {
    /// Returns `true` if a frame or a message has begun and is not whole.
    fn is_open(&self) -> bool {
        self.is_in_message || self.missing > 0 || !self.head.is_empty()
    }

    /// Follows further bytes. Returns `true` if a message ended among them, or a control frame outside of messages.
    fn follow(&mut self, mut bytes: &[u8]) -> bool {
        let mut ended = false;
        while let Some((byte, rest)) = bytes.split_first() {
            if self.missing == 0 {
                self.head.push(*byte);
                bytes = rest;
                self.begin_payload();
            } else {
                let length = self.missing.min(bytes.len() as u64);
                self.missing -= length;
                bytes = &bytes[length as usize..];
            }
            ended |= !self.is_open();
        }
        ended
    }

    /// Begins the payload of a frame if its head is whole.
    fn begin_payload(&mut self) {
        let [first, second, extended @ ..] = &*self.head else { return };
        let (short, extension) = match second & 0x7f {
            126 => (0, 2),
            127 => (0, 8),
            short => (u64::from(short), 0),
        };
        // A client that does not mask its payload is refused anyway.
        let masked = 4;
        if extended.len() < extension + masked {
            return;
        }
        let length = extended[..extension].iter().fold(short, |length, byte| length << 8 | u64::from(*byte));
        if first & CONTROL == 0 {
            self.is_in_message = first & FINAL == 0;
        }
        self.missing = length;
        self.head.clear();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Inbound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if self.frames.follow(&buffer.filled()[before..]) {
            self.timer = None;
        }
        if !self.frames.is_open() {
            return read;
        }
        let deadline = Instant::now() + self.message_time;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        match timer.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::from(io::ErrorKind::TimedOut))),
            Poll::Pending => read,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Inbound<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: &[u8] = &[0x89, 0x81, 0, 0, 0, 0, b'p'];
    const EMPTY_PING: &[u8] = &[0x89, 0x80, 0, 0, 0, 0];
    const FIRST: &[u8] = &[0x01, 0x82, 0, 0, 0, 0, b'a', b'b'];
    const LAST: &[u8] = &[0x80, 0x81, 0, 0, 0, 0, b'c'];

    /// A message of one frame, whose length takes further bytes of the head.
    fn long(extended: &[u8], length: usize) -> Vec<u8> {
        let marker = if extended.len() == 2 { 126 } else { 127 };
        [&[0x81, 0x80 | marker], extended, &[0; 4], &vec![b' '; length]].concat()
    }

    #[test]
    fn a_message_is_open_from_its_first_byte_to_its_last_whatever_comes_between() {
        let (medium, large) = (long(&[1, 0], 256), long(&[0, 0, 0, 0, 0, 1, 0, 0], 1 << 16));
        let mut frames = Frames::default();
        for (part, is_open) in [
            (PING, false),
            (FIRST, true),
            (EMPTY_PING, true),
            (PING, true),
            (LAST, false),
            (&medium, false),
            (&large, false),
            (FIRST, true),
            (LAST, false),
            (EMPTY_PING, false),
        ] {
            let (last, beginning) = part.split_last().unwrap();
            for byte in beginning {
                assert!(!frames.follow(&[*byte]) && frames.is_open());
            }
            assert_eq!((frames.follow(&[*last]), frames.is_open()), (!is_open, is_open), "{part:?}");
        }
    }

    #[test]
    fn one_message_may_end_where_the_next_begins() {
        let mut frames = Frames::default();
        assert!(!frames.follow(FIRST));
        assert!(frames.follow(&[LAST, FIRST].concat()) && frames.is_open());
        assert!(!frames.follow(PING) && frames.is_open());
        assert!(frames.follow(&[LAST, PING].concat()) && !frames.is_open());
    }
}
