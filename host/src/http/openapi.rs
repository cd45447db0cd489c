//! Completes the component's OpenAPI document by what the host adds: its own routes, and the prefix of them all.

use http::{HeaderMap, Response};
use http_body_util::{BodyExt, Full};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::http::base_path::BasePath;
use crate::http::error::{Error, json};

/// The route of the document.
pub(crate) const OPENAPI: &str = "/sac/openapi.json";

/// The host's routes and their schemas.
const PART: &str = include_str!("openapi.json");

#[derive(Deserialize)]
struct Part {
    paths: Map<String, Value>,
    schemas: Map<String, Value>,
}

/// The header by which a proxy names the prefix that it has removed.
const FORWARDED_PREFIX: &str = "x-forwarded-prefix";

/// The routes that a server has only with some settings.
pub(crate) struct Has {
    pub(crate) root: bool,
    pub(crate) shadows: bool,
}

/// Adds the host's routes to a response with the document. `prefix` precedes all paths, and ends in `of_policy`, which is that
/// of a policy of the root.
pub(crate) async fn complete(
    response: Response<Full<Bytes>>,
    prefix: &str,
    of_policy: &str,
    has: &Has,
) -> Result<Response<Full<Bytes>>, Error> {
    let status = response.status();
    let (parts, body) = response.into_parts();
    let Ok(body) = body.collect().await;
    let bytes = body.to_bytes();
    if !status.is_success() {
        return Ok(Response::from_parts(parts, Full::new(bytes)));
    }
    let completed = document(&bytes, prefix, of_policy, has).map_err(|error| Error::Internal(error.into()))?;
    Ok(json(status, completed.into()))
}

/// Returns the prefix that a request has lost on its way here: by this server, or by a proxy that names it.
pub(crate) fn prefix(base: Option<&BasePath>, headers: &HeaderMap) -> Option<BasePath> {
    // A client can send anything, so only a plain path counts.
    let forwarded = || headers.get(FORWARDED_PREFIX)?.to_str().ok()?.parse().ok();
    base.cloned().or_else(forwarded)
}

fn document(bytes: &[u8], prefix: &str, of_policy: &str, has: &Has) -> serde_json::Result<Vec<u8>> {
    let Part { paths, schemas } = serde_json::from_str(PART)?;
    let mut document = serde_json::from_slice::<Value>(bytes)?;
    let is_served = |path: &str| match path {
        "/policies" => has.root,
        "/sac/model/promote" => has.shadows,
        _ => true,
    };
    // These routes need a token if that of the model does.
    let info = document.pointer("/paths/~1sac~1model~1info/get").cloned().unwrap_or_default();
    let mut added = paths
        .into_iter()
        .filter(|(path, _)| is_served(path) && (of_policy.is_empty() || path.starts_with("/sac/")))
        .collect::<Map<_, _>>();
    for (_, item) in added.iter_mut().filter(|(path, _)| *path != "/healthz") {
        item.as_object_mut().into_iter().flat_map(Map::values_mut).for_each(|operation| secure(operation, &info));
    }
    for (place, more) in [("/paths", added), ("/components/schemas", schemas)] {
        if let Some(found) = document.pointer_mut(place).and_then(Value::as_object_mut) {
            found.extend(more);
        }
    }
    if let Some(url) = document.pointer_mut("/servers/0/url").filter(|_| !prefix.is_empty()) {
        *url = prefix.into();
    }
    serde_json::to_vec(&document)
}

/// Gives an operation the security of another.
fn secure(operation: &mut Value, other: &Value) {
    if let Some(security) = other.get("security") {
        operation["security"] = security.clone();
        operation["responses"]["401"] = other["responses"]["401"].clone();
    }
}
