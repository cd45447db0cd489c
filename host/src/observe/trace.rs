//! Spans, at level debug, for whatever subscriber there is: of a request, of what the component does for it, of a reload.
//! What is logged meanwhile are their events. Names are those of OpenTelemetry's conventions for HTTP.

use http::{HeaderMap, Method, StatusCode};
use tracing::field::Empty;
use tracing::{Level, Span, debug_span};

/// Of a request, within the trace that its client names. `route` is None for one that is not known.
pub(crate) fn request(method: &Method, route: Option<&str>, headers: &HeaderMap) -> Span {
    let span = debug_span!(
        "request",
        otel.name = name(method, route),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = known(method).unwrap_or("_OTHER"),
        http.route = route,
        http.response.status_code = Empty,
    );
    if !span.is_disabled() {
        adopt(&span, headers);
    }
    span
}

/// By a convention, an error is one of the server's.
pub(crate) fn answered(span: &Span, status: StatusCode) {
    // No other type of a whole number is one for OpenTelemetry.
    span.record("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}

/// Of a call of the component, for a request that has a span: what a dashboard looks at has none.
pub(crate) fn call(may_block: bool) -> Span {
    if tracing::span_enabled!(Level::DEBUG) && Span::current().is_none() {
        return Span::none();
    }
    debug_span!("actor.answer", may_block)
}

pub(crate) fn reload(forced: bool) -> Span {
    debug_span!("checkpoint.reload", forced)
}

/// What a client makes up names no span.
fn name(method: &Method, route: Option<&str>) -> String {
    let method = known(method).unwrap_or("HTTP");
    route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}"))
}

fn known(method: &Method) -> Option<&'static str> {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    KNOWN.into_iter().find(|known| method == known)
}

#[cfg(feature = "otlp")]
fn adopt(span: &Span, headers: &HeaderMap) {
    use opentelemetry_http::HeaderExtractor;
    use tracing_opentelemetry::OpenTelemetrySpanExt;
    let client = opentelemetry::global::get_text_map_propagator(|known| known.extract(&HeaderExtractor(headers)));
    // Fails where the span is somebody else's subscriber's.
    let _ = span.set_parent(client);
}

#[cfg(not(feature = "otlp"))]
fn adopt(_: &Span, _: &HeaderMap) {}
