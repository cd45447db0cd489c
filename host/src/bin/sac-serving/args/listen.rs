//! The address to listen on.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use sac_owner::path_line;

/// An address to listen on.
#[derive(Debug, Clone)]
pub enum Listen {
    /// HOST:PORT, where HOST is an address or a name of this machine. An IPv6 address is in brackets.
    Tcp { host: String, port: u16 },
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl Listen {
    /// The address of `serve`.
    pub const DEFAULT: &str = "127.0.0.1:8000";
    /// The forms of an address, for the help.
    pub const FORMS: &str = "HOST:PORT|unix:PATH";
    /// The beginning of the address of a Unix socket.
    pub const UNIX: &str = "unix:";

    /// Returns the addresses that the name has, of which the first that is free is used. A Unix socket has none.
    pub fn addresses(&self) -> Result<Vec<SocketAddr>> {
        let Listen::Tcp { host, port } = self else { return Ok(Vec::new()) };
        let found = (host.trim_matches(['[', ']']), *port).to_socket_addrs();
        let found = found.with_context(|| format!("cannot listen on {self}"))?.collect::<Vec<_>>();
        ensure!(!found.is_empty(), "cannot listen on {self}: the name has no address");
        Ok(found)
    }

    /// Returns the port. A Unix socket has none.
    pub fn port(&self) -> Option<u16> {
        match self {
            Listen::Tcp { port, .. } => Some(*port),
            Listen::Unix(_) => None,
        }
    }

    /// Returns the address with another port, if there is one.
    pub fn with_port(&self, port: Option<u16>) -> Result<Self> {
        match (self, port) {
            (_, None) => Ok(self.clone()),
            (Listen::Tcp { host, .. }, Some(port)) => Ok(Listen::Tcp { host: host.clone(), port }),
            (Listen::Unix(_), Some(_)) => bail!("{self} has no port: leave --port (SAC_PORT) out, or name HOST:PORT"),
        }
    }

    /// Returns `true` if only this machine can reach it.
    pub fn is_local(&self) -> Result<bool> {
        Ok(self.addresses()?.iter().all(|address| address.ip().to_canonical().is_loopback()))
    }
}

impl FromStr for Listen {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        if let Some(path) = text.strip_prefix(Listen::UNIX) {
            ensure!(cfg!(unix), "{text} is a Unix socket, and this system has none: expected HOST:PORT");
            // A URL has an empty host before the path.
            let (path, is_path) = match path.strip_prefix("//") {
                Some(absolute) => (absolute, absolute.starts_with('/')),
                None => (path, !path.is_empty()),
            };
            ensure!(is_path, "expected unix:PATH, such as unix:/run/sac-serving/http.sock");
            return Ok(Listen::Unix(path.into()));
        }
        let expected = "expected HOST:PORT, such as 127.0.0.1:8000, localhost:8000 or [::1]:8000, or unix:PATH";
        let (host, port) = text.rsplit_once(':').context(expected)?;
        let is_bracketed = host.starts_with('[') && host.ends_with(']');
        ensure!(!host.is_empty() && (is_bracketed || !host.contains([':', '/', '['])), "{expected}");
        let port = port.parse().with_context(|| format!("`{port}` is not a port: {expected}"))?;
        Ok(Listen::Tcp { host: host.to_owned(), port })
    }
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        let host = if address.is_ipv6() { format!("[{}]", address.ip()) } else { address.ip().to_string() };
        Listen::Tcp { host, port: address.port() }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Tcp { host, port } => write!(f, "{host}:{port}"),
            Listen::Unix(path) => write!(f, "{}{}", Listen::UNIX, path_line(path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_of_this_machine_are_read() {
        for (text, is_local) in [
            ("127.0.0.1:8000", true),
            ("localhost:8000", true),
            ("[::1]:8000", true),
            ("0.0.0.0:0", false),
            ("[::]:0", false),
            ("[::ffff:127.0.0.1]:1", true),
        ] {
            let listen = text.parse::<Listen>().unwrap();
            assert_eq!((listen.to_string(), listen.is_local().unwrap()), (text.to_owned(), is_local), "{text}");
        }
        let listen = "localhost:8000".parse::<Listen>().unwrap().with_port(Some(9000)).unwrap();
        assert!(listen.addresses().unwrap().iter().all(|address| address.port() == 9000));
        let bound = "[::1]:9000".parse::<SocketAddr>().unwrap();
        assert_eq!(Listen::from(bound).to_string(), "[::1]:9000");
    }

    #[test]
    fn others_are_refused() {
        for text in
            ["", "8000", ":8000", "localhost", "localhost:", "localhost:70000", "::1:8000", "http://localhost:80"]
        {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
        for text in ["unix:", "unix://", "unix://host/socket"] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_unix_socket_is_a_path_that_only_this_machine_reaches() {
        for (text, shown) in [
            ("unix:/run/http.sock", "unix:/run/http.sock"),
            ("unix:///run/http.sock", "unix:/run/http.sock"),
            ("unix:http.sock", "unix:http.sock"),
            ("unix:8000", "unix:8000"),
        ] {
            let listen = text.parse::<Listen>().unwrap();
            assert_eq!((listen.to_string(), listen.is_local().unwrap()), (shown.to_owned(), true), "{text}");
            assert!(listen.with_port(None).is_ok() && listen.with_port(Some(8000)).is_err());
        }
    }

    #[cfg(windows)]
    #[test]
    fn a_unix_socket_is_refused_where_there_are_none() {
        let error = "unix:/run/http.sock".parse::<Listen>().unwrap_err().to_string();
        assert!(error.contains("Unix"), "{error}");
    }
}
