//! Lets pages of other origins read responses.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{Method, Request, Response, Uri};
use http_body_util::Full;
use thiserror::Error;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_layer::Layer;
use tower_service::Service;

use crate::http::response::INFERENCE_HEADER;

/// The time for which a browser remembers what a page may ask for.
const MAX_AGE: Duration = Duration::from_secs(600);

/// The origins whose pages may send requests and read the responses.
#[derive(Debug, Clone)]
pub struct Origins {
    origins: Arc<[Origin]>,
    layer: CorsLayer,
}

/// An origin, such as `https://example.com:8443`, or all of them (`*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(HeaderValue);

/// The text is not an [`Origin`].
#[derive(Debug, Error, PartialEq, Eq)]
#[error("an origin is `http://HOST`, `https://HOST`, either with a `:PORT`, or `*`: no path, and no `/` at the end")]
pub struct InvalidOrigin;

const ANY: HeaderValue = HeaderValue::from_static("*");

impl Origins {
    /// Makes the set of these origins. With `*` among them, it is the set of all.
    pub fn new(origins: impl IntoIterator<Item = Origin>) -> Self {
        let origins = origins.into_iter().collect::<Arc<[Origin]>>();
        let is_any = origins.iter().any(|origin| origin.0 == ANY);
        let allowed = match is_any {
            true => AllowOrigin::any(),
            false => AllowOrigin::list(origins.iter().map(|origin| origin.0.clone())),
        };
        let layer = CorsLayer::new()
            .allow_origin(allowed)
            // Cookies of a proxy before this server. Browsers refuse them for all origins at once.
            .allow_credentials(!is_any)
            .allow_methods([Method::GET, Method::HEAD, Method::POST])
            .allow_headers([AUTHORIZATION, CONTENT_TYPE, CONTENT_ENCODING, INFERENCE_HEADER])
            .expose_headers([INFERENCE_HEADER, RETRY_AFTER, WWW_AUTHENTICATE, HeaderName::from_static("allow")])
            .max_age(MAX_AGE);
        Origins { origins, layer }
    }

    /// Returns `true` if pages of an origin may read responses.
    pub(crate) fn contain(&self, origin: &HeaderValue) -> bool {
        self.origins.iter().any(|allowed| allowed.0 == ANY || allowed.0 == *origin)
    }

    /// Answers a preflight, or adds headers to the response that `answer` gives.
    pub(crate) async fn answer<B, R>(&self, request: Request<B>, answer: impl FnOnce(Request<B>) -> R) -> Reply
    where
        R: Future<Output = Reply>,
    {
        let Ok(response) = self.layer.layer(Once(Some(answer))).call(request).await;
        response
    }
}

type Reply = Response<Full<Bytes>>;

/// A service of one request.
struct Once<F>(Option<F>);

impl<F, R, B> Service<Request<B>> for Once<F>
where
    F: FnOnce(Request<B>) -> R,
    R: Future<Output = Reply>,
{
    type Response = Reply;
    type Error = Infallible;
    type Future = Infallibly<R>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        Infallibly(self.0.take().map(|answer| Box::pin(answer(request))))
    }
}

/// A response that is never an error. `None` is never ready: the service is called once.
struct Infallibly<R>(Option<Pin<Box<R>>>);

impl<R: Future> Future for Infallibly<R> {
    type Output = Result<R::Output, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Some(answer) => answer.as_mut().poll(context).map(Ok),
            None => Poll::Pending,
        }
    }
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    /// Browsers send origins in lowercase, without the port that is the scheme's own.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.to_ascii_lowercase();
        let uri = text.parse::<Uri>().map_err(|_| InvalidOrigin)?;
        let is_origin = || {
            let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
            let is_plain = ["http", "https"].contains(&scheme) && !authority.as_str().contains('@');
            let own_port = if scheme == "http" { 80 } else { 443 };
            let is_short = authority.port_u16() != Some(own_port);
            (is_plain && is_short && text == format!("{scheme}://{authority}")).then_some(())
        };
        if text != "*" && is_origin().is_none() {
            return Err(InvalidOrigin);
        }
        HeaderValue::from_str(&text).map(Origin).map_err(|_| InvalidOrigin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_a_host_and_a_port_as_browsers_send_them() {
        for text in ["*", "https://example.com", "http://localhost:3000", "http://[::1]:3000", "HTTPS://Example.com"] {
            let expected = HeaderValue::from_str(&text.to_lowercase()).unwrap();
            assert_eq!(text.parse::<Origin>(), Ok(Origin(expected)), "{text}");
        }
        for text in [
            "",
            "example.com",
            "https://example.com/",
            "https://example.com/x",
            "file:///x",
            "null",
            "https://*.com/",
            "https://a@b",
            "https://example.com:443",
            "http://example.com:80",
            "ws://example.com",
            "https://",
        ] {
            assert_eq!(text.parse::<Origin>(), Err(InvalidOrigin), "{text}");
        }
    }
}
