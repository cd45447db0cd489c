//! The token of a page. Browsers let no page set headers for a WebSocket, only the protocols that it offers.

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderValue, SEC_WEBSOCKET_PROTOCOL};

/// The protocol of a stream. A browser expects the server to choose one of those that a page offers.
const PROTOCOL: &str = "sac";
/// The beginning of an offer that carries the token.
const TOKEN: &str = "bearer.";

/// Turns an offered token into the `Authorization` of the request, unless it has one, and returns the protocol that the response
/// names.
pub(super) fn accept(headers: &mut HeaderMap) -> Option<HeaderValue> {
    let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let offered = offered.flat_map(|value| value.split(',')).map(str::trim);
    let (mut token, mut is_offered) = (None, false);
    for offer in offered {
        is_offered |= offer == PROTOCOL;
        token = token.or_else(|| HeaderValue::try_from(format!("Bearer {}", offer.strip_prefix(TOKEN)?)).ok());
    }
    if let Some(token) = token {
        headers.entry(AUTHORIZATION).or_insert(token);
    }
    is_offered.then(|| HeaderValue::from_static(PROTOCOL))
}
