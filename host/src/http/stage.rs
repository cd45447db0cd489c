//! The stages of a server's end.

use crate::http::service::SacService;

/// The stage of a server, which never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Stage {
    #[default]
    Serving,
    /// Health says that the server stops, so that a load balancer turns to others. Everything else is served.
    LameDuck,
    /// Requests in flight finish, and streams end.
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
