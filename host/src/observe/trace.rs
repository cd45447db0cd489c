//! Spans of a request, of the component's call for it, and of a reload. They have level debug, and go to any subscriber. Log
//! lines become events of the span they are in. The names follow OpenTelemetry's semantic conventions for HTTP.

use http::{HeaderMap, Method, StatusCode};
use tracing::field::Empty;
use tracing::{Level, Span, debug_span};

/// Creates the span of a request, within the trace that the client names. `route` is `None` for an unknown path.
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

/// Records the status of a response. By the conventions, only an error of the server marks the span as failed.
pub(crate) fn finish(span: &Span, status: StatusCode) {
    // The only integer type that OpenTelemetry has.
    span.record("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}

/// Creates the span of a call into the component, if the request has a span. Requests of the dashboard have none.
pub(crate) fn call(may_block: bool) -> Span {
    if tracing::span_enabled!(Level::DEBUG) && Span::current().is_none() {
        return Span::none();
    }
    debug_span!("actor.answer", may_block)
}

/// Creates the span of a reload.
pub(crate) fn reload(forced: bool) -> Span {
    debug_span!("checkpoint.reload", forced)
}

/// Returns the name of a request's span. An unknown method or path does not appear in it.
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
    // An error means that the subscriber does not record traces.
    let _ = span.set_parent(client);
}

#[cfg(not(feature = "otlp"))]
fn adopt(_: &Span, _: &HeaderMap) {}
