//! The path below which a proxy shows this server.

use std::str::FromStr;

use bytes::Bytes;
use http::header::{HeaderValue, LOCATION};
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::Full;
use thiserror::Error;

/// The path below which a proxy shows this server, such as `/rl`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasePath(String);

/// The text is not a [`BasePath`].
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "a base path is `/` and a name, or several, such as `/rl` or `/team/rl`; names have letters, digits, `.`, `_`, `~` and `-`"
)]
pub struct InvalidBasePath;

impl BasePath {
    /// Returns the path. It does not end in `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Redirects a request for the base path itself to the same path with a `/` at the end, which the page's relative addresses
    /// need.
    pub(crate) fn redirect(&self, path: &str) -> Option<Response<Full<Bytes>>> {
        let name = path.rsplit('/').next().filter(|_| path == self.0)?;
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
        response.headers_mut().insert(LOCATION, HeaderValue::from_str(&format!("{name}/")).ok()?);
        Some(response)
    }

    /// Removes the base path from the address of a request, if it is there, and adds it to the request's extensions.
    pub(crate) fn apply<B>(&self, request: &mut Request<B>) {
        if let Some(uri) = self.strip(request.uri()) {
            *request.uri_mut() = uri;
            request.extensions_mut().insert(self.clone());
        }
    }

    /// Returns an address without the base path, or `None` if it is not below it.
    fn strip(&self, uri: &Uri) -> Option<Uri> {
        let below = uri.path_and_query()?.as_str().strip_prefix(&self.0).filter(|below| below.starts_with('/'))?;
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::try_from(below).ok()?);
        Uri::from_parts(parts).ok()
    }
}

impl FromStr for BasePath {
    type Err = InvalidBasePath;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = text.strip_suffix('/').unwrap_or(text);
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
        let is_name = |name: &str| name.bytes().all(is_plain) && !["", ".", ".."].contains(&name);
        let mut names = path.split('/');
        let is_path = names.next() == Some("") && names.clone().next().is_some() && names.all(is_name);
        is_path.then(|| BasePath(path.to_owned())).ok_or(InvalidBasePath)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_path_is_one_or_several_plain_names() {
        for (text, path) in [("/rl", "/rl"), ("/rl/", "/rl"), ("/team-1/rl_2.0", "/team-1/rl_2.0")] {
            assert_eq!(text.parse::<BasePath>().map(|path| path.0), Ok(path.to_owned()));
        }
        for text in
            ["", "/", "rl", "//", "//host", "/rl//", "/../rl", "/a b", "/a?b", "/a#b", "/a%2f", "https://host/rl"]
        {
            assert_eq!(text.parse::<BasePath>(), Err(InvalidBasePath), "{text}");
        }
    }

    #[test]
    fn an_address_below_it_loses_it_and_others_do_not() {
        let base = "/rl".parse::<BasePath>().unwrap();
        let stripped = |uri: &'static str| base.strip(&Uri::from_static(uri)).map(|uri| uri.to_string());
        for (uri, expected) in [
            ("/rl/sac/health", Some("/sac/health")),
            ("/rl/?a=b", Some("/?a=b")),
            ("/rl/rl/x", Some("/rl/x")),
            ("http://host/rl/x", Some("http://host/x")),
            ("/rl", None),
            ("/rlx/sac", None),
            ("/sac/rl/", None),
            ("/rl//host/x", Some("//host/x")),
        ] {
            assert_eq!(stripped(uri), expected.map(str::to_owned), "{uri}");
        }
    }
}
