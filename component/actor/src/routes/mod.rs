//! The routes as a table, and what all of them share.

mod benchmark;
pub mod error;
mod model;
mod openapi;
mod predict;
pub mod schema;

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;
use subtle::{Choice, ConstantTimeEq};

use crate::routes::error::Error;
use crate::routes::openapi::Operation;
use crate::routes::schema::Schema;
use crate::run::{Actor, Forward};
use crate::service::{Body, Loaded, Outcome, Request, RequestContext, Response, Service};

const ROUTES: &[Route] = &[
    Route { path: "/sac/health", method: Method::Get, public: true, handler: model::health, told: Some(model::HEALTH) },
    Route {
        path: "/sac/model/info",
        method: Method::Get,
        public: false,
        handler: model::info,
        told: Some(model::INFO),
    },
    Route {
        path: "/sac/model/reload",
        method: Method::Post,
        public: false,
        handler: model::reload,
        told: Some(model::RELOAD),
    },
    Route {
        path: "/sac/predict",
        method: Method::Post,
        public: false,
        handler: predict::predict,
        told: Some(predict::PREDICT),
    },
    Route {
        path: "/sac/predict/batch",
        method: Method::Post,
        public: false,
        handler: predict::predict_batch,
        told: Some(predict::PREDICT_BATCH),
    },
    Route {
        path: "/sac/benchmark",
        method: Method::Post,
        public: false,
        handler: benchmark::benchmark,
        told: Some(benchmark::BENCHMARK),
    },
    Route { path: "/sac/openapi.json", method: Method::Get, public: true, handler: openapi, told: None },
];

fn openapi(call: &mut Call) -> Result<Outcome, Error> {
    let routes = ROUTES.iter();
    let told = routes.filter_map(|route| Some((route.path, route.method.key(), route.public, route.told.as_ref()?)));
    let loaded = call.service.loaded.as_ref().filter(|_| call.authorised);
    respond(200, &openapi::document(told, loaded.map(|loaded| loaded.actor.state_dim())))
}

/// Finds the route and runs it. The order of the checks is the contract's: 413, 404, 405, 401, then the route's own.
pub(crate) fn answer(service: &mut Service, request: &Request, context: &RequestContext) -> Result<Outcome, Error> {
    let Body::Complete(body) = &request.body else {
        return Err(Error::BodyOverLimit { limit: service.config.max_body_bytes });
    };
    let route = ROUTES.iter().find(|route| route.path == request.path).ok_or(Error::UnknownRoute)?;
    if !route.method.accepts(&request.method) {
        return Err(Error::WrongMethod { allow: route.method.allow() });
    }
    let authorised = authorised(request.authorization.as_deref(), &context.tokens);
    if !route.public && !authorised {
        return Err(Error::Unauthorized);
    }
    (route.handler)(&mut Call { service, body, context, authorised })
}

struct Route {
    path: &'static str,
    method: Method,
    /// Answers without a token.
    public: bool,
    handler: fn(&mut Call) -> Result<Outcome, Error>,
    /// For OpenAPI, which does not tell of itself.
    told: Option<Operation>,
}

#[derive(Clone, Copy)]
enum Method {
    Get,
    Post,
}

impl Method {
    /// HEAD is answered as GET; the server that owns the connection leaves the body out.
    fn accepts(self, method: &str) -> bool {
        match self {
            Method::Get => matches!(method, "GET" | "HEAD"),
            Method::Post => method == "POST",
        }
    }

    /// In OpenAPI.
    fn key(self) -> &'static str {
        match self {
            Method::Get => "get",
            Method::Post => "post",
        }
    }

    fn allow(self) -> &'static str {
        match self {
            Method::Get => "GET, HEAD",
            Method::Post => "POST",
        }
    }
}

/// Compares with every token, in a time that does not tell how much of one was right.
fn authorised(authorization: Option<&str>, tokens: &[String]) -> bool {
    if tokens.is_empty() {
        return true;
    }
    let presented = authorization
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map_or("", |(_, token)| token.trim());
    let matches = |token: &String| !token.is_empty() & bool::from(token.as_bytes().ct_eq(presented.as_bytes()));
    tokens.iter().fold(Choice::from(0), |found, token| found | Choice::from(u8::from(matches(token)))).into()
}

/// A request on its way through a route.
struct Call<'a> {
    service: &'a mut Service,
    body: &'a [u8],
    context: &'a RequestContext,
    /// Always, but on public routes.
    authorised: bool,
}

impl Call<'_> {
    /// What a thread with other requests to answer can spare.
    const LONG: Duration = Duration::from_millis(1);
    /// Bytes of JSON that take as long to read.
    const LONG_BODY: usize = 128 << 10;

    fn parse<T: Schema>(&self) -> Result<T, Error> {
        schema::parse(self.body).map_err(Error::Invalid)
    }

    fn model(&mut self) -> Result<&mut Loaded, Error> {
        self.service.model(self.context)
    }

    /// Whether the body alone asks for a thread that may block.
    fn has_long_body(&self) -> bool {
        !self.context.may_block && self.body.len() > Self::LONG_BODY
    }

    /// Whether a forward pass of so many rows does.
    fn is_long(&mut self, rows: usize) -> Result<bool, Error> {
        let may_block = self.context.may_block;
        Ok(!may_block && self.model()?.actor.expected_time(rows) > Self::LONG)
    }
}

/// Which checkpoint an answer comes from.
#[derive(Serialize, JsonSchema)]
struct Origin<'a> {
    model_path: &'a str,
    #[schemars(extend("format" = "date-time"))]
    model_mtime_utc: &'a str,
    jit_compiled: bool,
}

impl<'a> Origin<'a> {
    fn of(loaded: &'a Loaded) -> Self {
        Origin {
            model_path: &loaded.checkpoint.path,
            model_mtime_utc: &loaded.modified,
            jit_compiled: loaded.actor.optimised(),
        }
    }
}

fn respond(status: u16, body: &impl Serialize) -> Result<Outcome, Error> {
    let body = serde_json::to_vec(body).map_err(|error| Error::Inference(error.into()))?;
    Ok(Outcome::Respond(Response { status, headers: vec![], body }))
}

/// Since `start`, to the nanosecond.
fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_nanos() as f64 / 1e6
}

fn forward(actor: &mut Actor, states: &[f32], log_std: bool) -> Result<Forward, Error> {
    actor.forward(states, log_std).map_err(Error::Inference)
}

#[cfg(test)]
mod tests {
    use super::authorised;

    #[test]
    fn a_request_is_authorised_by_any_of_the_tokens_and_by_nothing_else() {
        let tokens = ["first".to_owned(), "second".to_owned()];
        for good in ["Bearer first", "Bearer second", "bearer second", "BEARER  first "] {
            assert!(authorised(Some(good), &tokens), "{good}");
        }
        for bad in
            ["", "Bearer", "Bearer ", "Bearer firs", "Bearer firstsecond", "first", "Basic first", "Bearer First"]
        {
            assert!(!authorised(Some(bad), &tokens), "{bad}");
        }
        assert!(!authorised(None, &tokens));
        assert!(!authorised(None, &[String::new()]));
        assert!(authorised(None, &[]));
    }
}
