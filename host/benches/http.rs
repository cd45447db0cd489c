//! One prediction over HTTP, on one keep-alive connection: `cargo bench --bench http`.
//!
//! Beside it, in the same run and turn about, a bare hyper server that reads the same body and answers as many bytes:
//! what is left between the two is the stat, the sandbox, JSON and inference.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sac_serving::{Config, SacService, Source};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

const ROUNDS: usize = 20;
const REQUESTS: usize = 1000;

fn main() -> Result<()> {
    let checkpoint = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/stat_pair_01000.onnx");
    let source = Source::new(Some(&checkpoint), None, None);
    let service = SacService::new(Config { source, ..Config::default() })?;
    let runtime = Runtime::new()?;
    let sac = {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        runtime.spawn(sac_serving::serve(listener, service, std::future::pending()));
        address
    };
    let mut sac = Connection::open(sac)?;
    let length = sac.request()?;
    let bare = runtime.block_on(bare(length))?;
    let mut bare = Connection::open(bare)?;

    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (connection, times) in [&mut bare, &mut sac].into_iter().zip(&mut times) {
            for _ in 0..REQUESTS {
                let start = Instant::now();
                connection.request()?;
                times.push(start.elapsed());
            }
        }
    }
    let [bare, sac] = times.map(|mut times| {
        times.sort();
        [50, 99].map(|percent| times[times.len() * percent / 100])
    });
    let micros = |time: Duration| time.as_nanos() as f64 / 1e3;
    println!("{:12} {:>9} {:>9}", "", "p50 µs", "p99 µs");
    println!("{:12} {:9.1} {:9.1}", "bare hyper", micros(bare[0]), micros(bare[1]));
    println!("{:12} {:9.1} {:9.1}", "sac-serving", micros(sac[0]), micros(sac[1]));
    println!("{:12} {:9.2} {:9.2}", "ratio", micros(sac[0]) / micros(bare[0]), micros(sac[1]) / micros(bare[1]));
    Ok(())
}

/// A server that reads a request's body and answers with so many bytes.
async fn bare(length: usize) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let body = Bytes::from(vec![b' '; length]);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let body = body.clone();
            let answer = service_fn(move |request: http::Request<Incoming>| {
                let body = body.clone();
                async move {
                    let _ = request.into_body().collect().await;
                    let response = Response::builder().header("content-type", "application/json");
                    Ok::<_, Infallible>(response.body(Full::new(body)).unwrap_or_default())
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        }
    });
    Ok(address)
}

/// A client that costs as little as can be.
struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    buffer: [u8; 4096],
}

impl Connection {
    fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let state = (0..28).map(|i| format!("{:.6}", i as f64 / 28.0 - 0.5)).collect::<Vec<_>>().join(",");
        let body = format!("{{\"state\":[{state}]}}");
        let head = format!("POST /sac/predict HTTP/1.1\r\nhost: bench\r\ncontent-length: {}\r\n\r\n", body.len());
        Ok(Connection { stream, request: (head + &body).into_bytes(), buffer: [0; 4096] })
    }

    /// Asks once, and gives the length of the answer's body. Each answer here comes in one piece.
    fn request(&mut self) -> Result<usize> {
        self.stream.write_all(&self.request)?;
        let read = self.stream.read(&mut self.buffer)?;
        let answer = std::str::from_utf8(&self.buffer[..read])?;
        ensure!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").context("no end of the head")?;
        Ok(body.len())
    }
}
