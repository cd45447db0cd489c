//! Makes HTTP responses of those of the component.

use anyhow::anyhow;
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use http_body_util::Full;

use crate::http::error::{Error, json};

/// The headers that a response of the component may have. All others are the host's, above all those that frame the body.
const COMPONENT_HEADERS: [HeaderName; 5] = [ALLOW, CONTENT_TYPE, INFERENCE_HEADER, RETRY_AFTER, WWW_AUTHENTICATE];

/// The types that a response of the component may have. A browser runs neither as a page.
const CONTENT_TYPES: [&str; 2] = ["application/json", "application/octet-stream"];

/// The length of the JSON that binary tensors follow, in a request and in a response.
pub(crate) const INFERENCE_HEADER: HeaderName = HeaderName::from_static("inference-header-content-length");

/// Makes the response of a component. It may break the contract, but neither the connection nor another response.
pub(crate) fn response(status: u16, headers: &[(String, String)], body: Bytes) -> Result<Response<Full<Bytes>>, Error> {
    let broken = |what: String| Error::Internal(anyhow!("the component's response has {what}"));
    let known = StatusCode::from_u16(status).ok().filter(|status| has_body(*status));
    let status = known.ok_or_else(|| broken(format!("the status {status}")))?;
    let mut response = json(status, body);
    for (name, value) in headers {
        let name = COMPONENT_HEADERS.into_iter().find(|known| known == name.as_str());
        let name = name.ok_or_else(|| broken("a header that is the host's".to_owned()))?;
        if name == CONTENT_TYPE && !CONTENT_TYPES.contains(&value.as_str()) {
            return Err(broken("another content type".to_owned()));
        }
        let value = HeaderValue::from_str(value).map_err(|_| broken(format!("no value for {name}")))?;
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

/// Returns `true` for the statuses of final responses with a body.
fn has_body(status: StatusCode) -> bool {
    let without = [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT, StatusCode::NOT_MODIFIED];
    (200..600).contains(&status.as_u16()) && !without.contains(&status)
}
