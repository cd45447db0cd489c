//! The files of the dashboard and of the documentation. All of them are embedded, and none loads anything from elsewhere.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::Response;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http_body_util::Full;
use utoipa_swagger_ui::Config;

/// A page may load only from this server, so it works without a network.
const CONTENT_POLICY: &str =
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'";

/// The documentation's viewer. Its validator is off, because it would load from another origin.
static DOCS: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    let config = Config::from("/sac/openapi.json").validator_url("none");
    Arc::new(config.try_it_out_enabled(true))
});

/// Returns a file of the dashboard.
pub(crate) fn dashboard(path: &str) -> Option<Response<Full<Bytes>>> {
    let (kind, content) = match path {
        "/" => ("text/html; charset=utf-8", include_str!("../../pages/dashboard.html")),
        "/dashboard.css" => ("text/css; charset=utf-8", include_str!("../../pages/dashboard.css")),
        "/dashboard.js" => ("text/javascript; charset=utf-8", include_str!("../../pages/dashboard.js")),
        _ => return None,
    };
    Some(page(kind, content.into()))
}

/// Returns a file of the documentation's viewer by its path below `/docs/`.
pub(crate) fn docs(path: &str) -> Option<Response<Full<Bytes>>> {
    // An error would mean that an embedded file is broken. A test loads the page.
    let file = utoipa_swagger_ui::serve(path, DOCS.clone()).ok()??;
    let bytes = match file.bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    };
    Some(page(&file.content_type, bytes))
}

fn page(kind: &str, content: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(content));
    let kind = HeaderValue::from_str(kind).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    response.headers_mut().extend([
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_POLICY)),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ]);
    response
}
