//! The routes of the Open Inference Protocol, version 2 (github.com/kserve/open-inference-protocol), with the extension
//! for binary tensors that Triton defines (docs/protocol/extension_binary_data.md). The policy is the only model.

mod body;
mod infer;
mod model;
mod openapi;
mod output;
mod place;
mod reader;
mod request;
mod server;
mod state;
mod tensors;

pub use openapi::describe;
pub use tensors::Tensors;

use super::error::{Error, Protocol};
use super::loaded::Loaded;
use super::{Method, Route};

/// Returns the protocol that a path belongs to, whether or not it has a route.
pub fn protocol(path: &str) -> Protocol {
    let below = path.strip_prefix("/v2");
    if below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
        Protocol::OpenInference
    } else {
        Protocol::Sac
    }
}

/// Finds a route of the protocol. The model of the paths has this name, and one version: the generation of the checkpoint
/// in service. Without a checkpoint any version may come, so the routes themselves say that there is none.
pub fn find(path: &str, name: &str, loaded: Option<&Loaded>) -> Result<&'static Route, Error> {
    // The protocol's OpenAPI document writes it with a slash.
    let server = if path == "/v2/" { "/v2" } else { path };
    if let Some(route) = SERVER.iter().find(|route| route.path == server) {
        return Ok(route);
    }
    let model = path.strip_prefix("/v2/models/").ok_or(Error::UnknownRoute)?;
    let rest = model.strip_prefix(name).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let (version, rest) = split_version(rest.ok_or(Error::UnknownModel)?);
    let route = MODEL.iter().find(|route| route.path == rest).ok_or(Error::UnknownRoute)?;
    match (version, loaded) {
        (Some(version), Some(loaded)) if version != loaded.version => Err(Error::UnknownVersion),
        _ => Ok(route),
    }
}

/// Splits what follows the name of a model into a version and the rest.
fn split_version(path: &str) -> (Option<&str>, &str) {
    match path.strip_prefix("/versions/") {
        Some(path) => {
            let (version, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
            (Some(version), rest)
        }
        None => (None, path),
    }
}

const SERVER: &[Route] = &[
    Route { path: "/v2", method: Method::Get, public: false, handler: server::metadata, operation: None },
    Route { path: "/v2/health/live", method: Method::Get, public: true, handler: server::live, operation: None },
    Route { path: "/v2/health/ready", method: Method::Get, public: true, handler: server::ready, operation: None },
];

/// The routes of the model, by what follows its name and version.
const MODEL: &[Route] = &[
    Route { path: "", method: Method::Get, public: false, handler: model::metadata, operation: None },
    Route { path: "/ready", method: Method::Get, public: true, handler: model::ready, operation: None },
    Route { path: "/infer", method: Method::Post, public: false, handler: infer::infer, operation: None },
];
