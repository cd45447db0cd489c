use std::net::IpAddr;

use http::Uri;
use http::header::{HOST, HeaderMap, HeaderValue, ORIGIN};
use http::uri::Authority;

/// Whether a browser asks on behalf of a page of another site. It names that site in `Origin` wherever something could be
/// changed; and in `Host` the name by which it found this server, which is one that anybody may give to this machine's
/// address (DNS rebinding), unless it is `localhost` or the address itself. Who is no browser names what he likes.
pub(crate) fn is_another_sites(uri: &Uri, headers: &HeaderMap) -> bool {
    let named = uri.authority().map(Authority::as_str);
    let Some(host) = named.or_else(|| headers.get(HOST).map(text)) else { return false };
    let is_foreign = |origin: &HeaderValue| text(origin).split_once("://").is_none_or(|(_, site)| site != host);
    !is_this_machine(host) || headers.get(ORIGIN).is_some_and(is_foreign) || is_fetched_by_another(headers)
}

/// What a page of another origin loads, an image or a script, has no `Origin`, but browsers tell; a link that leads here
/// is the user's own word.
fn is_fetched_by_another(headers: &HeaderMap) -> bool {
    let told = |name| headers.get(name).map_or("", text);
    matches!(told("sec-fetch-site"), "cross-site" | "same-site") && told("sec-fetch-mode") != "navigate"
}

/// What no name or site is like, where it is no text.
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

    fn asked(host: Option<&'static str>, origin: Option<&'static str>) -> bool {
        let named = [(HOST, host), (ORIGIN, origin)].into_iter();
        let headers = named.filter_map(|(name, value)| Some((name, HeaderValue::from_static(value?)))).collect();
        is_another_sites(&Uri::from_static("/sac/predict"), &headers)
    }

    #[test]
    fn a_page_of_this_server_and_whoever_is_no_browser_is_no_other_site() {
        for host in ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "[::1]:8000", "192.0.2.1"] {
            assert!(!asked(Some(host), None), "{host}");
        }
        assert!(!asked(Some("localhost:8000"), Some("http://localhost:8000")));
        assert!(!asked(Some("[::1]:8000"), Some("https://[::1]:8000")));
        assert!(!asked(None, None));
    }

    #[test]
    fn what_a_page_of_another_site_loads_is_its_own_and_a_link_the_users() {
        for (site, mode, expected) in [
            ("cross-site", "no-cors", true),
            ("same-site", "no-cors", true),
            ("cross-site", "navigate", false),
            ("same-origin", "cors", false),
            ("none", "navigate", false),
        ] {
            let told = [("host", "localhost"), ("sec-fetch-site", site), ("sec-fetch-mode", mode)];
            let told = told.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            assert_eq!(is_another_sites(&Uri::from_static("/status"), &told.into_iter().collect()), expected, "{site}");
        }
    }

    #[test]
    fn another_origin_and_a_name_that_anyone_may_give_are_another_sites() {
        for origin in ["http://example.com", "http://localhost:3000", "http://localhost", "null", "", "localhost:8000"]
        {
            assert!(asked(Some("localhost:8000"), Some(origin)), "{origin}");
        }
        for host in
            ["example.com", "example.com:8000", "localhost.example.com", "", "127.0.0.1.example.com:8000", "a b"]
        {
            assert!(asked(Some(host), None), "{host}");
        }
        assert!(asked(Some("example.com:8000"), Some("http://example.com:8000")));
        let absolute = Uri::from_static("http://example.com/sac/predict");
        assert!(is_another_sites(&absolute, &HeaderMap::new()));
    }
}
