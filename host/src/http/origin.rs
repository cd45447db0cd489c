//! Recognises requests that a browser sends for a page of another site.

use std::net::IpAddr;

use http::Uri;
use http::header::{HOST, HeaderMap, HeaderValue, ORIGIN};
use http::uri::Authority;

use crate::http::cors::Origins;

/// Returns `true` if a browser sends the request for a page of another site.
///
/// A browser names that site in `Origin` if the request could change anything. In `Host` it names this server as the page
/// does. Anybody can give a host name to this machine's address (DNS rebinding), so only `localhost` and addresses are
/// accepted. Clients other than browsers can send any header, so this protects only the users of browsers. Pages of the
/// `allowed` origins count as this server's own.
pub(crate) fn is_from_other_site(uri: &Uri, headers: &HeaderMap, allowed: Option<&Origins>) -> bool {
    let host = host(uri, headers);
    if host.is_some_and(|host| !is_this_machine(host)) {
        return true;
    }
    // A proxy that speaks HTTP/1.0 may leave the host out. Then no origin is known to be this server's.
    let is_foreign = |origin: &HeaderValue| host.is_none_or(|host| is_foreign(origin, host));
    match headers.get(ORIGIN) {
        Some(origin) if is_allowed(origin, allowed) => false,
        origin => origin.is_some_and(is_foreign) || is_loaded_by_other_site(headers),
    }
}

/// Returns `true` if a browser opens a WebSocket for a page that is neither of this server, by whatever name, nor of an `allowed`
/// origin. No other check of a browser keeps such a page from reading the messages.
pub(crate) fn is_socket_of_other_site(uri: &Uri, headers: &HeaderMap, allowed: Option<&Origins>) -> bool {
    let host = host(uri, headers).unwrap_or_default();
    headers.get(ORIGIN).is_some_and(|origin| !is_allowed(origin, allowed) && is_foreign(origin, host))
}

/// Returns the name by which a client asks this server.
fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    uri.authority().map(Authority::as_str).or_else(|| headers.get(HOST).map(text))
}

fn is_allowed(origin: &HeaderValue, allowed: Option<&Origins>) -> bool {
    allowed.is_some_and(|allowed| allowed.contain(origin))
}

/// Returns `true` if an origin is not that of the pages of `host`.
fn is_foreign(origin: &HeaderValue, host: &str) -> bool {
    text(origin).split_once("://").is_none_or(|(_, site)| site != host)
}

/// Returns `true` for an image, a script or the like that a page of another origin loads. Such a request has no `Origin`, but
/// browsers send `Sec-Fetch-Site`. A link that the user follows is allowed.
fn is_loaded_by_other_site(headers: &HeaderMap) -> bool {
    let value = |name| headers.get(name).map_or("", text);
    matches!(value("sec-fetch-site"), "cross-site" | "same-site") && value("sec-fetch-mode") != "navigate"
}

/// Returns the value, or an empty string if it is not text. No host or site equals the empty string.
fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or_default()
}

fn is_this_machine(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn is_refused(host: Option<&'static str>, origin: Option<&'static str>) -> bool {
        let named = [(HOST, host), (ORIGIN, origin)].into_iter();
        let headers = named.filter_map(|(name, value)| Some((name, HeaderValue::from_static(value?)))).collect();
        is_from_other_site(&Uri::from_static("/sac/predict"), &headers, None)
    }

    #[test]
    fn requests_of_this_servers_pages_and_of_other_clients_are_accepted() {
        for host in ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "[::1]:8000", "192.0.2.1"] {
            assert!(!is_refused(Some(host), None), "{host}");
        }
        assert!(!is_refused(Some("localhost:8000"), Some("http://localhost:8000")));
        assert!(!is_refused(Some("[::1]:8000"), Some("https://[::1]:8000")));
        assert!(!is_refused(None, None));
        for origin in ["http://evil.example", "null", "file://"] {
            assert!(is_refused(None, Some(origin)), "{origin}");
        }
    }

    #[test]
    fn what_a_page_of_another_site_loads_is_refused_and_a_link_is_followed() {
        for (site, mode, expected) in [
            ("cross-site", "no-cors", true),
            ("same-site", "no-cors", true),
            ("cross-site", "navigate", false),
            ("same-origin", "cors", false),
            ("none", "navigate", false),
        ] {
            let headers = [("host", "localhost"), ("sec-fetch-site", site), ("sec-fetch-mode", mode)];
            let headers = headers.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            assert_eq!(
                is_from_other_site(&Uri::from_static("/status"), &headers.into_iter().collect(), None),
                expected,
                "{site}"
            );
        }
    }

    #[test]
    fn other_origins_and_host_names_that_anyone_can_register_are_refused() {
        for origin in ["http://example.com", "http://localhost:3000", "http://localhost", "null", "", "localhost:8000"]
        {
            assert!(is_refused(Some("localhost:8000"), Some(origin)), "{origin}");
        }
        for host in
            ["example.com", "example.com:8000", "localhost.example.com", "", "127.0.0.1.example.com:8000", "a b"]
        {
            assert!(is_refused(Some(host), None), "{host}");
        }
        assert!(is_refused(Some("example.com:8000"), Some("http://example.com:8000")));
        let absolute = Uri::from_static("http://example.com/sac/predict");
        assert!(is_from_other_site(&absolute, &HeaderMap::new(), None));
    }

    #[test]
    fn pages_of_allowed_origins_are_accepted_by_the_names_of_this_machine_alone() {
        let allowed = Origins::new(["https://example.com".parse().unwrap()]);
        for (host, origin, refused) in [
            ("localhost", "https://example.com", false),
            ("localhost", "https://example.org", true),
            ("localhost", "http://example.com", true),
            ("example.com", "https://example.com", true),
        ] {
            let headers =
                [("host", host), ("origin", origin), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "cors")];
            let headers = headers.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            let uri = Uri::from_static("/sac/predict");
            assert_eq!(
                is_from_other_site(&uri, &headers.into_iter().collect(), Some(&allowed)),
                refused,
                "{host} {origin}"
            );
        }
    }
}
