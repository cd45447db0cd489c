//! The client's side of a connection, as far as it can be seen while a request is answered.

use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http::socket::Connection;

/// Shows if the client has closed the connection. It is an extension of each request of [`crate::serve`].
#[derive(Clone)]
pub(crate) struct Peer(Arc<Connection>);

impl Peer {
    /// Returns when the client has closed its side of the connection, unless it sent another request before that. The client may
    /// still read, which nobody can see from here, so only requests that take long should end by this.
    pub(crate) async fn gone(&self) {
        match self.0.peek().await {
            Ok(0) | Err(_) => {}
            // The next request has arrived, or the end of a TLS session.
            Ok(_) => pending().await,
        }
    }

    /// Lets the connection end without delivering what the client has not read.
    pub(crate) fn reset(&self) {
        self.0.reset();
    }
}

/// A socket that a [`Peer`] can look at.
pub(crate) struct Socket(Arc<Connection>);

impl Socket {
    pub(crate) fn new(connection: Connection) -> (Socket, Peer) {
        let connection = Arc::new(connection);
        (Socket(connection.clone()), Peer(connection))
    }

    fn write(
        &self,
        context: &mut Context<'_>,
        write: impl Fn(&Connection) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(context))?;
            match write(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(context))?;
            match self.0.try_read_buf(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read.map(drop)),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(context, |connection| connection.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(context, |connection| connection.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.close())
    }
}
