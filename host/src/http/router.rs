//! The routes of the server beside the component's.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, LOCATION};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use sac_owner::settings::ModelName;
use serde::Serialize;

use crate::http::base_path::BasePath;
use crate::http::error::{Error, json};
use crate::http::form::Form;
use crate::http::openapi::{self, Has, OPENAPI};
use crate::http::page::Page;
use crate::http::pages;
use crate::http::route::is_policys;
use crate::http::service::SacService;
use crate::http::status::Status;
use crate::sandbox::bindings;

/// Answers all routes of the server.
///
/// `/sac/…` and `/v2/…` go to the [`SacService`], as do these paths below `/policies/NAME` with a root, whose policies
/// `/policies` lists. `/` is the dashboard, `/docs/` documents the routes, `/status`, `/status/history` and
/// `/metrics` need a token if one is set, and `/healthz` answers 200 while the process runs.
#[derive(Clone)]
pub struct Router {
    service: SacService,
}

enum Route {
    Liveness,
    Metrics,
    Status,
    History,
    Policies,
    /// A page at an address that is relative, for a server below a prefix.
    Elsewhere(String),
    Page(Page),
}

/// The methods of every route beside the component's.
const ALLOWED: [Method; 2] = [Method::GET, Method::HEAD];

type Answer = Result<Response<Full<Bytes>>, Error>;

impl Router {
    /// Makes a router around a service.
    pub fn new(service: SacService) -> Router {
        Router { service }
    }

    /// Answers one request. It never fails: an error is a response.
    pub async fn respond<B: Body>(&self, request: Request<B>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        let address = self.service.address(path);
        if address.path == OPENAPI {
            return Box::pin(self.openapi(request)).await.unwrap_or_else(|error| error.into_response(Form::Detail));
        }
        if is_policys(address.path) {
            return self.service.respond(request).await;
        }
        let Some(route) = self.route(path) else { return Error::NotFound.into_response(Form::Detail) };
        if !ALLOWED.contains(request.method()) {
            return method_not_allowed();
        }
        // Boxed, because otherwise the future of a request to the component would be as large as this one.
        Box::pin(self.answer(route, request.headers())).await.unwrap_or_else(|error| error.into_response(Form::Detail))
    }

    fn route(&self, path: &str) -> Option<Route> {
        match path {
            "/policies" => self.service.policies().map(|_| Route::Policies),
            _ => self.page_of(path).map(Route::Elsewhere).or_else(|| route(path)),
        }
    }

    /// Returns the address of the page that shows a policy, relative to that of the policy itself.
    fn page_of(&self, path: &str) -> Option<String> {
        self.service.policies()?;
        let rest = path.strip_prefix("/policies/")?;
        let (name, up) = rest.strip_suffix('/').map_or((rest, "../"), |name| (name, "../../"));
        let name = name.parse::<ModelName>().ok()?;
        Some(format!("{up}#{name}"))
    }

    async fn answer(&self, route: Route, headers: &HeaderMap) -> Answer {
        match route {
            // Says that the process answers, whether or not there is a model.
            Route::Liveness => Ok(json(StatusCode::OK, Bytes::from_static(br#"{"status":"ok"}"#))),
            Route::Metrics => self.metrics(headers).await,
            Route::Status => self.status(headers).await,
            Route::History => self.history(headers).await,
            Route::Policies => self.policies(headers).await,
            Route::Elsewhere(page) => redirect(&page),
            Route::Page(page) => Ok(page.respond(headers).await),
        }
    }

    /// The component describes its routes, and this server adds its own.
    async fn openapi<B: Body>(&self, request: Request<B>) -> Answer {
        let base = openapi::prefix(request.extensions().get(), request.headers());
        let path = request.uri().path();
        let of_policy = path.strip_suffix(OPENAPI).unwrap_or_default().to_owned();
        let prefix = [base.as_ref().map_or("", BasePath::as_str), &of_policy].concat();
        let has = Has { root: self.service.policies().is_some(), shadows: self.service.shadows().is_some() };
        openapi::complete(self.service.respond(request).await, &prefix, &of_policy, &has).await
    }

    async fn metrics(&self, headers: &HeaderMap) -> Answer {
        let info = self.service.info(headers).await?;
        if is_unauthorised(&info) {
            return self.service.convert(info);
        }
        let text = self.service.metrics().await.map_err(Error::Internal)?;
        let mut response = Response::new(Full::new(text.into()));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(prometheus::TEXT_FORMAT));
        Ok(response)
    }

    async fn status(&self, headers: &HeaderMap) -> Answer {
        let info = self.service.info(headers).await?;
        if is_unauthorised(&info) {
            return self.service.convert(info);
        }
        let main = self.service.main(true).await.ok();
        serialise(&Status::new(&self.service, main.as_ref(), &info).await.map_err(Error::Internal)?)
    }

    async fn history(&self, headers: &HeaderMap) -> Answer {
        let info = self.service.info(headers).await?;
        if is_unauthorised(&info) {
            return self.service.convert(info);
        }
        serialise(&self.service.metrics_registry().timeline.lists())
    }

    async fn policies(&self, headers: &HeaderMap) -> Answer {
        let info = self.service.authorise(headers).await?;
        if is_unauthorised(&info) {
            return self.service.convert(info);
        }
        let policies = self.service.policies().ok_or(Error::NotFound)?;
        serialise(&policies.list().await?)
    }
}

fn route(path: &str) -> Option<Route> {
    match path {
        "/healthz" => Some(Route::Liveness),
        "/metrics" => Some(Route::Metrics),
        "/status" => Some(Route::Status),
        "/status/history" => Some(Route::History),
        "/docs" => Some(Route::Elsewhere("docs/".to_owned())),
        _ => match path.strip_prefix("/docs/") {
            Some(file) => pages::docs(file).map(Route::Page),
            None => pages::dashboard(path).map(Route::Page),
        },
    }
}

fn serialise(body: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(body).map_err(|error| Error::Internal(error.into()))?;
    Ok(json(StatusCode::OK, body.into()))
}

/// The component decides who is authorised.
fn is_unauthorised(info: &bindings::Response) -> bool {
    info.status == StatusCode::UNAUTHORIZED
}

fn redirect(to: &str) -> Answer {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    let to = HeaderValue::from_str(to).map_err(|error| Error::Internal(error.into()))?;
    response.headers_mut().insert(LOCATION, to);
    Ok(response)
}

fn method_not_allowed() -> Response<Full<Bytes>> {
    let mut response = Error::MethodNotAllowed.into_response(Form::Detail);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}
