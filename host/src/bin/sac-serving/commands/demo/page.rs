//! The demo's page: the dashboard with a pendulum, and the routes behind its buttons.

use std::path::PathBuf;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use sac_serving::Router;
use tracing::error;

use super::publish;

const PENDULUM: &str = include_str!("../../../../../demo/pendulum.js");
/// The part of the page that the dashboard does not have.
const SCRIPT: &str = "<script type=\"module\" src=\"/extension.js\"></script>\n";

pub struct DemoPage {
    pub router: Router,
    /// The folder that policies are written into.
    pub folder: PathBuf,
}

impl DemoPage {
    /// Answers the demo's own routes, and leaves all others to the router.
    pub async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/") => with_script(self.router.respond(request).await).await,
            (&Method::GET, "/extension.js") => response(StatusCode::OK, "text/javascript", PENDULUM.into()),
            (&Method::POST, path) => match path.strip_prefix("/extension/").map(|name| publish(&self.folder, name)) {
                Some(Ok(true)) => response(StatusCode::OK, "application/json", "{}".into()),
                Some(Err(error)) => {
                    error!("the policy cannot be written: {error:#}");
                    let detail = r#"{"detail":"the policy cannot be written"}"#;
                    response(StatusCode::INTERNAL_SERVER_ERROR, "application/json", detail.into())
                }
                Some(Ok(false)) | None => self.router.respond(request).await,
            },
            _ => self.router.respond(request).await,
        }
    }
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
