//! What a browser asks for a page of another site.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::program::{Program, STATE, ask, folder};

/// The status of an answer to who names the server so.
fn named(address: &str, host: &str) -> u16 {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /status HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn without_a_token_another_sites_page_may_ask_nothing_of_a_server_that_is_this_machines() {
    let place = folder();
    let mut program = Program::serve(place.path(), &["--dir", "."], &[]);
    let address = program.address();
    let (_, port) = address.split_once(':').unwrap();
    let from = |origin: &str, path| ask(&address, "POST", path, &format!("origin: {origin}\r\n"), STATE).0;
    for path in ["/sac/predict", "/sac/model/reload", "/sac/benchmark"] {
        assert_eq!(from("http://example.com", path), 403, "{path}");
        assert_eq!(from("null", path), 403, "{path}");
    }
    assert_eq!(from(&format!("http://{address}"), "/sac/predict"), 200);
    // A name of the page's own, that leads here.
    assert_eq!(named(&address, &format!("example.com:{port}")), 403);
    assert_eq!((named(&address, &format!("localhost:{port}")), named(&address, &address)), (200, 200));
}

#[test]
fn with_a_token_or_by_the_operators_word_a_server_goes_by_any_name() {
    let place = folder();
    for (args, expected) in [(["--api-token", "secret"], 401), (["--no-auth", "--access-log"], 200)] {
        let mut program = Program::serve(place.path(), &[&["--dir", "."], &args[..]].concat(), &[]);
        let address = program.address();
        assert_eq!(named(&address, "example.com"), expected, "{args:?}");
        let origin = "origin: http://example.com\r\n";
        assert_eq!(ask(&address, "POST", "/sac/predict", origin, STATE).0, expected, "{args:?}");
    }
}
