use std::fmt::{self, Display};
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// More is no answer of this program.
const MAX_ANSWER_BYTES: usize = 256 << 20;

/// A server, or a checkpoint that is to be served for once.
#[derive(Debug, Clone)]
pub enum Target {
    Server(Address),
    File(PathBuf),
}

/// A server by its host and port.
#[derive(Debug, Clone)]
pub struct Address(pub String);

/// One connection to a server, kept from request to request.
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    address: Address,
    token: Option<String>,
}

impl FromStr for Target {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        if !text.contains("://") {
            return Ok(Target::File(text.into()));
        }
        let uri = text.parse::<Uri>()?;
        ensure!(uri.scheme_str() == Some("http"), "only http:// is spoken here: ask the server without its TLS");
        ensure!(
            uri.path() == "/" && uri.query().is_none(),
            "the server's address alone is wanted, without {}",
            uri.path()
        );
        let authority = uri.authority().context("there is no host in it")?;
        Ok(Target::Server(Address(format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80)))))
    }
}

impl Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.0)
    }
}

impl Client {
    pub async fn connect(address: &Address, token: Option<String>) -> Result<Client> {
        let stream = TcpStream::connect(&address.0).await.with_context(|| format!("{address} cannot be reached"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // Ends with the sender, or with the server.
        tokio::spawn(connection);
        Ok(Client { sender, address: address.clone(), token })
    }

    /// Status and body, whatever the status.
    pub async fn ask(&mut self, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, Bytes)> {
        let request = Request::builder().method(method).uri(path).header(HOST, &self.address.0);
        let request = match &self.token {
            Some(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        };
        let request = request.header(CONTENT_TYPE, "application/json").body(Full::new(body))?;
        self.sender.ready().await?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        match Limited::new(body, MAX_ANSWER_BYTES).collect().await {
            Ok(body) => Ok((head.status, body.to_bytes())),
            Err(error) => bail!("{} did not answer to the end: {error}", self.address),
        }
    }

    /// What a 200 says. The error is another status's `detail`.
    pub async fn told(&mut self, method: Method, path: &str, body: Bytes) -> Result<Value> {
        let (status, body) = self.ask(method, path, body).await?;
        read(status.as_u16(), &body)
    }
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
