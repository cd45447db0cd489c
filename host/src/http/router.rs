use anyhow::Result;
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, LOCATION};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;

use crate::http::error::{Failure, json};
use crate::http::pages;
use crate::http::service::{SacService, response_of};
use crate::http::status::Status;
use crate::sandbox::bindings;

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
    pub act: Act,
}

/// What a path leads to.
enum Place<'a> {
    Liveness,
    Metrics,
    Status,
    Docs,
    Page(Response<Full<Bytes>>),
    Script,
    Action(&'a str),
}

impl Place<'_> {
    fn allowed(&self) -> &'static [Method] {
        match self {
            Place::Action(_) => &[Method::POST],
            _ => &[Method::GET, Method::HEAD],
        }
    }
}

/// See [`Extension::act`].
pub type Act = Box<dyn Fn(&str) -> Result<bool> + Send + Sync>;

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
        let Some(place) = self.find(path) else { return Failure::NotFound.told() };
        let allowed = place.allowed();
        if !allowed.contains(request.method()) {
            return wrong_method(allowed);
        }
        // Boxed, or a request to /sac would have room for it.
        Box::pin(self.answer(place, request.headers())).await.unwrap_or_else(Failure::told)
    }

    fn find<'a>(&self, path: &'a str) -> Option<Place<'a>> {
        let extended = self.extension.is_some();
        match path {
            "/healthz" => Some(Place::Liveness),
            "/metrics" => Some(Place::Metrics),
            "/status" => Some(Place::Status),
            "/docs" => Some(Place::Docs),
            "/extension.js" if extended => Some(Place::Script),
            _ => match (path.strip_prefix("/extension/"), path.strip_prefix("/docs/")) {
                (Some(name), _) if extended => Some(Place::Action(name)),
                (_, Some(file)) => pages::docs(file).map(Place::Page),
                _ => pages::dashboard(path, extended).map(Place::Page),
            },
        }
    }

    async fn answer(&self, place: Place<'_>, headers: &HeaderMap) -> Answer {
        match (place, &self.extension) {
            // That the process answers, whatever becomes of the model.
            (Place::Liveness, _) => Ok(json(StatusCode::OK, Bytes::from_static(br#"{"status":"ok"}"#))),
            (Place::Metrics, _) => self.metrics(headers).await,
            (Place::Status, _) => self.status(headers).await,
            (Place::Docs, _) => Ok(redirect("/docs/")),
            (Place::Page(page), _) => Ok(page),
            (Place::Script, Some(extension)) => Ok(pages::page("text/javascript", extension.script.into())),
            (Place::Action(name), Some(extension)) => act(extension, name),
            (Place::Script | Place::Action(_), None) => Err(Failure::NotFound),
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

fn wrong_method(allowed: &[Method]) -> Response<Full<Bytes>> {
    let mut response = Failure::MethodNotAllowed.told();
    let allowed = allowed.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
    response.headers_mut().extend(HeaderValue::try_from(allowed).map(|allowed| (ALLOW, allowed)));
    response
}
