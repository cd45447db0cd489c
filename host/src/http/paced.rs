//! Limits the time that a client may take to read what is written to it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// The least number of bytes that a client must read in a second, after the time that it may read nothing.
const LEAST_RATE: u64 = 16 << 10;

/// A stream whose client must read at a least rate. Reading from it is not limited.
pub(crate) struct Paced<S> {
    stream: S,
    /// The time for which a client may read nothing.
    grace: Duration,
    /// In bytes a second.
    least_rate: u64,
    /// `None` while all that is written is accepted at once.
    congestion: Option<Congestion>,
}

/// The state of a client that has not read everything yet.
struct Congestion {
    began: Instant,
    written: u64,
    timer: Pin<Box<Sleep>>,
}

impl<S> Paced<S> {
    pub(crate) fn new(stream: S, grace: Duration) -> Self {
        Paced { stream, grace, least_rate: LEAST_RATE, congestion: None }
    }

    /// Judges a write of `length` bytes.
    fn judge(
        &mut self,
        context: &mut Context<'_>,
        length: usize,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(written)) if written == length => self.congestion = None,
            Poll::Ready(Ok(written)) => {
                if let Some(congestion) = &mut self.congestion {
                    congestion.written += written as u64;
                }
            }
            Poll::Pending => {
                let now = Instant::now();
                let congestion = self.congestion.get_or_insert_with(|| Congestion {
                    began: now,
                    written: 0,
                    timer: Box::pin(sleep_until(now)),
                });
                let time =
                    self.grace + Duration::from_millis(congestion.written.saturating_mul(1000) / self.least_rate);
                congestion.timer.as_mut().reset(congestion.began + time);
                if congestion.timer.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Err(io::Error::from(io::ErrorKind::TimedOut)));
                }
            }
            Poll::Ready(Err(_)) => {}
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, bytes.len(), written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.judge(context, slices.iter().map(|slice| slice.len()).sum(), written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        // A TLS stream writes what it holds when it is flushed.
        self.judge(context, 0, flushed.map_ok(|()| 0)).map_ok(drop)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.judge(context, 0, shut.map_ok(|()| 0)).map_ok(drop)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn a_client_that_reads_too_slowly_is_given_up_however_much_it_has_read() {
        let (mut client, server) = duplex(1024);
        // So fast that no client keeps up.
        let mut server = Paced { least_rate: u64::MAX, ..Paced::new(server, Duration::from_millis(20)) };
        let reads = tokio::spawn(async move { while let Ok(1..) = client.read(&mut [0; 1024]).await {} });
        let written = server.write_all(&vec![0; 256 << 20]).await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(server);
        reads.await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_reads_at_the_least_rate_gets_everything() {
        let (mut client, server) = duplex(1024);
        let mut server = Paced { least_rate: 1, ..Paced::new(server, Duration::ZERO) };
        let reads = tokio::spawn(async move {
            let mut all = Vec::new();
            client.read_to_end(&mut all).await.map(|_| all.len())
        });
        // Each byte that was accepted gives another second.
        let now = Instant::now();
        server.congestion = Some(Congestion { began: now, written: 1 << 20, timer: Box::pin(sleep_until(now)) });
        server.write_all(&[0; 256 << 10]).await.unwrap();
        drop(server);
        assert_eq!(reads.await.unwrap().unwrap(), 256 << 10);
    }
}
