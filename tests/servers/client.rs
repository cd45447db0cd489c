//! The client of the tests, for servers that run on the runtime of the test itself.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use http::Method;
use sac_test_support::{Answer, request};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::{TcpStream, UnixStream};

/// One keep-alive connection.
pub struct Client {
    stream: Box<dyn Stream>,
    /// The bytes that were read and belong to no answer yet.
    received: Vec<u8>,
    authorization: String,
    /// Precedes every path.
    prefix: String,
}

/// A socket of TCP or of Unix.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Client {
    pub async fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).await.expect("the server listens");
        stream.set_nodelay(true).expect("a TCP socket");
        Client::over(stream)
    }

    /// Connects to a Unix socket.
    pub async fn connect_unix(path: &Path) -> Client {
        Client::over(UnixStream::connect(path).await.expect("the server listens"))
    }

    fn over(stream: impl Stream + 'static) -> Client {
        Client { stream: Box::new(stream), received: Vec::new(), authorization: String::new(), prefix: String::new() }
    }

    pub fn with_token(mut self, token: &str) -> Client {
        self.authorization = format!("authorization: Bearer {token}\r\n");
        self
    }

    /// Sends every request to a path below this one.
    pub fn with_prefix(mut self, prefix: &str) -> Client {
        self.prefix = prefix.to_owned();
        self
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.send(Method::GET, path, "").await
    }

    pub async fn post(&mut self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, body.to_string()).await
    }

    /// The answer to a state, which has to be a 200.
    pub async fn predict(&mut self, state: &[f64]) -> Value {
        self.post("/sac/predict", json!({ "state": state })).await.ok()
    }

    pub async fn info(&mut self) -> Value {
        self.get("/sac/model/info").await.ok()
    }

    pub async fn send(&mut self, method: Method, path: &str, body: impl AsRef<[u8]>) -> Answer {
        self.send_with(method, path, "", body).await
    }

    /// Sends further header lines, each with its line break.
    pub async fn send_with(&mut self, method: Method, path: &str, headers: &str, body: impl AsRef<[u8]>) -> Answer {
        let headers = format!("{}{headers}", self.authorization);
        let request = request(method.as_str(), &format!("{}{path}", self.prefix), &headers, body);
        let (mut reader, mut writer) = split(&mut self.stream);
        // At once: a server may answer before it has read the whole body, and then close the connection.
        let (sent, answer) =
            tokio::join!(writer.write_all(&request), receive(&mut reader, &mut self.received, &request));
        answer.unwrap_or_else(|error| panic!("no answer: {error}; sent: {sent:?}"))
    }
}

async fn receive(
    reader: &mut (impl AsyncReadExt + Unpin),
    received: &mut Vec<u8>,
    request: &[u8],
) -> io::Result<Answer> {
    loop {
        if let Some(answer) = Answer::take(received, request)? {
            return Ok(answer);
        }
        if reader.read_buf(received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
