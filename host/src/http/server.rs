//! The HTTP/1.1 server: it accepts connections, and ends them at a shutdown. It knows no route.

use std::future::{Future, ready};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tracing::{debug, info, warn};

use crate::http::config::HttpConfig;
use crate::http::connection::{Server, turn_away};
use crate::http::places::Places;
use crate::http::router::Router;
use crate::http::service::SacService;
use crate::http::socket::{ClientAddress, Connection, Listener};
use crate::observe::timeline::STEP;

/// The time that a kept connection has for one more request after a shutdown began. The response then says that the
/// connection ends, so that no request is lost between a client that sends and a server that closes.
const LAST_REQUEST: Duration = Duration::from_millis(500);

/// The time limit for writing the last decisions.
const LAST_DECISIONS: Duration = Duration::from_secs(5);

/// Serves the routes of a [`Router`] over HTTP/1.1 until `shutdown` resolves, then lets the requests in flight finish.
///
/// The checkpoint loads in the background. Only requests that need it wait for it. The last hour of `/status/history` is kept
/// while this runs, as it is by [`serve_with`].
pub async fn serve(
    listener: impl Into<Listener>,
    service: SacService,
    config: HttpConfig,
    shutdown: impl Future<Output = ()>,
) {
    let router = Arc::new(Router::new(service.clone()));
    let answer = move |request| {
        let router = router.clone();
        async move { router.respond(request).await }
    };
    serve_with(listener, service, answer, config, shutdown).await;
}

/// Serves as [`serve`] does, but by a function of the caller. `answer` may have its own routes, and leave the others to
/// [`Router::respond`].
pub async fn serve_with<R>(
    listener: impl Into<Listener>,
    service: SacService,
    answer: impl Fn(Request<Incoming>) -> R + Send + Sync + 'static,
    config: HttpConfig,
    shutdown: impl Future<Output = ()>,
) where
    R: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let mut listener = listener.into();
    let preload = service.clone();
    tokio::spawn(async move { preload.preload().await });
    // It ends with this set.
    let mut tasks = JoinSet::new();
    tasks.spawn(keep_timeline(service.clone()));
    let HttpConfig { lame_duck_time, drain_time, .. } = config;
    let places = Places::new(&config);
    let server = Arc::new(Server { service: service.clone(), answer, config });
    let acceptor = Acceptor { server, places, draining: watch::Sender::default() };
    acceptor.accept_until(&listener, shutdown).await;
    service.stop();
    if !lame_duck_time.is_zero() {
        info!("shutting down: health says so for {} s, and requests are served", lame_duck_time.as_secs_f32());
        acceptor.accept_until(&listener, sleep(lame_duck_time)).await;
    }
    service.drain();
    // No client finds a Unix socket from here on. Clients that have connected are served.
    listener.remove_file();
    acceptor.accept_until(&listener, ready(())).await;
    drop(listener);
    info!("shutting down: finishing the requests in flight");
    let finish = async {
        let _ = timeout(LAST_REQUEST.min(drain_time / 2), acceptor.places.empty()).await;
        acceptor.draining.send_replace(true);
        acceptor.places.empty().await;
    };
    if timeout(drain_time, finish).await.is_err() {
        warn!("requests still in flight after {} s are cut off", drain_time.as_secs_f32());
    }
    service.finish_decisions(LAST_DECISIONS).await;
}

/// Copies the counters of requests once a step, for the charts of the page. It looks at no file.
async fn keep_timeline(service: SacService) {
    let mut last = Instant::now();
    let mut ticks = interval_at(last + STEP, STEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let (metrics, now) = (service.metrics_registry(), Instant::now());
        metrics.timeline.add(SystemTime::now(), now - last, metrics.totals());
        last = now;
    }
}

struct Acceptor<A> {
    server: Arc<Server<A>>,
    places: Arc<Places>,
    /// True when each connection has to end with the request in flight.
    draining: watch::Sender<bool>,
}

impl<A, R> Acceptor<A>
where
    A: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
    R: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    /// Accepts connections until `end` resolves and none is waiting.
    async fn accept_until(&self, listener: &Listener, end: impl Future<Output = ()>) {
        let mut end = pin!(end);
        loop {
            tokio::select! {
                biased;
                accepted = listener.accept() => match accepted {
                    Ok((connection, client)) => self.accept(connection, client),
                    Err(error) => {
                        // Most often the limit of open files is reached. Meanwhile connections may end.
                        warn!("a connection cannot be accepted: {error}");
                        tokio::select! {
                            () = sleep(Duration::from_millis(50)) => {}
                            () = &mut end => return,
                        }
                    }
                },
                () = &mut end => return,
            }
        }
    }

    fn accept(&self, connection: Connection, client: ClientAddress) {
        let Some(place) = self.places.take(client) else {
            turn_away(&connection, &self.server.config);
            return;
        };
        let number = place.number;
        let serving = self.server.clone().serve(connection, client, self.draining.subscribe(), place);
        let task = tokio::spawn(async move {
            if let Err(error) = serving.await {
                debug!("connection: {error:#}");
            }
        });
        self.places.serve(number, task.abort_handle());
    }
}
