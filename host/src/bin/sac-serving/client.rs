//! An HTTP client of a server, for `predict`, `bench` and `demo`.

use std::io;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
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
use tokio_rustls::rustls;

use crate::platform::unix_stream;
use crate::target::{Address, Endpoint};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);
/// No response of a server is larger.
const MAX_RESPONSE_BYTES: usize = 256 << 20;

/// One connection to a server, kept from request to request.
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    endpoint: Endpoint,
}

impl Client {
    pub async fn connect(endpoint: &Endpoint) -> Result<Client> {
        let sender = timeout(CONNECT_TIMEOUT, connect(endpoint)).await.unwrap_or_else(|late| Err(late.into()));
        let sender = sender.with_context(|| format!("{} cannot be reached", endpoint.address))?;
        Ok(Client { sender, endpoint: endpoint.clone() })
    }

    /// Sends a request, and returns status and body of the response.
    pub async fn send(&mut self, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, Bytes)> {
        let request = Request::builder().method(method).uri(path).header(HOST, &self.endpoint.address.authority);
        let request = match &self.endpoint.token {
            Some(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        };
        let request = request.header(CONTENT_TYPE, "application/json").body(Full::new(body))?;
        let address = &self.endpoint.address;
        self.sender.ready().await.with_context(|| format!("{address} has closed the connection"))?;
        let sent = self.sender.send_request(request).await;
        let (head, body) = sent.map_err(|error| unanswered(address, error))?.into_parts();
        match Limited::new(body, MAX_RESPONSE_BYTES).collect().await {
            Ok(body) => Ok((head.status, body.to_bytes())),
            Err(error) => bail!("the response of {address} cannot be read: {error}"),
        }
    }

    /// Sends a request, and returns the JSON of the response as [`json`] does.
    pub async fn json(&mut self, method: Method, path: &str, body: Bytes) -> Result<Value> {
        let address = self.endpoint.address.clone();
        let sent = timeout(RESPONSE_TIMEOUT, self.send(method, path, body)).await;
        let (status, body) = sent.with_context(|| format!("{address} does not answer"))??;
        json(status.as_u16(), &body)
    }
}

/// Returns the JSON of a response of status 200. Any other status is an error with the `detail` of the body.
pub fn json(status: u16, body: &[u8]) -> Result<Value> {
    let value =
        serde_json::from_slice::<Value>(body).context("the response is not JSON, so it is not from sac-serving")?;
    if status == 200 {
        return Ok(value);
    }
    let remedy = if status == 401 { "; --api-token (SAC_API_TOKEN) sends the server's token" } else { "" };
    match &value["detail"] {
        Value::String(detail) => bail!("{status}: {detail}{remedy}"),
        detail => bail!("{status}: {detail}{remedy}"),
    }
}

/// Explains why a request has no response.
fn unanswered(address: &Address, error: hyper::Error) -> anyhow::Error {
    if !error.is_parse() {
        return anyhow::Error::from(error).context(format!("{address} gives no answer"));
    }
    // A server of HTTPS answers plain HTTP with an alert of TLS.
    let question = address.secure_question().map(|question| format!(" ({question})")).unwrap_or_default();
    anyhow::Error::from(error).context(format!("{address} gives no answer of HTTP{question}"))
}

async fn connect(endpoint: &Endpoint) -> Result<SendRequest<Full<Bytes>>> {
    if let Some(path) = &endpoint.address.socket {
        return start_http(unix_stream(path).await?).await;
    }
    let stream = TcpStream::connect(&endpoint.address.authority).await?;
    stream.set_nodelay(true)?;
    match &endpoint.tls {
        None => start_http(stream).await,
        Some(tls) => start_http(tls.connect(endpoint.address.name()?, stream).await.map_err(untrusted)?).await,
    }
}

/// Says how a certificate is trusted, if the handshake failed for it.
fn untrusted(error: io::Error) -> anyhow::Error {
    let rustls = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    match rustls {
        Some(rustls::Error::InvalidCertificate(_)) => {
            anyhow!("{error}; --ca-cert FILE names the certificates to trust")
        }
        _ => error.into(),
    }
}

async fn start_http(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<SendRequest<Full<Bytes>>> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // The task ends when the sender is dropped or the server closes the connection.
    tokio::spawn(connection);
    Ok(sender)
}
