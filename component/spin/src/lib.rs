//! The gateway: under Spin, or any runtime of wasi:http, it owns the checkpoint files and asks the actor component.
//!
//! Its state lives as long as the runtime keeps the instance. It imports nothing of Spin's own: configuration comes by
//! environment variables.
#![cfg(target_family = "wasm")]

mod config;
mod owner;

use std::cell::RefCell;

use anyhow::Result;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use spin_sdk::http::{IntoResponse, Request, Response, StatusCode};
use spin_sdk::http_service;

use config::Config;
use owner::{Owner, wit};

/// As much of a body over the limit is read and dropped, for the client to see the answer.
const DRAIN_BYTES: usize = 16 << 20;

thread_local! {
    static OWNER: RefCell<Option<Owner>> = const { RefCell::new(None) };
}

#[http_service]
async fn handle(request: Request) -> Result<impl IntoResponse> {
    let config = Config::from_env()?;
    let (parts, body) = request.into_parts();
    let body = receive(body, config.max_body_bytes).await?;
    let authorization = parts.headers.get("authorization").and_then(|value| value.to_str().ok());
    let request = wit::Request {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        authorization: authorization.map(str::to_owned),
        body: body.map_or(wit::Body::OverLimit, |body| wit::Body::Complete(body.into())),
    };
    // Requests of one instance take turns at the bodies above, never here: nothing awaits.
    let answer = OWNER.with_borrow_mut(|owner| owner.get_or_insert_with(|| Owner::new(config)).answer(&request))?;
    response(answer)
}

/// None for a body over the limit.
async fn receive(
    mut body: impl http_body::Body<Data = Bytes, Error: Into<anyhow::Error>> + Unpin,
    limit: usize,
) -> Result<Option<Bytes>> {
    let mut buffer = BytesMut::new();
    let mut received = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Into::into)?.into_data() else { continue };
        received += data.len();
        if received <= limit {
            buffer.extend_from_slice(&data);
        } else if received > limit + DRAIN_BYTES {
            break;
        }
    }
    Ok((received <= limit).then(|| buffer.freeze()))
}

fn response(answer: wit::Response) -> Result<Response<Full<Bytes>>> {
    let mut builder = Response::builder()
        .status(StatusCode::from_u16(answer.status)?)
        .header("content-type", "application/json")
        // Without it the answer is chunked: several writes, and 40 ms of delayed acknowledgement.
        .header("content-length", answer.body.len());
    for (name, value) in answer.headers {
        builder = builder.header(name, value);
    }
    Ok(builder.body(Full::new(answer.body.into()))?)
}
