//! Tokens and certificates that are replaced while the server runs, and what clients without a token can see.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rcgen::CertifiedKey;
use sac_serving::{Config, HttpConfig, Tls, Tokens};
use sac_tests::{Server, Settings, checkpoint, patient_http, publish};
use tempfile::tempdir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Returns `true` for each token that authorizes a request.
async fn valid<const N: usize>(server: &Server, tokens: [&str; N]) -> [bool; N] {
    let mut valid = [false; N];
    for (valid, token) in valid.iter_mut().zip(tokens) {
        *valid = server.client().await.with_token(token).get("/sac/model/info").await.status == 200;
    }
    valid
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_request_needs_a_token_that_the_file_holds_now() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let file = folder.path().join("tokens");
    fs::write(&file, "old\n").unwrap();
    let tokens = Tokens::new(["given".to_owned()]).with_file(&file).unwrap();
    let server = Server::with_config(Config { tokens, ..Settings::folder(folder.path()).config() }).await;
    let all = ["given", "old", "new", "", "ol", "older"];
    assert_eq!(valid(&server, all).await, [true, true, false, false, false, false]);
    fs::write(&file, "old\nnew\n").unwrap();
    assert_eq!(valid(&server, all).await, [true, true, true, false, false, false]);
    publish(&file, b"new\n");
    assert_eq!(valid(&server, all).await, [true, false, true, false, false, false]);
    // A file without a token leaves the tokens as they were.
    for nothing in [&b"\n"[..], b"", b"\xff\xfe"] {
        publish(&file, nothing);
        assert_eq!(valid(&server, all).await, [true, false, true, false, false, false], "{nothing:?}");
    }
    fs::remove_file(&file).unwrap();
    assert_eq!(valid(&server, all).await, [true, false, true, false, false, false]);
    publish(&file, b"older");
    assert_eq!(valid(&server, all).await, [true, false, false, false, false, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_the_token_learns_no_path_and_no_reason() {
    let folder = tempdir().unwrap();
    let tokens = Tokens::new(["hidden-token".to_owned()]);
    let server = Server::with_config(Config { tokens, ..Settings::folder(folder.path()).config() }).await;
    let directory = folder.path().to_str().unwrap();
    for content in [&b"broken"[..], &checkpoint("pendulum_00500"), b"broken again"] {
        publish(&folder.path().join("model_a.onnx"), content);
        for path in ["/sac/health", "/sac/model/info", "/healthz", "/", "/sac/none"] {
            let answer = server.client().await.get(path).await;
            let shown = format!("{} {}", answer.head(), answer.json());
            for secret in [directory, "model_a", "hidden", "onnx", "sha256"] {
                assert!(!shown.contains(secret), "{path}: {shown}");
            }
        }
        for path in ["/sac/predict", "/sac/predict/batch", "/sac/benchmark", "/sac/model/reload"] {
            let answer = server.client().await.with_token("wrong").post(path, serde_json::json!({})).await;
            assert_eq!(answer.detail(401), "missing or wrong bearer token", "{path}");
        }
    }
    let info = server.client().await.with_token("hidden-token").info().await.to_string();
    assert!(info.contains(directory) && !info.contains("hidden"), "{info}");
}

/// Writes a new certificate and its key. Returns the certificate, for a client to trust.
pub fn renew(chain: &Path, key: &Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    publish(chain, cert.pem().as_bytes());
    publish(key, signing_key.serialize_pem().as_bytes());
    cert.der().clone()
}

async fn connect(server: &Server, trusted: &CertificateDer<'static>) -> io::Result<TlsStream<TcpStream>> {
    secure(TcpStream::connect(server.address).await?, trusted).await
}

/// Starts TLS, as a client that trusts one certificate.
pub async fn secure<S>(stream: S, trusted: &CertificateDer<'static>) -> io::Result<TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let connector = TlsConnector::from(Arc::new(config.with_no_client_auth()));
    connector.connect("localhost".try_into().unwrap(), stream).await
}

pub async fn healthz(stream: &mut TlsStream<impl AsyncRead + AsyncWrite + Unpin>) -> String {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_begins_after_the_certificate_changed_gets_the_new_one() {
    let folder = tempdir().unwrap();
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    let old = renew(&chain, &key);
    let tls = Some(Arc::new(Tls::new(&chain, &key).unwrap()));
    let http = HttpConfig { tls, ..patient_http() };
    let server = Server::with_http(Settings::folder(folder.path()).config(), http).await;
    let mut before = connect(&server, &old).await.unwrap();
    assert_eq!(healthz(&mut before).await, "HTTP/1.1 200");

    let (next_chain, next_key) = (folder.path().join("next.pem"), folder.path().join("next.key"));
    let new = renew(&next_chain, &next_key);
    fs::rename(&next_chain, &chain).unwrap();
    // The key still belongs to the old certificate.
    assert!(connect(&server, &old).await.is_ok() && connect(&server, &new).await.is_err());
    fs::rename(&next_key, &key).unwrap();
    assert!(connect(&server, &old).await.is_err());
    assert_eq!(healthz(&mut connect(&server, &new).await.unwrap()).await, "HTTP/1.1 200");
    publish(&chain, b"no certificate");
    assert!(connect(&server, &new).await.is_ok());

    let mut plain = TcpStream::connect(server.address).await.unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
}

#[test]
fn a_certificate_and_a_key_that_do_not_belong_together_are_refused() {
    let folder = tempdir().unwrap();
    let path = |name| folder.path().join(name);
    renew(&path("a.pem"), &path("a.key"));
    renew(&path("b.pem"), &path("b.key"));
    assert!(Tls::new(&path("a.pem"), &path("a.key")).is_ok());
    for (chain, key) in [("a.pem", "b.key"), ("a.key", "a.key"), ("a.pem", "a.pem"), ("a.pem", "missing")] {
        assert!(Tls::new(&path(chain), &path(key)).is_err(), "{chain} {key}");
    }
}
