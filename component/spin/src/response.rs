//! The responses that the gateway makes itself.

use anyhow::Result;
use sac_owner::is_open_inference;
use serde::Serialize;
use serde_json::json;

use crate::wit::Response;

impl Response {
    /// Returns a response with a JSON body.
    pub fn json(status: u16, body: &impl Serialize) -> Result<Self> {
        Ok(Response { status, headers: Vec::new(), body: serde_json::to_vec(body)?, decision: None })
    }

    /// There is no policy or no route of this path.
    pub fn not_found(path: &str) -> Self {
        Response::error(404, path, "Not Found")
    }

    /// The root folder cannot be read now.
    pub fn no_storage(path: &str) -> Self {
        let response = Response::error(503, path, "the policies' folder does not answer");
        Response { headers: vec![("retry-after".to_owned(), "1".to_owned())], ..response }
    }

    /// The body has a Content-Encoding.
    pub fn encoded(path: &str) -> Self {
        let response = Response::error(415, path, "the Content-Encoding of a request body must be absent");
        Response { headers: vec![("accept-encoding".to_owned(), "identity".to_owned())], ..response }
    }

    /// The route is one to read.
    pub fn method_not_allowed() -> Self {
        let response = Response::error(405, "", "Method Not Allowed");
        Response { headers: vec![("allow".to_owned(), "GET, HEAD".to_owned())], ..response }
    }

    fn error(status: u16, path: &str, detail: &str) -> Self {
        let key = if is_open_inference(path) { "error" } else { "detail" };
        Response { status, headers: Vec::new(), body: json!({ key: detail }).to_string().into_bytes(), decision: None }
    }
}
