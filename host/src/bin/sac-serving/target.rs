//! The server or the file that `predict` and `bench` measure or ask.

use std::fmt::{self, Display};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use http::Uri;
use sac_owner::settings::variables;
use sac_owner::{path_line, shell_word};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::args::InvalidUse;
use crate::args::listen::Listen;
use crate::trust::{self, Trusted};

/// The name of this machine, for a Unix socket.
const LOCALHOST: &str = "localhost";

/// A server, or a checkpoint file.
#[derive(Debug, Clone)]
pub enum Target {
    Server(Address),
    File(PathBuf),
}

impl Target {
    /// Returns the server, or an error for a file.
    pub fn server(&self) -> Result<Address> {
        match self {
            Target::Server(address) => Ok(address.clone()),
            Target::File(file) => bail!("{} is no server: expected HOST:PORT, a URL or unix:PATH", file.display()),
        }
    }
}

/// The address of a server.
#[derive(Debug, Clone)]
pub struct Address {
    scheme: Scheme,
    host: String,
    /// Host and port, for the header `Host` and for the socket of TCP.
    pub authority: String,
    /// The path of a Unix socket, which is used instead.
    pub socket: Option<PathBuf>,
}

/// The flags for connecting to a server.
#[derive(Debug, Args)]
pub struct ClientArgs {
    /// The server's bearer token
    #[arg(long, env = variables::API_TOKEN, hide_env_values = true, value_name = "TOKEN")]
    pub api_token: Option<String>,

    /// For https, trust the certificates of this PEM file instead of the system's: authorities, or that of the server itself
    #[arg(long, value_name = "FILE")]
    pub ca_cert: Option<PathBuf>,
}

/// A server with everything that a connection needs.
#[derive(Clone)]
pub struct Endpoint {
    pub address: Address,
    pub token: Option<String>,
    /// `None` for http.
    pub tls: Option<TlsConnector>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl FromStr for Target {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.starts_with(Listen::UNIX) {
            return Ok(Target::Server(Address::of(&text.parse()?, false)));
        }
        if !text.contains("://") {
            let is_server = text.parse::<Listen>().is_ok() && !Path::new(text).exists();
            return if is_server { format!("http://{text}").parse() } else { Ok(Target::File(text.into())) };
        }
        let uri = text.parse::<Uri>()?;
        let (scheme, usual_port) = match uri.scheme_str() {
            Some("http") => (Scheme::Http, 80),
            Some("https") => (Scheme::Https, 443),
            _ => bail!("expected http:// or https://"),
        };
        ensure!(uri.path() == "/" && uri.query().is_none(), "expected the address of a server, without {}", uri.path());
        let authority = uri.authority().context("the URL has no host")?;
        let host = authority.host().to_owned();
        let port = match authority.port_u16() {
            Some(port) => port,
            None if authority.as_str() == host => usual_port,
            None => bail!("`{}` is not a port", authority.as_str().trim_start_matches(&host).trim_start_matches(':')),
        };
        ensure!(!authority.as_str().contains('@'), "the URL has a user name, and a server takes only a token");
        Ok(Target::Server(Address { scheme, authority: format!("{host}:{port}"), host, socket: None }))
    }
}

impl Address {
    /// Returns the address of a server that listens there.
    pub fn of(listen: &Listen, is_https: bool) -> Address {
        let scheme = if is_https { Scheme::Https } else { Scheme::Http };
        let (host, authority, socket) = match listen {
            Listen::Tcp { host, .. } => (host.clone(), listen.to_string(), None),
            // A server without a token answers to this name.
            Listen::Unix(path) => (LOCALHOST.to_owned(), LOCALHOST.to_owned(), Some(path.clone())),
        };
        Address { scheme, host, authority, socket }
    }

    /// Returns the command that asks the server for a path.
    pub fn curl(&self, path: &str) -> String {
        let socket = self.socket.as_deref().map(|socket| format!("--unix-socket {} ", shell_word(&path_line(socket))));
        format!("curl -s {}{}://{}{path}", socket.unwrap_or_default(), self.scheme, self.authority)
    }

    /// Returns the same server by https, as a question for a user, if it was asked by http and might take the other.
    pub fn secure_question(&self) -> Option<String> {
        (self.scheme == Scheme::Http && self.socket.is_none())
            .then(|| format!("did you mean https://{}?", self.authority))
    }

    /// Returns the name that the server's certificate must have.
    pub fn name(&self) -> Result<ServerName<'static>> {
        // An IPv6 address is in brackets.
        let host = self.host.trim_matches(['[', ']']).to_owned();
        ServerName::try_from(host).context("a certificate cannot have this host name")
    }
}

impl Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.socket {
            Some(path) => write!(f, "{}{}", Listen::UNIX, path_line(path)),
            None => write!(f, "{}://{}", self.scheme, self.authority),
        }
    }
}

impl Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Scheme::Https { "https" } else { "http" })
    }
}

impl ClientArgs {
    /// Reads the trusted certificates.
    pub fn endpoint(&self, address: &Address) -> Result<Endpoint> {
        // A flag that names an invalid file is invalid where nothing needs it, too.
        let given =
            self.ca_cert.as_deref().map(|path| trust::read(path, "--ca-cert")).transpose().map_err(InvalidUse)?;
        let trusted = given.map_or(Trusted::System, Trusted::Given);
        self.trusting(address, trusted)
    }

    /// Returns the endpoint of a server of which this is the certificate, whatever name it is asked by.
    pub fn own_endpoint(&self, address: &Address, certificate: &Path) -> Result<Endpoint> {
        let own = trust::read(certificate, "--tls-cert").map_err(InvalidUse)?;
        self.trusting(address, Trusted::Own(own))
    }

    fn trusting(&self, address: &Address, trusted: Trusted) -> Result<Endpoint> {
        let tls = match address.scheme {
            Scheme::Http => None,
            Scheme::Https => Some(trust::connector(trusted)?),
        };
        Ok(Endpoint { address: address.clone(), token: self.api_token.clone(), tls })
    }
}

impl Endpoint {
    /// Returns the endpoint of a server in this process that asks for no token.
    pub fn local(listen: &Listen) -> Endpoint {
        Endpoint { address: Address::of(listen, false), token: None, tls: None }
    }

    /// Returns the endpoint of a server on this machine that listens on an address, without a token.
    pub fn near(listen: &Listen) -> Result<Endpoint> {
        let Some(mut at) = listen.addresses()?.first().copied() else { return Ok(Endpoint::local(listen)) };
        match at.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => at.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => at.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        Ok(Endpoint::local(&at.into()))
    }
}
