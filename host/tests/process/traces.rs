//! Traces, as a collector receives them from a program with the feature `otlp`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

use crate::program::{STATE, Signal, ask, folder, serve};

/// Receives one batch of spans. Returns the head and the body of its request.
fn collect(collector: TcpListener) -> JoinHandle<(String, Vec<u8>)> {
    std::thread::spawn(move || {
        let mut stream = BufReader::new(collector.accept().unwrap().0);
        let (mut head, mut line) = (String::new(), String::new());
        while stream.read_line(&mut line).unwrap() > 2 {
            head += &std::mem::take(&mut line);
        }
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap()];
        stream.read_exact(&mut body).unwrap();
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        (head, body)
    })
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_request_is_a_span_of_its_clients_trace_and_contains_the_reload_and_the_call() {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let collectors_address = collector.local_addr().unwrap();
    let endpoint = format!("http://{collectors_address}");
    let collected = collect(collector);
    let place = folder();
    // One batch at the end, however slow the machine is.
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "600000"),
        ("OTEL_BSP_SCHEDULE_DELAY", "600000"),
    ];
    let mut program = serve(place.path(), &["--dir", "."], &variables);
    let address = program.address();
    // The example of the W3C's Trace Context.
    let trace = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
    assert_eq!(ask(address, "POST", "/sac/predict", trace, STATE).0, 200);
    assert_eq!(ask(address, "POST", "/sac/model/reload", "", "").0, 200);
    ask(address, "POST", "/sac/made-up-by-a-client", "", "");
    ask(address, "GET", "/status", "", "");
    program.signal(Signal::TERM).unwrap();
    let (status, log) = program.end();
    assert!(status.success(), "{log}");
    assert!(!log.contains("request{"), "the log shows spans: {log}");

    // If nothing was sent, the collector receives this connection and stops waiting.
    drop(TcpStream::connect(collectors_address));
    let (head, spans) = collected.join().expect("spans were sent");
    assert!(head.starts_with("POST /v1/traces ") && head.contains("application/x-protobuf"), "{head}");
    let (trace, parent) = (0x0af7651916cd43dd8448eb211c80319c_u128.to_be_bytes(), 0xb7ad6b7169203331_u64.to_be_bytes());
    for part in [&trace[..], &parent] {
        assert!(contains(&spans, part), "the spans belong to the client's trace");
    }
    for part in ["sac-serving", "POST /sac/predict", "actor.answer", "checkpoint.reload", "checkpoint in service"] {
        assert!(contains(&spans, part.as_bytes()), "no {part} in {:?}", String::from_utf8_lossy(&spans));
    }
    assert!(!contains(&spans, b"made-up"), "a client names no span");
    // In protobuf: the attribute's name, then field 2, an integer (field 3), 200 in two bytes.
    assert!(contains(&spans, b"http.response.status_code\x12\x03\x18\xc8\x01"), "the status is a number");
    let calls = spans.windows(12).filter(|window| window == b"actor.answer").count();
    assert_eq!(calls, 4, "two are the reload's, and /status has none");
}

#[test]
fn a_collector_that_is_not_there_delays_nothing() {
    let place = folder();
    // Nothing listens on this port. One that was free a moment ago may belong to another test by now.
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")];
    let mut program = serve(place.path(), &["--dir", "."], &variables);
    let address = program.address();
    assert_eq!(ask(address, "POST", "/sac/predict", "", STATE).0, 200);
    program.signal(Signal::TERM).unwrap();
    let (status, log) = program.end();
    assert!(status.success() && log.contains("BatchSpanProcessor.ExportError"), "{log}");
}

#[test]
fn a_collector_that_cannot_be_used_is_reported_at_the_start() {
    let place = folder();
    for variables in [
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", "no address")][..],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", "https://localhost:4318")],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4317"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
    ] {
        let (status, log) = serve(place.path(), &["--dir", "."], variables).end();
        assert!(status.code() == Some(1) && log.contains("traces cannot be sent"), "{variables:?}: {log}");
    }
}
