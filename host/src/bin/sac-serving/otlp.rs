//! Sends the library's spans to an OpenTelemetry collector, by OTLP over HTTP. OpenTelemetry's own variables configure it.

use std::env;

use anyhow::{Context, Result, ensure};
use opentelemetry::global;
use opentelemetry::trace::TracerProvider;
use opentelemetry::{Key, KeyValue};
use opentelemetry_otlp::{
    OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_PROTOCOL, OTEL_EXPORTER_OTLP_PROTOCOL_HTTP_PROTOBUF,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_PROTOCOL, SpanExporter,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Level, Subscriber, warn};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

const NAME: &str = "sac-serving";

/// The sender of traces. It sends the remaining ones when it is dropped.
pub struct Traces(SdkTracerProvider);

/// Returns the sender and the layer that feeds it, or `None` if no variable names a collector. Neither call this nor drop
/// the sender on a thread of a runtime: both block.
pub fn traces<S>() -> Result<Option<(Traces, impl Layer<S>)>>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let Some(collector) = [OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_EXPORTER_OTLP_ENDPOINT].into_iter().find_map(set)
    else {
        return Ok(None);
    };
    if set("OTEL_SDK_DISABLED").is_some_and(|disabled| disabled.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    ensure!(collector.starts_with("http://"), "traces cannot be sent: {collector} does not begin with http://");
    let protocol = [OTEL_EXPORTER_OTLP_TRACES_PROTOCOL, OTEL_EXPORTER_OTLP_PROTOCOL].into_iter().find_map(set);
    let protocol = protocol.unwrap_or_else(|| OTEL_EXPORTER_OTLP_PROTOCOL_HTTP_PROTOBUF.to_owned());
    ensure!(
        protocol == OTEL_EXPORTER_OTLP_PROTOCOL_HTTP_PROTOBUF,
        "traces cannot be sent by {protocol}, but by {OTEL_EXPORTER_OTLP_PROTOCOL_HTTP_PROTOBUF}"
    );
    let exporter = SpanExporter::builder().with_http().build().context("traces cannot be sent")?;
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource()).build();
    global::set_text_map_propagator(TraceContextPropagator::new());
    let ours = Targets::new().with_target("sac_serving", Level::DEBUG);
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer(NAME)).with_filter(ours);
    Ok(Some((Traces(provider), layer)))
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            warn!("the last traces were not sent: {error}");
        }
    }
}

fn set(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// Returns the resource that the variables describe. The service name defaults to the program's name.
fn resource() -> Resource {
    let given = Resource::builder().build();
    let name = given.get(&Key::from_static_str("service.name")).map(|name| name.to_string());
    let is_named = name.is_some_and(|name| !name.starts_with("unknown_service"));
    let resource = Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if is_named { resource.build() } else { resource.with_service_name(NAME).build() }
}
