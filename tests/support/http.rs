//! HTTP/1.1 as the tests and the benchmarks speak it: requests are bytes, an answer states its length, and a
//! [`Connection`] blocks. The asynchronous client of `sac-tests` sends and reads the same bytes.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

/// No answer takes longer, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(120);

/// A keep-alive connection.
pub struct Connection {
    stream: Box<dyn Stream>,
    /// The bytes that were read and belong to no answer yet.
    received: Vec<u8>,
    chunk: Box<[u8]>,
}

/// A socket of TCP or of Unix.
trait Stream: Read + Write + Send {
    fn close(&self) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn close(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Stream for UnixStream {
    fn close(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    body: Vec<u8>,
    json: OnceLock<Value>,
}

/// A request as it goes over the wire. `headers` are whole lines; the host is `localhost` unless they name one.
pub fn request(method: &str, path: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let host = if headers.contains("host: ") { "" } else { "host: localhost\r\n" };
    let length = body.len();
    let mut bytes = format!("{method} {path} HTTP/1.1\r\n{host}{headers}content-length: {length}\r\n\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

impl Connection {
    pub fn open(address: impl ToSocketAddrs) -> io::Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Connection::over(stream))
    }

    /// Connects to a Unix socket.
    pub fn open_unix(path: &Path) -> io::Result<Connection> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Connection::over(stream))
    }

    fn over(stream: impl Stream + 'static) -> Connection {
        Connection { stream: Box::new(stream), received: Vec::new(), chunk: vec![0; 16 << 10].into() }
    }

    /// Sends a request and waits for its answer.
    pub fn ask(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.send(request)?;
        self.receive_for(request)
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Closes this side of the connection, which may still be read.
    pub fn close(&self) -> io::Result<()> {
        self.stream.close()
    }

    /// Waits for the next answer.
    pub fn receive(&mut self) -> io::Result<Answer> {
        self.receive_for(b"")
    }

    /// Waits for the next answer, which is to this request.
    fn receive_for(&mut self, request: &[u8]) -> io::Result<Answer> {
        loop {
            if let Some(answer) = Answer::take(&mut self.received, request)? {
                return Ok(answer);
            }
            match self.stream.read(&mut self.chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.received.extend_from_slice(&self.chunk[..read]),
            }
        }
    }

    /// Reads whatever comes until the server closes the connection.
    pub fn read_to_end(&mut self) -> io::Result<()> {
        loop {
            match self.stream.read(&mut self.chunk) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

impl Answer {
    /// Takes the first answer off `received`, or returns `None` until all of it has come. An answer to a HEAD `request`
    /// has no body, whatever length it states.
    pub fn take(received: &mut Vec<u8>, request: &[u8]) -> io::Result<Option<Answer>> {
        let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
        let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let head = std::str::from_utf8(&received[..end]).map_err(|_| invalid("the head is not UTF-8"))?;
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse::<u16>().ok());
        let status = status.ok_or_else(|| invalid(head))?;
        let length = match header(head, "content-length") {
            _ if status < 200 || status == 304 || request.starts_with(b"HEAD ") => 0,
            Some(length) => length.parse().map_err(|_| invalid(head))?,
            None => return Err(invalid("the answer states no length")),
        };
        let (body, whole) = (end + 4, end + 4 + length);
        if received.len() < whole {
            return Ok(None);
        }
        let (head, content) = (head.to_owned(), received[body..whole].to_vec());
        received.drain(..whole);
        Ok(Some(Answer { status, head, body: content, json: OnceLock::new() }))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The status line and the headers.
    pub fn head(&self) -> &str {
        &self.head
    }

    pub fn body(&self) -> &[u8] {
        &self.body
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or("(not UTF-8)")
    }

    /// The body, or `null` if it is empty or the answer does not call it JSON.
    pub fn json(&self) -> &Value {
        self.json.get_or_init(|| match self.header("content-type") {
            Some("application/json") if !self.body.is_empty() => {
                serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
            }
            _ => Value::Null,
        })
    }

    /// The body of a 200; panics at any other status.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json().clone()
    }

    /// The `detail` of an error; panics unless it has this status.
    #[track_caller]
    pub fn detail(&self, status: u16) -> &str {
        assert_eq!(self.status, status, "{}", self.text());
        self.json()["detail"].as_str().unwrap_or_else(|| panic!("no detail in {}", self.text()))
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
