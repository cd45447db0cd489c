//! Serves a file of the pages: compressed, and only if the browser does not have it yet.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap,
    HeaderValue, IF_NONE_MATCH, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};
use http_body_util::Full;
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;

/// A page may load only from this server, so it works without a network.
const CONTENT_POLICY: &str =
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'";

/// A file of the pages.
pub(crate) struct Page {
    /// Its path, or another text that belongs to this file alone.
    name: String,
    kind: HeaderValue,
    content: Bytes,
}

/// A file that a browser asked for, made ready once.
struct Ready {
    etag: HeaderValue,
    gzip: Bytes,
}

/// The files that browsers asked for, by their names. The files are embedded, so there are not more of them.
static READY: LazyLock<Mutex<HashMap<String, Arc<Ready>>>> = LazyLock::new(Mutex::default);

impl Page {
    pub(crate) fn new(name: &str, kind: &str, content: Bytes) -> Self {
        let kind = HeaderValue::from_str(kind).unwrap_or(HeaderValue::from_static("application/octet-stream"));
        Page { name: name.to_owned(), kind, content }
    }

    /// Returns the response to a request with these headers.
    pub(crate) async fn respond(self, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.content.clone()));
        response.headers_mut().extend([
            (CONTENT_TYPE, self.kind),
            (CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_POLICY)),
            (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            // A browser asks each time, so that the page of a new version is seen at once.
            (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (VARY, HeaderValue::from_static("accept-encoding")),
        ]);
        let known = files().get(&self.name).cloned();
        let ready = match known {
            Some(ready) => ready,
            None => match spawn_blocking(move || make_ready(self.name, &self.content)).await {
                Ok(ready) => ready,
                // The file is sent as it is.
                Err(_) => return response,
            },
        };
        response.headers_mut().insert(ETAG, ready.etag.clone());
        if accepts_gzip(headers) {
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            *response.body_mut() = Full::new(ready.gzip.clone());
        }
        if headers.get_all(IF_NONE_MATCH).iter().any(|known| has_etag(known, &ready.etag)) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.body_mut() = Full::default();
            response.headers_mut().remove(CONTENT_ENCODING);
            response.headers_mut().remove(CONTENT_TYPE);
        }
        response
    }
}

fn files() -> MutexGuard<'static, HashMap<String, Arc<Ready>>> {
    // A panic cannot leave a file half made.
    READY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Compresses a file, which takes tens of milliseconds for the largest.
fn make_ready(name: String, content: &[u8]) -> Arc<Ready> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to memory cannot fail.
    let gzip = encoder.write_all(content).and_then(|()| encoder.finish()).unwrap_or_default();
    // The tag is weak, because the compressed file has the same.
    let etag = format!("W/\"{}\"", hex::encode(&Sha256::digest(content)[..16]));
    let etag = HeaderValue::from_str(&etag).unwrap_or(HeaderValue::from_static("W/\"\""));
    let ready = Arc::new(Ready { etag, gzip: gzip.into() });
    files().insert(name, ready.clone());
    ready
}

/// Returns `true` if the client takes gzip.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let is_refused = weight.trim().strip_prefix("q=").is_some_and(|weight| weight.parse() == Ok(0.0));
        name.trim().eq_ignore_ascii_case("gzip") && !is_refused
    })
}

/// Returns `true` if one of the tags that a client has is this one.
fn has_etag(known: &HeaderValue, etag: &HeaderValue) -> bool {
    let (Ok(known), Ok(etag)) = (known.to_str(), etag.to_str()) else { return false };
    known.split(',').map(str::trim).any(|known| known == etag || known == "*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_accepted_unless_it_is_not_named_or_has_no_weight() {
        for (value, expected) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5, br", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0", false),
            ("br", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(value))]);
            assert_eq!(accepts_gzip(&headers), expected, "{value}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
