use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::target::Server;

/// Nobody takes longer to be there.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// An answer that takes longer is a failure.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// More is no answer of this program.
const MAX_ANSWER_BYTES: usize = 256 << 20;

/// One connection to a server, kept from request to request.
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    server: Server,
}

impl Client {
    pub async fn connect(server: &Server) -> Result<Client> {
        let sender = timeout(CONNECT_TIME, reach(server)).await.unwrap_or_else(|late| Err(late.into()));
        let sender = sender.with_context(|| format!("{} cannot be reached", server.address))?;
        Ok(Client { sender, server: server.clone() })
    }

    /// Status and body, whatever the status.
    pub async fn ask(&mut self, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, Bytes)> {
        let request = Request::builder().method(method).uri(path).header(HOST, &self.server.address.authority);
        let request = match &self.server.token {
            Some(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        };
        let request = request.header(CONTENT_TYPE, "application/json").body(Full::new(body))?;
        self.sender.ready().await?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        match Limited::new(body, MAX_ANSWER_BYTES).collect().await {
            Ok(body) => Ok((head.status, body.to_bytes())),
            Err(error) => bail!("{} did not answer to the end: {error}", self.server.address),
        }
    }

    /// What a 200 says. The error is another status's `detail`.
    pub async fn told(&mut self, method: Method, path: &str, body: Bytes) -> Result<Value> {
        let address = self.server.address.clone();
        let asked = timeout(PATIENCE, self.ask(method, path, body)).await;
        let (status, body) = asked.with_context(|| format!("{address} does not answer"))??;
        read(status.as_u16(), &body)
    }
}

async fn reach(server: &Server) -> Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(&server.address.authority).await?;
    stream.set_nodelay(true)?;
    match &server.tls {
        None => speak(stream).await,
        Some(tls) => speak(tls.connect(server.address.name()?, stream).await?).await,
    }
}

async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<SendRequest<Full<Bytes>>> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // Ends with the sender, or with the server.
    tokio::spawn(connection);
    Ok(sender)
}

/// What a 200 says. The error is another status's `detail`.
pub fn read(status: u16, body: &[u8]) -> Result<Value> {
    let told = serde_json::from_slice::<Value>(body).context("the answer is no JSON: this is another server")?;
    if status == 200 {
        return Ok(told);
    }
    match &told["detail"] {
        Value::String(detail) => bail!("{status}: {detail}"),
        detail => bail!("{status}: {detail}"),
    }
}
