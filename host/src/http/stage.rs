//! The stages of a server's end.

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;

use crate::http::error::json;
use crate::http::route::Health;
use crate::http::service::SacService;
use crate::swap::holder::Holder;

/// The stage of a server, which never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Stage {
    #[default]
    Serving,
    /// Health says that the server stops, so that a load balancer turns to others. Everything else is served.
    LameDuck,
    /// What is in flight finishes, and streams end.
    Draining,
}

impl SacService {
    /// Lets health say from now on that this server stops.
    pub(crate) fn stop(&self) {
        self.stage.send_replace(Stage::LameDuck);
    }

    /// Ends streams from now on.
    pub(crate) fn drain(&self) {
        self.stage.send_replace(Stage::Draining);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.stage.borrow() >= Stage::LameDuck
    }

    pub(super) fn is_draining(&self) -> bool {
        *self.stage.borrow() == Stage::Draining
    }

    /// Returns when streams have to end.
    pub(super) async fn draining(&self) {
        // This service keeps the sender.
        let _ = self.stage.subscribe().wait_for(|stage| *stage == Stage::Draining).await;
    }
}

/// Returns the response to a health route after a shutdown began, if it is another one then.
pub(super) fn stopping(health: Health, holder: &Holder) -> Option<Response<Full<Bytes>>> {
    let body = match health {
        Health::Live => return None,
        Health::Ready => serde_json::json!({ "ready": false }),
        Health::Sac => serde_json::json!({ "status": "stopping", "model_loaded": holder.has_policy() }),
    };
    Some(json(StatusCode::SERVICE_UNAVAILABLE, body.to_string().into()))
}
