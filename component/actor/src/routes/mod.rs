//! The routes: authorisation, validation, inference and JSON. What a route needs of the service comes as arguments;
//! nothing here loads a checkpoint. Those of the Open Inference Protocol are in `inference/`.

mod authorisation;
mod batch;
mod benchmark;
mod call;
mod decision;
mod digest;
mod error;
mod explain;
mod inference;
mod limits;
mod loaded;
mod model;
mod openapi;
mod predict;
mod sampling;
mod scan;
mod schema;
mod time;
mod values;

pub use decision::decide;
pub use loaded::Loaded;
pub use openapi::Documents;

use crate::model::Forward;
use crate::wit::{Body, Outcome, Request, RequestContext, Response, RouterConfig};
use authorisation::is_authorised;
use call::Call;
use error::{Error, Protocol};
use loaded::Reply;
use openapi::{Audience, Operation};

/// Answers a request by the checkpoint in service, if there is one. `documents` are those of this checkpoint.
pub fn answer(
    config: &RouterConfig,
    loaded: &mut Option<Loaded>,
    documents: &mut Documents,
    request: &Request,
    context: &RequestContext,
) -> Outcome {
    let answer = route(config, loaded, documents, request, context);
    answer.unwrap_or_else(|error| Outcome::Respond(error.into_response(inference::protocol(&request.path))))
}

/// Finds the route and runs it. The contract fixes the order of the checks: 413, 404, 405, 401, then the route's own.
fn route(
    config: &RouterConfig,
    loaded: &mut Option<Loaded>,
    documents: &mut Documents,
    request: &Request,
    context: &RequestContext,
) -> Result<Outcome, Error> {
    let Body::Complete(body) = &request.body else {
        return Err(Error::BodyOverLimit { limit: config.max_body_bytes });
    };
    let route = match ROUTES.iter().find(|route| route.path == request.path) {
        Some(route) => route,
        None => inference::find(&request.path, &config.name, loaded.as_ref())?,
    };
    if !route.method.accepts(&request.method) {
        return Err(Error::WrongMethod { allow: route.method.allow() });
    }
    let authorised = is_authorised(request.authorization.as_deref(), &context.tokens);
    if !route.public && !authorised {
        return Err(Error::Unauthorized);
    }
    let inference_header_content_length = request.inference_header_content_length.as_deref();
    (route.handler)(&mut Call { config, loaded, documents, body, inference_header_content_length, context, authorised })
}

/// Answers the request that was answered with [`Outcome::Split`], by the outputs of its rows.
pub fn finish(config: &RouterConfig, loaded: &mut Option<Loaded>, outputs: Forward) -> Outcome {
    let split = loaded.as_mut().and_then(|loaded| loaded.split.take());
    let protocol = match &split {
        Some(split) if matches!(split.reply, Reply::Tensors(_)) => Protocol::OpenInference,
        _ => Protocol::Sac,
    };
    let finished = match loaded {
        Some(loaded) => batch::finish(config, loaded, split, outputs),
        None => Err(Error::NoModel),
    };
    finished.unwrap_or_else(|error| Outcome::Respond(error.into_response(protocol)))
}

struct Route {
    path: &'static str,
    method: Method,
    /// True if the route answers without a token.
    public: bool,
    handler: fn(&mut Call) -> Result<Outcome, Error>,
    /// The route in the OpenAPI document. None for those that `inference/` describes.
    operation: Option<Operation>,
}

const ROUTES: &[Route] = &[
    Route {
        path: "/sac/health",
        method: Method::Get,
        public: true,
        handler: model::health,
        operation: Some(model::HEALTH),
    },
    Route {
        path: "/sac/model/info",
        method: Method::Get,
        public: false,
        handler: model::info,
        operation: Some(model::INFO),
    },
    Route {
        path: "/sac/model/reload",
        method: Method::Post,
        public: false,
        handler: model::reload,
        operation: Some(model::RELOAD),
    },
    Route {
        path: "/sac/predict",
        method: Method::Post,
        public: false,
        handler: predict::predict,
        operation: Some(predict::PREDICT),
    },
    Route {
        path: "/sac/predict/batch",
        method: Method::Post,
        public: false,
        handler: predict::predict_batch,
        operation: Some(predict::PREDICT_BATCH),
    },
    Route {
        path: "/sac/benchmark",
        method: Method::Post,
        public: false,
        handler: benchmark::benchmark,
        operation: Some(benchmark::BENCHMARK),
    },
    Route {
        path: "/sac/openapi.json",
        method: Method::Get,
        public: true,
        handler: openapi,
        operation: Some(openapi::DOCUMENT),
    },
];

fn openapi(call: &mut Call) -> Result<Outcome, Error> {
    let described = ROUTES
        .iter()
        .filter_map(|route| Some((route.path, route.method.key(), route.public, route.operation.as_ref()?)));
    let loaded = call.loaded.as_ref().filter(|_| call.authorised);
    let state_dim = loaded.map(|loaded| loaded.actor.state_dim());
    let audience = Audience { state_dim, needs_token: !call.context.tokens.is_empty() };
    let body = call.documents.get(described, audience, call.config.max_batch);
    Ok(Outcome::Respond(Response { status: 200, headers: vec![], body: body.to_vec(), decision: None }))
}

#[derive(Clone, Copy)]
enum Method {
    Get,
    Post,
}

impl Method {
    /// Returns `true` if the route answers a request of this method. HEAD is answered as GET; the server that owns the
    /// connection omits the body.
    fn accepts(self, method: &str) -> bool {
        match self {
            Method::Get => matches!(method, "GET" | "HEAD"),
            Method::Post => method == "POST",
        }
    }

    /// Returns the method as OpenAPI writes it.
    fn key(self) -> &'static str {
        match self {
            Method::Get => "get",
            Method::Post => "post",
        }
    }

    /// Returns the value of the Allow header.
    fn allow(self) -> &'static str {
        match self {
            Method::Get => "GET, HEAD",
            Method::Post => "POST",
        }
    }
}
