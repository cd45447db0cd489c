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

use crate::watch::Live;

/// A certificate chain and its key, both PEM files. A connection begun after they changed has the new ones; while the two
/// do not belong together, as in the middle of a renewal, the ones before.
pub struct Tls {
    chain: Live<Chain>,
    key: Live<PrivateKeyDer<'static>>,
    /// Written by whoever finds that either of the two changed.
    built: Mutex<Built>,
}

type Chain = Vec<CertificateDer<'static>>;

struct Built {
    chain: Arc<Chain>,
    key: Arc<PrivateKeyDer<'static>>,
    /// Of the two, or of the last two before that belong together.
    config: Arc<ServerConfig>,
}

impl Tls {
    /// Both files must be there and belong together, to begin with. Blocks.
    pub fn new(chain: &Path, key: &Path) -> Result<Self> {
        let chain = Live::new(chain, parse_chain).with_context(|| format!("no certificate of {}", chain.display()))?;
        let key = Live::new(key, parse_key).with_context(|| format!("no private key of {}", key.display()))?;
        let (now, its_key) = (chain.get(), key.get());
        let config = build(&now, &its_key).context("the certificate and the private key")?;
        Ok(Tls { chain, key, built: Mutex::new(Built { chain: now, key: its_key, config }) })
    }

    /// For a connection that begins now.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let (chain, key) = (self.chain.get(), self.key.get());
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&built.chain, &chain) || !Arc::ptr_eq(&built.key, &key) {
            let config = build(&chain, &key).unwrap_or_else(|error| {
                warn!("the certificate and the key before stay: {error:#}");
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
    ensure!(!chain.is_empty(), "it holds no certificate in PEM");
    Ok(chain)
}

fn parse_key(bytes: &[u8]) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(bytes).context("it holds no private key in PEM")
}
