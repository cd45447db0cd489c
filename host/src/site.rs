use anyhow::Result;
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, LOCATION};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;

use crate::bindings;
use crate::failure::{Failure, json};
use crate::pages;
use crate::service::{SacService, response_of};
use crate::status::Status;

/// What the server answers: `/sac/…` by its service; and beside it `/` (what is served, live), `/docs/` (the routes),
/// `/status` and `/metrics` (with a token where one is set), and `/healthz`.
pub struct Site {
    service: SacService,
    extension: Option<Extension>,
}

/// What a program adds to the page at `/`.
pub struct Extension {
    /// A JavaScript module that the page loads.
    pub script: &'static str,
    /// Called for a POST to `/extension/NAME`, with the name; false where it knows none such. It may block for a file.
    pub act: Box<dyn Fn(&str) -> Result<bool> + Send + Sync>,
}

type Answer = Result<Response<Full<Bytes>>, Failure>;

impl Site {
    pub fn new(service: SacService) -> Site {
        Site { service, extension: None }
    }

    pub fn with_extension(self, extension: Extension) -> Site {
        Site { extension: Some(extension), ..self }
    }

    pub(crate) fn service(&self) -> &SacService {
        &self.service
    }

    pub(crate) async fn respond<B: Body>(&self, request: Request<B>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        if path.starts_with("/sac/") {
            return self.service.respond(request).await;
        }
        let answer = match (&self.extension, path.strip_prefix("/extension/")) {
            (Some(extension), Some(name)) if request.method() == Method::POST => act(extension, name),
            (Some(_), Some(_)) => return wrong_method("POST"),
            _ if !matches!(*request.method(), Method::GET | Method::HEAD) => return wrong_method("GET, HEAD"),
            _ => self.get(path, request.headers()).await,
        };
        answer.unwrap_or_else(Failure::told)
    }

    async fn get(&self, path: &str, headers: &HeaderMap) -> Answer {
        match (path, &self.extension) {
            // That the process answers, whatever becomes of the model.
            ("/healthz", _) => Ok(json(StatusCode::OK, Bytes::from_static(br#"{"status":"ok"}"#))),
            ("/metrics", _) => self.metrics(headers).await,
            ("/status", _) => self.status(headers).await,
            ("/docs", _) => Ok(redirect("/docs/")),
            ("/extension.js", Some(extension)) => Ok(pages::page("text/javascript", extension.script.into())),
            _ => match path.strip_prefix("/docs/") {
                Some(file) => pages::docs(file).map_err(Failure::Internal)?,
                None => pages::dashboard(path, self.extension.is_some()),
            }
            .ok_or(Failure::NotFound),
        }
    }

    async fn metrics(&self, headers: &HeaderMap) -> Answer {
        let info = self.service.info(headers).await?;
        if is_unauthorised(&info) {
            return response_of(info);
        }
        let text = self.service.metrics().await.map_err(Failure::Internal)?;
        let mut response = Response::new(Full::new(text.into()));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(prometheus::TEXT_FORMAT));
        Ok(response)
    }

    async fn status(&self, headers: &HeaderMap) -> Answer {
        let info = self.service.info(headers).await?;
        if is_unauthorised(&info) {
            return response_of(info);
        }
        let status = Status::of(&self.service, &info).map_err(Failure::Internal)?;
        let body = serde_json::to_vec(&status).map_err(|error| Failure::Internal(error.into()))?;
        Ok(json(StatusCode::OK, body.into()))
    }
}

impl From<SacService> for Site {
    fn from(service: SacService) -> Self {
        Site::new(service)
    }
}

fn is_unauthorised(info: &bindings::Response) -> bool {
    info.status == StatusCode::UNAUTHORIZED
}

fn act(extension: &Extension, name: &str) -> Answer {
    match (extension.act)(name).map_err(Failure::Internal)? {
        true => Ok(json(StatusCode::OK, Bytes::from_static(b"{}"))),
        false => Err(Failure::NotFound),
    }
}

fn redirect(to: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(LOCATION, HeaderValue::from_static(to));
    response
}

fn wrong_method(allowed: &'static str) -> Response<Full<Bytes>> {
    let mut response = Failure::MethodNotAllowed.told();
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}
