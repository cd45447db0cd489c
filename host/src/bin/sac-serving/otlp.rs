//! The library's spans, sent to an OpenTelemetry collector by OTLP over HTTP, where and how OpenTelemetry's own variables
//! say.

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

/// Sends what is left when it is dropped.
pub struct Traces(SdkTracerProvider);

/// None where no collector is named. Not to be called, nor its outcome dropped, on a runtime's thread.
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
    ensure!(collector.starts_with("http://"), "traces cannot be sent: {collector} is not of http://");
    let protocol = [OTEL_EXPORTER_OTLP_TRACES_PROTOCOL, OTEL_EXPORTER_OTLP_PROTOCOL].into_iter().find_map(set);
    let protocol = protocol.unwrap_or_else(|| OTEL_EXPORTER_OTLP_PROTOCOL_HTTP_PROTOBUF.to_owned());
    ensure!(
        protocol == OTEL_EXPORTER_OTLP_PROTOCOL_HTTP_PROTOBUF,
        "traces cannot be sent by {protocol}: {OTEL_EXPORTER_OTLP_PROTOCOL_HTTP_PROTOBUF} is spoken"
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

/// As the variables say, by the program's name where they do not.
fn resource() -> Resource {
    let told = Resource::builder().build();
    let name = told.get(&Key::from_static_str("service.name")).map(|name| name.to_string());
    let is_told = name.is_some_and(|name| !name.starts_with("unknown_service"));
    let resource = Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if is_told { resource.build() } else { resource.with_service_name(NAME).build() }
}
