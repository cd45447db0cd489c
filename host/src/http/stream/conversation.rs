//! The messages of a WebSocket, until one side ends it. It knows no route.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Result, Utf8Bytes};

use crate::http::stream::inbound::Inbound;

/// The bytes that each conversation keeps for reading.
const READ_BUFFER_BYTES: usize = 4 << 10;

/// The bytes that may wait until the client reads them. No answer has so many.
const WRITE_BUFFER_BYTES: usize = 16 << 20;

/// The limits of a conversation.
pub(super) struct Limits {
    /// The size of a message.
    pub(super) max_bytes: usize,
    /// The time from the first byte of a message to its last.
    pub(super) message_time: Duration,
    /// The time after which a client that sends nothing gets a ping.
    pub(super) silence: Duration,
    /// The time that it has to answer the ping.
    pub(super) pong_time: Duration,
    /// The time that a client has to end its side.
    pub(super) close_time: Duration,
}

type Socket<S> = WebSocketStream<Inbound<S>>;

/// Answers the text messages of a client one after the other until the client ends the
/// conversation or `stop` resolves. An answer that is being computed is sent before that.
pub(super) async fn serve<S, R>(
    stream: S,
    limits: Limits,
    answer: impl Fn(Utf8Bytes) -> R,
    stop: impl Future<Output = ()>,
) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
    R: Future<Output = Utf8Bytes>,
{
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(Some(limits.max_bytes))
        .max_frame_size(Some(limits.max_bytes));
    let stream = Inbound::new(stream, limits.message_time);
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
    let mut stop = pin!(stop);
    loop {
        let received = tokio::select! {
            biased;
            () = &mut stop => return close(socket, CloseCode::Away, "the server stops".to_owned(), &limits).await,
            received = receive(&mut socket, &limits) => received,
        };
        match received {
            Ok(Some(Message::Text(message))) => {
                let answer = answer(message).await;
                // The memory of a large answer counts until it is sent, so it lives as long.
                socket.send(Message::Text(answer.clone())).await?;
            }
            Ok(Some(Message::Binary(_))) => {
                return close(socket, CloseCode::Unsupported, "a message is JSON, as text".to_owned(), &limits).await;
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(Error::ConnectionClosed) => return Ok(()),
            Err(error) => return fail(socket, error, &limits).await,
        }
    }
}

/// Receives a message, or `None` at the end. A client that stays silent gets a ping, and must answer it.
async fn receive<S>(socket: &mut Socket<S>, limits: &Limits) -> Result<Option<Message>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if let Ok(received) = timeout(limits.silence, next(socket)).await {
        return received;
    }
    socket.send(Message::Ping(Bytes::new())).await?;
    match timeout(limits.pong_time, next(socket)).await {
        Ok(received) => received,
        Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
    }
}

/// Receives a message, and sends the answer to one that the library answers, such as a ping. While the client does not read
/// that answer, nothing more is read: otherwise the answers would wait in memory.
async fn next<S>(socket: &mut Socket<S>) -> Result<Option<Message>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let received = socket.next().await.transpose()?;
    if matches!(received, Some(Message::Ping(_))) {
        socket.flush().await?;
    }
    Ok(received)
}

/// Ends the conversation after an error, and names the client's fault if it is one.
async fn fail<S>(socket: Socket<S>, error: Error, limits: &Limits) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (code, reason) = match error {
        Error::Capacity(_) => (CloseCode::Size, format!("a message has at most {} bytes", limits.max_bytes)),
        Error::Utf8(_) => (CloseCode::Invalid, "a message is UTF-8".to_owned()),
        Error::Protocol(error) => (CloseCode::Protocol, error.to_string()),
        Error::Io(_) if socket.get_ref().is_late() => {
            (CloseCode::Policy, format!("a message arrives within {} s", limits.message_time.as_secs_f32()))
        }
        error => return Err(error),
    };
    close(socket, code, reason, limits).await
}

/// Ends the conversation, and gives the client a moment to do so too.
async fn close<S>(mut socket: Socket<S>, code: CloseCode, reason: String, limits: &Limits) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let end = async {
        socket.close(Some(CloseFrame { code, reason: reason.into() })).await?;
        // After an error the library reads no more.
        while let Some(Ok(_)) = socket.next().await {}
        // The client may still send. If the connection closed with that unread, the kernel would discard the frame above.
        let stream = socket.get_mut().get_mut();
        stream.shutdown().await?;
        while let Ok(1..) = stream.read(&mut [0; 4096]).await {}
        Ok(())
    };
    timeout(limits.close_time, end).await.unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests;
