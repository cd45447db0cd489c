//! The certificates that a client of https trusts.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{WebPkiServerVerifier, verify_server_name};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

/// Certificates of a file.
pub type Certificates = Vec<CertificateDer<'static>>;

/// The certificates that a client trusts.
pub enum Trusted {
    System,
    Given(Certificates),
    /// The server's own, which may be for other names than the one that it is asked by, such as localhost.
    Own(Certificates),
}

/// Reads the certificates of a PEM file that a flag names.
pub fn read(path: &Path, flag: &str) -> Result<Certificates> {
    let refused = || format!("{flag}: the certificates in {} are refused", path.display());
    let read = CertificateDer::pem_file_iter(path).with_context(refused)?;
    let certificates = read.collect::<Result<Certificates, _>>().with_context(refused)?;
    ensure!(!certificates.is_empty(), "{}: the file holds no PEM certificate", refused());
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots.add(certificate.clone()).with_context(refused)?;
    }
    Ok(certificates)
}

/// Returns a connector that trusts these certificates.
pub fn connector(trusted: Trusted) -> Result<TlsConnector> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let (given, is_own) = match trusted {
        Trusted::System => {
            let config = builder.with_root_certificates(of_system()?).with_no_client_auth();
            return Ok(TlsConnector::from(Arc::new(config)));
        }
        Trusted::Given(given) => (given, false),
        Trusted::Own(own) => (own, true),
    };
    let verifier = Arc::new(Verifier::new(given, is_own, provider)?);
    let config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn of_system() -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    ensure!(!roots.is_empty(), "the system has no trusted certificates; name a file by --ca-cert");
    Ok(roots)
}

/// Trusts what the given certificates have signed, and a server whose certificate is one of them to the last byte.
///
/// The second is for what `openssl req -x509` writes: it says CA:TRUE and names a host only as its subject, if at all, so webpki
/// takes it for no server's. curl and Python do.
#[derive(Debug)]
struct Verifier {
    given: Certificates,
    /// True if the given certificate may have any name, and any issuer.
    is_own: bool,
    webpki: Arc<WebPkiServerVerifier>,
}

impl Verifier {
    fn new(given: Certificates, is_own: bool, provider: Arc<CryptoProvider>) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(given.iter().cloned());
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        Ok(Verifier { given, is_own, webpki })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.webpki.verify_server_cert(end_entity, intermediates, name, ocsp_response, now);
        if !self.given.contains(end_entity) {
            return verified;
        }
        let named = match verified {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. }
                | CertificateError::UnknownIssuer
                | CertificateError::Other(_),
            )) if self.is_own => Ok(()),
            // One that is expired, or not yet valid, is another error, which webpki finds before it looks for CA:TRUE.
            Err(Error::InvalidCertificate(CertificateError::Other(_))) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)
            }
            verified => verified.map(drop),
        };
        match named {
            Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }))
                if presented.is_empty() => {}
            named => named?,
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}
