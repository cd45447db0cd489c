use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// A keep-alive connection that costs as little as can be.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// A request as it goes over the wire.
pub fn post(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// One state of 28 numbers.
pub fn predict() -> Vec<u8> {
    let state = (0..28).map(|i| format!("{:.6}", f64::from(i) / 28.0 - 0.5)).collect::<Vec<_>>().join(",");
    post("/sac/predict", &format!("{{\"state\":[{state}]}}"))
}

impl Connection {
    pub fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Connection { stream, buffer: vec![0; 16 << 10] })
    }

    /// Asks once, and gives the body of the answer.
    pub fn ask(&mut self, request: &[u8]) -> Result<&[u8]> {
        self.stream.write_all(request)?;
        let (mut read, mut end) = (0, None);
        loop {
            let more = self.stream.read(&mut self.buffer[read..])?;
            ensure!(more > 0, "the server closed the connection");
            read += more;
            if end.is_none() {
                end = head(&self.buffer[..read])?;
            }
            if let Some((start, length)) = end
                && read >= start + length
            {
                return Ok(&self.buffer[start..start + length]);
            }
        }
    }

    pub fn json(&mut self, request: &[u8]) -> Result<Value> {
        Ok(serde_json::from_slice(self.ask(request)?)?)
    }
}

/// Where the body begins and how long it is, once the head is complete. Only a 200 is taken.
fn head(bytes: &[u8]) -> Result<Option<(usize, usize)>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..end])?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    Ok(Some((end + 4, length.context("no content-length")?)))
}

/// What so many connections see that ask without a pause: the time of each request, and of the whole.
pub fn load(connections: &mut [Connection], requests: usize) -> Result<(Vec<Duration>, Duration)> {
    let (request, share) = (predict(), requests / connections.len());
    let start = Instant::now();
    let times = thread::scope(|scope| {
        let clients = connections.iter_mut().map(|connection| {
            scope.spawn(|| {
                let mut times = Vec::with_capacity(share);
                for _ in 0..share {
                    let start = Instant::now();
                    connection.ask(&request)?;
                    times.push(start.elapsed());
                }
                anyhow::Ok(times)
            })
        });
        let clients = clients.collect::<Vec<_>>();
        clients.into_iter().map(|client| client.join().expect("a client does not panic")).collect::<Result<Vec<_>>>()
    })?;
    Ok((times.concat(), start.elapsed()))
}
