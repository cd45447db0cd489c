//! Requests that a browser sends for a page of another site.

use std::net::SocketAddr;

use sac_test_support::{Connection, request};

use crate::program::{STATE, ask, folder, serve};

/// The status of the answer to a request that names the server like this.
fn named(address: SocketAddr, host: &str) -> u16 {
    let request = request("GET", "/status", &format!("host: {host}\r\n"), "");
    Connection::open(address).unwrap().ask(&request).unwrap().status
}

#[test]
fn without_a_token_a_local_server_refuses_requests_of_other_sites() {
    let place = folder();
    let mut program = serve(place.path(), &["--dir", "."], &[]);
    let address = program.address();
    let port = address.port();
    let from = |origin: &str, path| ask(address, "POST", path, &format!("origin: {origin}\r\n"), STATE).0;
    for path in ["/sac/predict", "/sac/model/reload", "/sac/benchmark"] {
        assert_eq!(from("http://example.com", path), 403, "{path}");
        assert_eq!(from("null", path), 403, "{path}");
    }
    assert_eq!(from(&format!("http://{address}"), "/sac/predict"), 200);
    // A host name of the other site may resolve to this machine.
    assert_eq!(named(address, &format!("example.com:{port}")), 403);
    assert_eq!((named(address, &format!("localhost:{port}")), named(address, &address.to_string())), (200, 200));
}

#[test]
fn with_a_token_or_no_auth_a_server_answers_to_any_host_name() {
    let place = folder();
    for (args, expected) in [(["--api-token", "secret"], 401), (["--no-auth", "--access-log"], 200)] {
        let mut program = serve(place.path(), &[&["--dir", "."], &args[..]].concat(), &[]);
        let address = program.address();
        assert_eq!(named(address, "example.com"), expected, "{args:?}");
        let origin = "origin: http://example.com\r\n";
        assert_eq!(ask(address, "POST", "/sac/predict", origin, STATE).0, expected, "{args:?}");
    }
}
