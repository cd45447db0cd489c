//! The server or the file that `predict` and `bench` measure or ask.

use std::fmt::{self, Display};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use http::Uri;
use sac_owner::settings::variables;
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::args::listen::Listen;

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
            Target::File(file) => bail!("{} is no server: expected HOST:PORT or a URL", file.display()),
        }
    }
}

/// The address of a server, from its URL.
#[derive(Debug, Clone)]
pub struct Address {
    scheme: Scheme,
    host: String,
    /// Host and port, for the header `Host` and for the socket.
    pub authority: String,
}

/// The flags for connecting to a server.
#[derive(Debug, Args)]
pub struct ClientArgs {
    /// The server's bearer token
    #[arg(long, env = variables::API_TOKEN, hide_env_values = true, value_name = "TOKEN")]
    pub api_token: Option<String>,

    /// For https, trust the certificates of this PEM file instead of the system's
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
        Ok(Target::Server(Address { scheme, authority: format!("{host}:{port}"), host }))
    }
}

impl Address {
    /// Returns the name that the server's certificate must have.
    pub fn name(&self) -> Result<ServerName<'static>> {
        // An IPv6 address is in brackets.
        let host = self.host.trim_matches(['[', ']']).to_owned();
        ServerName::try_from(host).context("a certificate cannot have this host name")
    }
}

impl Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.scheme == Scheme::Https { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority)
    }
}

impl ClientArgs {
    /// Reads the trusted certificates.
    pub fn endpoint(&self, address: &Address) -> Result<Endpoint> {
        let tls = match address.scheme {
            Scheme::Http => None,
            Scheme::Https => Some(connector(self.ca_cert.as_deref())?),
        };
        Ok(Endpoint { address: address.clone(), token: self.api_token.clone(), tls })
    }
}

impl Endpoint {
    /// Returns the endpoint of a server in this process that asks for no token.
    pub fn local(listener: &TcpListener) -> Result<Endpoint> {
        Ok(Endpoint::at(listener.local_addr()?))
    }

    /// Returns the endpoint of a server on this machine that listens on an address, without a token.
    pub fn near(address: &Listen) -> Result<Endpoint> {
        let mut at = *address.addresses()?.first().context("the name has no address")?;
        match at.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => at.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => at.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        Ok(Endpoint::at(at))
    }

    fn at(at: SocketAddr) -> Endpoint {
        let address = Address { scheme: Scheme::Http, host: at.ip().to_string(), authority: at.to_string() };
        Endpoint { address, token: None, tls: None }
    }
}

fn connector(ca_cert: Option<&Path>) -> Result<TlsConnector> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?.with_root_certificates(trusted(ca_cert)?);
    Ok(TlsConnector::from(Arc::new(builder.with_no_client_auth())))
}

fn trusted(ca_cert: Option<&Path>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    match ca_cert {
        Some(path) => {
            let refused = || format!("the certificates in {} are refused", path.display());
            for certificate in CertificateDer::pem_file_iter(path).with_context(refused)? {
                roots.add(certificate.with_context(refused)?).with_context(refused)?;
            }
            ensure!(!roots.is_empty(), "{}: the file holds no PEM certificate", refused());
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            ensure!(!roots.is_empty(), "the system has no trusted certificates; name a file by --ca-cert");
        }
    }
    Ok(roots)
}
