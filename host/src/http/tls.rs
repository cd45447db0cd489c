//! The certificate and the key of HTTPS.

use std::fmt::{self, Debug};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tracing::warn;

use crate::watch::WatchedFile;

/// A certificate chain and its private key, from two PEM files that are read again when they change.
///
/// A new connection uses the new files. While the two do not match, as in the middle of a renewal, it uses the previous ones.
pub struct Tls {
    chain: WatchedFile<Chain>,
    key: WatchedFile<PrivateKeyDer<'static>>,
    /// Written by the connection that finds either file changed.
    built: Mutex<Built>,
}

type Chain = Vec<CertificateDer<'static>>;

/// A TLS configuration with the files that it was built from.
struct Built {
    chain: Arc<Chain>,
    key: Arc<PrivateKeyDer<'static>>,
    /// Built from `chain` and `key`, or from the last two that matched.
    config: Arc<ServerConfig>,
}

impl Tls {
    /// Reads both files. Blocks.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read or parsed, or if the key does not belong to the certificate.
    pub fn new(chain: &Path, key: &Path) -> Result<Self> {
        let chain = WatchedFile::new(chain, parse_chain).context("the certificate is refused")?;
        let key = WatchedFile::new(key, parse_key).context("the private key is refused")?;
        let (now, its_key) = (chain.latest(), key.latest());
        let config = build(&now, &its_key).context("the certificate and the private key are refused")?;
        Ok(Tls { chain, key, built: Mutex::new(Built { chain: now, key: its_key, config }) })
    }

    /// Returns the acceptor for a new connection.
    pub(crate) async fn acceptor(&self) -> TlsAcceptor {
        let (chain, key) = (self.chain.get().await, self.key.get().await);
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&built.chain, &chain) || !Arc::ptr_eq(&built.key, &key) {
            let config = build(&chain, &key).unwrap_or_else(|error| {
                warn!("the previous certificate and key stay in use: {error:#}");
                built.config.clone()
            });
            *built = Built { chain, key, config };
        }
        TlsAcceptor::from(built.config.clone())
    }
}

impl Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("chain", &self.chain).field("key", &self.key).finish()
    }
}

fn build(chain: &Chain, key: &PrivateKeyDer<'static>) -> Result<Arc<ServerConfig>> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?.with_no_client_auth();
    let mut config = builder.with_single_cert(chain.clone(), key.clone_key())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn parse_chain(bytes: &[u8]) -> Result<Chain> {
    let chain = CertificateDer::pem_slice_iter(bytes).collect::<Result<Chain, _>>()?;
    ensure!(!chain.is_empty(), "the file holds no PEM certificate");
    Ok(chain)
}

fn parse_key(bytes: &[u8]) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(bytes).context("the file holds no PEM private key")
}
