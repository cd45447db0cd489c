//! The demo's page: the dashboard with a pendulum, and the routes behind its buttons.

use std::path::PathBuf;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, IF_NONE_MATCH};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use sac_serving::Router;
use tracing::error;

use super::publish;

const PENDULUM: &str = include_str!("../../../../../demo/pendulum.js");
/// The part of the page that the dashboard does not have.
const SCRIPT: &str = "<script type=\"module\" src=\"extension.js\"></script>\n";

pub struct DemoPage {
    pub router: Router,
    /// The folder that policies are written into.
    pub folder: PathBuf,
}

impl DemoPage {
    /// Answers the demo's own routes, and leaves all others to the router.
    pub async fn respond(&self, mut request: Request<Incoming>) -> Response<Full<Bytes>> {
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let path = request.uri().path();
        if path == "/extension.js" {
            return if is_read {
                response(StatusCode::OK, "text/javascript", PENDULUM.into())
            } else {
                allow("GET, HEAD")
            };
        }
        if let Some(name) = path.strip_prefix("/extension/") {
            return if request.method() == Method::POST { self.publish(name) } else { allow("POST") };
        }
        let is_page = is_read && path == "/";
        if is_page {
            // Its script is added to the text, which is neither compressed nor what the browser has.
            let headers = request.headers_mut();
            headers.remove(ACCEPT_ENCODING);
            headers.remove(IF_NONE_MATCH);
        }
        let answer = self.router.respond(request).await;
        if is_page { with_script(answer).await } else { answer }
    }

    fn publish(&self, name: &str) -> Response<Full<Bytes>> {
        match publish(&self.folder, name) {
            Ok(true) => response(StatusCode::OK, "application/json", "{}".into()),
            Ok(false) => response(StatusCode::NOT_FOUND, "application/json", r#"{"detail":"Not Found"}"#.into()),
            Err(reason) => {
                error!("the policy cannot be written: {reason:#}");
                let detail = r#"{"detail":"the policy cannot be written"}"#;
                response(StatusCode::INTERNAL_SERVER_ERROR, "application/json", detail.into())
            }
        }
    }
}

/// Refuses a method, and names the methods that the route has.
fn allow(methods: &'static str) -> Response<Full<Bytes>> {
    let detail = r#"{"detail":"Method Not Allowed"}"#;
    let mut response = response(StatusCode::METHOD_NOT_ALLOWED, "application/json", detail.into());
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

async fn with_script(page: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    let (head, body) = page.into_parts();
    let Ok(body) = body.collect().await;
    let body = [&body.to_bytes()[..], SCRIPT.as_bytes()].concat();
    Response::from_parts(head, Full::new(body.into()))
}

fn response(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
