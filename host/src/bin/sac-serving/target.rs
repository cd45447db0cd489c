//! Where `predict` and `bench` ask, and how.

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use http::Uri;
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// A server, or a checkpoint that is to be served for once.
#[derive(Debug, Clone)]
pub enum Target {
    Server(Address),
    File(PathBuf),
}

#[derive(Debug, Clone)]
pub struct Address {
    scheme: Scheme,
    host: String,
    /// Host and port, as the header `Host` says them and as a socket is connected to.
    pub authority: String,
}

/// How a server is spoken to.
#[derive(Debug, Args)]
pub struct Manner {
    /// The server's bearer token
    #[arg(long, env = "SAC_API_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub api_token: Option<String>,

    /// Of https, trust the certificates of this PEM file instead of the system's
    #[arg(long, value_name = "FILE")]
    pub ca_cert: Option<PathBuf>,
}

/// A server with all that it takes to speak to it.
#[derive(Clone)]
pub struct Server {
    pub address: Address,
    pub token: Option<String>,
    /// None for http.
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
            return Ok(Target::File(text.into()));
        }
        let uri = text.parse::<Uri>()?;
        let (scheme, usual_port) = match uri.scheme_str() {
            Some("http") => (Scheme::Http, 80),
            Some("https") => (Scheme::Https, 443),
            _ => bail!("http:// or https:// is expected"),
        };
        ensure!(
            uri.path() == "/" && uri.query().is_none(),
            "the server's address alone is wanted, without {}",
            uri.path()
        );
        let authority = uri.authority().context("there is no host in it")?;
        let host = authority.host().to_owned();
        let port = match authority.port_u16() {
            Some(port) => port,
            None if authority.as_str() == host => usual_port,
            None => bail!("{} is no port", authority.as_str().trim_start_matches(&host).trim_start_matches(':')),
        };
        ensure!(!authority.as_str().contains('@'), "a user and a password are of no use: a server asks for a token");
        Ok(Target::Server(Address { scheme, authority: format!("{host}:{port}"), host }))
    }
}

impl Address {
    /// Whom the server's certificate has to name.
    pub fn name(&self) -> Result<ServerName<'static>> {
        // An address of IPv6 stands within brackets.
        let host = self.host.trim_matches(['[', ']']).to_owned();
        ServerName::try_from(host).context("the host is no name that a certificate could have")
    }
}

impl Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.scheme == Scheme::Https { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority)
    }
}

impl Manner {
    /// Reads the certificates that are trusted.
    pub fn of(&self, address: &Address) -> Result<Server> {
        let tls = match address.scheme {
            Scheme::Http => None,
            Scheme::Https => Some(connector(self.ca_cert.as_deref())?),
        };
        Ok(Server { address: address.clone(), token: self.api_token.clone(), tls })
    }
}

impl Server {
    /// Of this process, and open.
    pub fn local(listener: &TcpListener) -> Result<Server> {
        let at = listener.local_addr()?;
        let address = Address { scheme: Scheme::Http, host: at.ip().to_string(), authority: at.to_string() };
        Ok(Server { address, token: None, tls: None })
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
            let read = || format!("no certificates of {}", path.display());
            for certificate in CertificateDer::pem_file_iter(path).with_context(read)? {
                roots.add(certificate.with_context(read)?).with_context(read)?;
            }
            ensure!(!roots.is_empty(), "{}: it holds no certificate in PEM", read());
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            ensure!(!roots.is_empty(), "the system has no certificates to trust: name some by --ca-cert");
        }
    }
    Ok(roots)
}
