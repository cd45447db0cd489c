//! `/sac/stream`: predictions over a WebSocket (RFC 6455), for control loops.
//!
//! A message is the body of a request to `/sac/predict`. It passes through the service as that request does, so its answer
//! comes from the checkpoint that is in service at that moment, and all limits and metrics count it.

mod conversation;
mod inbound;
mod protocol;

use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value};
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tracing::debug;

use crate::http::connection::Held;
use crate::http::error::Error;
use crate::http::form::Form;
use crate::http::found::Admitted;
use crate::http::memory::FREE_BYTES;
use crate::http::origin::is_socket_of_other_site;
use crate::http::peer::Peer;
use crate::http::route::{PREDICT, STREAM};
use crate::http::service::SacService;
use crate::http::stream::conversation::Limits;

/// The time after which a silent client gets a ping, and the time that it has to answer.
const SILENCE: Duration = Duration::from_secs(30);
/// The time that a client has to end its side.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// One client's stream of predictions.
struct Stream {
    service: SacService,
    /// The address of the policy's predictions.
    uri: Uri,
    /// The headers of every prediction.
    headers: HeaderMap,
    peer: Option<Peer>,
    /// Counts the connection until the stream ends.
    _held: Option<Held>,
}

impl SacService {
    /// Turns the connection of a request into a stream, if the client is authorised. There may be no checkpoint yet.
    pub(super) async fn stream<B>(&self, mut request: Request<B>) -> Result<Response<Full<Bytes>>, Error> {
        if request.method() != Method::GET {
            let mut response = Error::MethodNotAllowed.into_response(Form::Detail);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
            return Ok(response);
        }
        if is_socket_of_other_site(request.uri(), request.headers(), request.extensions().get()) {
            return Err(Error::StreamOfOtherSite);
        }
        let protocol = protocol::accept(request.headers_mut());
        // Each message takes one of its own.
        let _permit = self.permit(None)?;
        let policy = self.address(request.uri().path()).policy.map(str::to_owned);
        if let Admitted::Refused(answer) = self.authorised(policy.as_deref(), request.headers()).await? {
            return self.convert(answer);
        }
        if self.is_draining() {
            return Err(Error::Stopping);
        }
        let mut response = create_response_with_body(&request, Full::default).map_err(Error::NotWebSocket)?;
        response.headers_mut().extend(protocol.map(|protocol| (SEC_WEBSOCKET_PROTOCOL, protocol)));
        // A server that cannot hand over its connections would leave the client waiting.
        let upgrade = request.extensions_mut().remove::<OnUpgrade>().ok_or(Error::NoUpgrade)?;
        tokio::spawn(self.clone().run(upgrade, request.map(drop)));
        Ok(response)
    }

    // It is boxed because a stream's predictions are requests, as the one that began it.
    fn run(self, upgrade: OnUpgrade, request: Request<()>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let Ok(uri) = predict_uri(request.uri().path()) else { return };
            let (mut parts, ()) = request.into_parts();
            let headers = parts.headers.remove(AUTHORIZATION).map(|value| (AUTHORIZATION, value)).into_iter().collect();
            let (peer, held) = (parts.extensions.remove(), parts.extensions.remove());
            let stream = Stream { service: self, uri, headers, peer, _held: held };
            if let Err(error) = stream.serve(upgrade).await {
                debug!("stream: {error}");
            }
        })
    }
}

impl Stream {
    async fn serve(self, upgrade: OnUpgrade) -> tungstenite::Result<()> {
        let connection = upgrade.await.map_err(io::Error::other)?;
        // A body of this size takes none of the memory that requests share.
        let max_bytes = FREE_BYTES.min(self.service.max_body_bytes());
        let message_time = self.service.body_time();
        let limits = Limits { max_bytes, message_time, silence: SILENCE, pong_time: SILENCE, close_time: CLOSE_TIME };
        let answer = |message| self.answer(message);
        let served = conversation::serve(TokioIo::new(connection), limits, answer, self.service.draining()).await;
        if let (Some(peer), Err(tungstenite::Error::Io(error))) = (&self.peer, &served)
            && error.kind() == io::ErrorKind::TimedOut
        {
            peer.reset();
        }
        served
    }

    /// Answers one message.
    async fn answer(&self, message: Utf8Bytes) -> Utf8Bytes {
        let mut request = Request::new(Full::new(Bytes::from(message)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let response = self.service.respond(request).await;
        let status = response.status();
        let Ok(body) = response.into_body().collect().await;
        let body = body.to_bytes();
        if status == StatusCode::OK { Utf8Bytes::try_from(body).unwrap_or_default() } else { failure(status, &body) }
    }
}

/// Adds the status to the body of a response, since a message has no other place for it.
fn failure(status: StatusCode, body: &[u8]) -> Utf8Bytes {
    let mut failure = serde_json::from_slice::<Map<String, Value>>(body).unwrap_or_default();
    failure.insert("status".to_owned(), status.as_u16().into());
    Value::from(failure).to_string().into()
}

/// Returns the address of a stream's predictions, below the prefix of its policy.
fn predict_uri(stream: &str) -> Result<Uri, http::uri::InvalidUri> {
    [stream.strip_suffix(STREAM).unwrap_or_default(), PREDICT].concat().parse()
}
