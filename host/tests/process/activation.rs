//! A socket that systemd passes, by its protocol: descriptor 3, `LISTEN_FDS`, and the process that it is for in `LISTEN_PID`.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::Command;

use sac_test_support::{Connection, request};
use tempfile::tempdir;

use crate::program::{PROGRAM, Process, STATE, Signal, cache, folder, predict};

/// Serves a folder on a socket that it is passed.
fn activate(folder: &Path, socket: OwnedFd) -> Process {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" serve .", PROGRAM]);
    shell.stdin(socket).current_dir(folder).env_clear();
    shell.env("SAC_CACHE_DIR", cache()).env("SAC_LISTEN", "127.0.0.1:1");
    Process::spawn(shell).unwrap()
}

#[test]
fn a_connection_waits_in_the_socket_that_systemd_passes_while_the_server_restarts() {
    let place = folder();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let mut server = activate(place.path(), socket.try_clone().unwrap().into());
    assert_eq!(server.address(), address);
    assert_eq!(predict(address).0, 200);
    server.signal(Signal::TERM).unwrap();
    let (status, log) = server.end();
    assert!(status.success(), "{log}");
    let mut waiting = Connection::open(address).unwrap();
    let mut server = activate(place.path(), socket.into());
    server.address();
    let answer = waiting.ask(&request("POST", "/sac/predict", &format!("host: {address}\r\n"), STATE)).unwrap();
    assert_eq!(answer.status, 200);
}

#[test]
fn a_passed_socket_that_others_can_reach_needs_a_token_and_one_of_another_kind_is_refused() {
    let place = tempdir().unwrap();
    let open = TcpListener::bind("0.0.0.0:0").unwrap();
    let (status, log) = activate(place.path(), open.into()).end();
    assert!(!status.success() && log.contains("can be reached from other machines"), "{log}");
    let datagrams = UnixDatagram::bind(place.path().join("socket")).unwrap();
    let (status, log) = activate(place.path(), datagrams.into()).end();
    assert!(!status.success() && log.contains("expected ListenStream=ADDRESS:PORT or a path"), "{log}");
}

#[test]
fn a_unix_socket_that_systemd_passes_is_served_without_a_token_and_left_where_it_is() {
    let (place, sockets) = (folder(), tempdir().unwrap());
    let path = sockets.path().join("http.sock");
    let socket = UnixListener::bind(&path).unwrap();
    let mut waiting = Connection::open_unix(&path).unwrap();
    let mut server = activate(place.path(), socket.into());
    server.wait_for(&format!("listening on unix:{}", path.display()));
    assert_eq!(waiting.ask(&request("POST", "/sac/predict", "", STATE)).unwrap().status, 200);
    server.signal(Signal::TERM).unwrap();
    waiting.read_to_end().unwrap();
    let (status, log) = server.end();
    assert!(status.success() && path.exists(), "{log}");
}
