//! The messages of a WebSocket, until one side ends it. It knows no route.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Result, Utf8Bytes};

/// The time that a client has to end its side.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// The bytes that each conversation keeps for reading.
const READ_BUFFER_BYTES: usize = 4 << 10;

/// The limits of a conversation.
pub(super) struct Limits {
    /// The size of a message.
    pub(super) max_bytes: usize,
    /// The time after which a client that sends nothing gets a ping.
    pub(super) silence: Duration,
    /// The time that it has to answer the ping.
    pub(super) pong_time: Duration,
}

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
        .max_message_size(Some(limits.max_bytes))
        .max_frame_size(Some(limits.max_bytes));
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
    let mut stop = pin!(stop);
    loop {
        let received = tokio::select! {
            biased;
            () = &mut stop => return close(socket, CloseCode::Away, "the server stops".to_owned()).await,
            received = receive(&mut socket, &limits) => received,
        };
        match received {
            Ok(Some(Message::Text(message))) => socket.send(Message::Text(answer(message).await)).await?,
            Ok(Some(Message::Binary(_))) => {
                return close(socket, CloseCode::Unsupported, "a message is JSON, as text".to_owned()).await;
            }
            // The library answers pings, and the client's close.
            Ok(Some(_)) => {}
            Ok(None) | Err(Error::ConnectionClosed) => return Ok(()),
            Err(error) => return fail(socket, error, &limits).await,
        }
    }
}

/// Receives a message, or `None` at the end. A client that stays silent gets a ping, and must answer it.
async fn receive<S>(socket: &mut WebSocketStream<S>, limits: &Limits) -> Result<Option<Message>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if let Ok(received) = timeout(limits.silence, socket.next()).await {
        return received.transpose();
    }
    socket.send(Message::Ping(Bytes::new())).await?;
    match timeout(limits.pong_time, socket.next()).await {
        Ok(received) => received.transpose(),
        Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
    }
}

/// Ends the conversation after an error, and names the client's fault if it is one.
async fn fail<S>(socket: WebSocketStream<S>, error: Error, limits: &Limits) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match error {
        Error::Capacity(_) => {
            close(socket, CloseCode::Size, format!("a message has at most {} bytes", limits.max_bytes)).await
        }
        Error::Utf8(_) => close(socket, CloseCode::Invalid, "a message is UTF-8".to_owned()).await,
        Error::Protocol(error) => close(socket, CloseCode::Protocol, error.to_string()).await,
        error => Err(error),
    }
}

/// Ends the conversation, and gives the client a moment to do so too.
async fn close<S>(mut socket: WebSocketStream<S>, code: CloseCode, reason: String) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let end = async {
        socket.close(Some(CloseFrame { code, reason: reason.into() })).await?;
        loop {
            match socket.next().await {
                Some(Ok(_)) => {}
                Some(Err(_)) => break,
                None => return Ok(()),
            }
        }
        // The client still sends what was not read to its end. If the connection closed with that unread, the kernel would
        // discard the frame above.
        let stream = socket.get_mut();
        while let Ok(1..) = stream.read(&mut [0; 4096]).await {}
        Ok(())
    };
    timeout(CLOSE_TIME, end).await.unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests;
