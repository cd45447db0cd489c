//! The gateway: under Spin, or any other runtime of wasi:http, it owns the checkpoint files and asks the actor component.
//!
//! Its state lives as long as the runtime keeps the instance. Environment variables configure it, and it imports nothing
//! that is specific to Spin.
#![cfg(target_family = "wasm")]

mod owner;
mod policy;
mod registry;
mod response;
mod response_body;
mod snapshot;
mod wit;

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::Result;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use sac_owner::Environment;
use sac_owner::settings::DRAIN_BYTES;
use spin_sdk::http::{IntoResponse, Request, Response, StatusCode};
use spin_sdk::http_service;
use wit_bindgen::yield_async;

use owner::Owner;
use response_body::{ResponseBody, bodies_are_taken};
use snapshot::{Mounts, Snapshot};

thread_local! {
    static OWNER: RefCell<Option<Owner>> = const { RefCell::new(None) };
    static MOUNTS: Rc<Mounts> = Rc::new(Mounts::new());
}

#[http_service]
async fn handle(request: Request) -> Result<impl IntoResponse> {
    bodies_are_taken().await;
    let (parts, body) = request.into_parts();
    let is_first = OWNER.with_borrow(Option::is_none);
    let limit = with_owner(|owner| owner.max_body_bytes)?;
    if is_first {
        // Spin leaves its scheduler to read variables, and returns to it here. Otherwise another thread would write the head
        // of the response before its body.
        yield_async().await;
    }
    let body = receive(body, limit).await?;
    if parts.headers.get("content-encoding").is_some_and(|encoding| encoding != "identity") {
        return response(wit::Response::encoded(parts.uri.path()));
    }
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let request = wit::Request {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        authorization: header("authorization"),
        inference_header_content_length: header("inference-header-content-length"),
        body: body.map_or(wit::Body::OverLimit, |body| wit::Body::Complete(body.into())),
    };
    let mounts = MOUNTS.with(Rc::clone);
    let snapshot = match with_owner(|owner| owner.watched(&request.path))? {
        Some(paths) => Snapshot::take(&mounts, paths).await,
        None => None,
    };
    bodies_are_taken().await;
    // Nothing awaits from here on, so that no other request of this instance finds the owner borrowed.
    let answer = with_owner(|owner| owner.answer(request, snapshot))??;
    response(answer)
}

/// Calls `act` with the owner of this instance. The first call that finds valid settings makes it.
fn with_owner<T>(act: impl FnOnce(&mut Owner) -> T) -> Result<T> {
    OWNER.with_borrow_mut(|slot| {
        let owner = match slot {
            Some(owner) => owner,
            None => slot.insert(Owner::new(Environment::read(|name| std::env::var_os(name))?)),
        };
        Ok(act(owner))
    })
}

/// Receives a body. Returns `None` if it is larger than `limit` bytes.
async fn receive(
    mut body: impl http_body::Body<Data = Bytes, Error: Into<anyhow::Error>> + Unpin,
    limit: u64,
) -> Result<Option<Bytes>> {
    let mut buffer = BytesMut::new();
    let mut received = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Into::into)?.into_data() else { continue };
        received += data.len() as u64;
        if received <= limit {
            buffer.extend_from_slice(&data);
        } else if received > limit.saturating_add(DRAIN_BYTES as u64) {
            break;
        }
    }
    Ok((received <= limit).then(|| buffer.freeze()))
}

fn response(answer: wit::Response) -> Result<Response<ResponseBody>> {
    let mut builder = Response::builder()
        .status(StatusCode::from_u16(answer.status)?)
        // Without it the response is chunked, which takes several writes.
        .header("content-length", answer.body.len());
    if !answer.headers.iter().any(|(name, _)| name == "content-type") {
        builder = builder.header("content-type", "application/json");
    }
    for (name, value) in answer.headers {
        builder = builder.header(name, value);
    }
    Ok(builder.body(ResponseBody::new(answer.body))?)
}
