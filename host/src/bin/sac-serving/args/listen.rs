//! The address to listen on.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use anyhow::{Context, Result, ensure};

/// An address to listen on: HOST:PORT, where HOST is an address or a name of this machine.
#[derive(Debug, Clone)]
pub struct Listen {
    /// An IPv6 address is in brackets.
    host: String,
    port: u16,
}

impl Listen {
    /// The address of `serve`.
    pub const DEFAULT: &str = "127.0.0.1:8000";

    /// Returns the addresses that the name has, of which the first that is free is used.
    pub fn addresses(&self) -> Result<Vec<SocketAddr>> {
        let found = (self.host.trim_matches(['[', ']']), self.port).to_socket_addrs();
        let found = found.with_context(|| format!("cannot listen on {self}"))?.collect::<Vec<_>>();
        ensure!(!found.is_empty(), "cannot listen on {self}: the name has no address");
        Ok(found)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the address with another port, if there is one.
    pub fn with_port(&self, port: Option<u16>) -> Self {
        Listen { host: self.host.clone(), port: port.unwrap_or(self.port) }
    }

    /// Returns `true` if only this machine can reach it.
    pub fn is_local(&self) -> Result<bool> {
        Ok(self.addresses()?.iter().all(|address| address.ip().to_canonical().is_loopback()))
    }
}

impl FromStr for Listen {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let expected = "expected HOST:PORT, such as 127.0.0.1:8000, localhost:8000 or [::1]:8000";
        let (host, port) = text.rsplit_once(':').context(expected)?;
        let is_bracketed = host.starts_with('[') && host.ends_with(']');
        ensure!(!host.is_empty() && (is_bracketed || !host.contains([':', '/', '['])), "{expected}");
        let port = port.parse().with_context(|| format!("`{port}` is not a port: {expected}"))?;
        Ok(Listen { host: host.to_owned(), port })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
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
        let listen = "localhost:8000".parse::<Listen>().unwrap().with_port(Some(9000));
        assert!(listen.addresses().unwrap().iter().all(|address| address.port() == 9000));
    }

    #[test]
    fn others_are_refused() {
        for text in
            ["", "8000", ":8000", "localhost", "localhost:", "localhost:70000", "::1:8000", "http://localhost:80"]
        {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }
}
