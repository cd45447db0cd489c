//! /metrics counts requests, swaps and instances, and /status lists the swaps.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::ready;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use hyper::body::{Body, Frame};
use prometheus_parse::{Sample, Scrape, Value};
use sac_serving::SandboxLimits;
use sac_tests::{Client, Server, Settings, checkpoint, patient_sandbox, publish};
use serde_json::json;
use tempfile::tempdir;

use crate::sandbox::probing_server;

/// The samples of /metrics.
struct Metrics(Vec<Sample>);

impl Metrics {
    async fn of(client: &mut Client) -> Metrics {
        Metrics::read(client.get("/metrics").await.text())
    }

    fn read(text: &str) -> Metrics {
        Metrics(Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).unwrap().samples)
    }

    /// The value of the only sample of this name with these labels.
    #[track_caller]
    fn get(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |sample: &&Sample| {
            sample.metric == name && labels.iter().all(|(label, value)| sample.labels.get(label) == Some(value))
        };
        let found = self.0.iter().filter(fits).collect::<Vec<_>>();
        let [sample] = found[..] else { panic!("{} samples of {name} {labels:?}", found.len()) };
        match &sample.value {
            Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => *value,
            Value::Histogram(buckets) => buckets.last().unwrap().count,
            Value::Summary(_) => panic!("a summary"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_and_timed_by_route_and_status() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let server = Server::folder(folder.path()).await;
    let mut client = server.client().await;
    for state in [json!([1, 2, 3]), json!([1, 2, 3]), json!([1])] {
        client.post("/sac/predict", json!({ "state": state })).await;
    }
    client.post("/sac/predict/batch", json!({ "states": [[1, 2, 3]] })).await.ok();
    client.get("/sac/made-up-by-a-client").await;
    let metrics = Metrics::of(&mut client).await;
    let requests = |route, status| metrics.get("sac_requests_total", &[("route", route), ("status", status)]);
    assert_eq!((requests("/sac/predict", "200"), requests("/sac/predict", "400")), (2.0, 1.0));
    assert_eq!((requests("/sac/predict/batch", "200"), requests("other", "404")), (1.0, 1.0));
    let times = |name, route| metrics.get(name, &[("route", route)]);
    assert_eq!(times("sac_request_duration_seconds", "/sac/predict"), 3.0);
    // A request that is refused has no inference time.
    assert_eq!(times("sac_inference_duration_seconds", "/sac/predict"), 2.0);
    assert_eq!(times("sac_inference_duration_seconds", "/sac/predict/batch"), 1.0);
    assert_eq!((metrics.get("sac_requests_in_flight", &[]), metrics.get("sac_connections", &[])), (0.0, 1.0));
}

/// The body of a request whose client sends nothing.
struct NeverComes;

impl Body for NeverComes {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_dropped_before_its_answer_is_counted_as_aborted() {
    let folder = tempdir().unwrap();
    let service = Settings::folder(folder.path()).service().await;
    let request = http::Request::post("/sac/predict").body(NeverComes).unwrap();
    tokio::select! {
        biased;
        _ = service.respond(request) => panic!("answered without its body"),
        () = ready(()) => {}
    }
    let metrics = Metrics::read(&service.metrics().await.unwrap());
    let aborted = [("route", "/sac/predict"), ("status", "aborted")];
    assert_eq!(metrics.get("sac_requests_total", &aborted), 1.0);
    assert_eq!(metrics.get("sac_requests_in_flight", &[]), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn swaps_and_refusals_are_counted_and_listed_and_reading_them_sees_a_new_file() {
    let folder = tempdir().unwrap();
    let (good, bad) = (folder.path().join("model_a.onnx"), folder.path().join("model_b.onnx"));
    let server = Server::folder(folder.path()).await;
    let mut client = server.client().await;
    let model =
        |metrics: &Metrics| ["loaded", "stale", "generation"].map(|n| metrics.get(&format!("sac_model_{n}"), &[]));
    let reloads =
        |metrics: &Metrics| ["loaded", "refused"].map(|o| metrics.get("sac_reloads_total", &[("outcome", o)]));
    let metrics = Metrics::of(&mut client).await;
    assert_eq!((model(&metrics), reloads(&metrics)), ([0.0, 0.0, 0.0], [0.0, 0.0]));
    let status = client.get("/status").await.ok();
    assert_eq!((&status["model"], &status["detail"]), (&json!(null), &json!("No SAC model loaded")));

    // No request but the reading itself looks at the files.
    publish(&good, &checkpoint("pendulum_00500"));
    let metrics = Metrics::of(&mut client).await;
    assert_eq!((model(&metrics), reloads(&metrics)), ([1.0, 0.0, 1.0], [1.0, 0.0]));
    publish(&bad, b"broken");
    let metrics = Metrics::of(&mut client).await;
    assert_eq!((model(&metrics), reloads(&metrics)), ([1.0, 1.0, 1.0], [1.0, 1.0]));
    assert_eq!(metrics.get("sac_reload_duration_seconds", &[]), 2.0);
    let age = metrics.get("sac_model_age_seconds", &[]);
    assert!((0.0..600.0).contains(&age), "{age}");
    let info = client.info().await;
    let labels = [("path", info["path"].as_str().unwrap()), ("sha256", info["sha256"].as_str().unwrap())];
    assert_eq!(metrics.get("sac_model_info", &labels), 1.0);

    publish(&bad, &checkpoint("pendulum_08000"));
    let status = client.get("/status").await.ok();
    assert_eq!(status["model"]["generation"], 2);
    let swaps = status["swaps"].as_array().unwrap();
    let listed = swaps.iter().map(|swap| (&swap["path"], &swap["generation"], swap["detail"].is_null()));
    let (good, bad) = (json!(good.canonicalize().unwrap()), json!(bad.canonicalize().unwrap()));
    let (first, second, none) = (json!(1), json!(2), json!(null));
    assert_eq!(listed.collect::<Vec<_>>(), [(&bad, &second, true), (&bad, &none, false), (&good, &first, true)]);
    assert!(swaps.iter().all(|swap| swap["duration_ms"].as_f64().unwrap() > 0.0));
    // There is one sample: a policy that is no longer in service has none.
    Metrics::of(&mut client).await.get("sac_model_info", &[]);
}

/// The history, once the step that something is in has ended.
async fn history_when(client: &mut Client, is_there: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
    let ended = async {
        loop {
            let history = client.get("/status/history").await.ok();
            if is_there(&history) {
                break history;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(300), ended).await.expect("steps end")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_has_the_requests_and_the_swaps_that_nobody_watched() {
    let folder = tempdir().unwrap();
    let (good, bad) = (folder.path().join("model_a.onnx"), folder.path().join("model_b.onnx"));
    let server = Server::folder(folder.path()).await;
    let mut client = server.client().await;
    client.post("/sac/predict", json!({ "state": [0.1, 0.2, 0.3] })).await.detail(503);
    let numbers = |history: &serde_json::Value, name: &str| {
        let values = history[name].as_array().unwrap().iter();
        values.filter_map(serde_json::Value::as_f64).filter(|value| *value > 0.0).collect::<Vec<_>>()
    };
    let history = history_when(&mut client, |history| !numbers(history, "errors_per_second").is_empty()).await;
    // A prediction that was not answered has no latency.
    assert!(numbers(&history, "p50_ms").is_empty(), "{history}");
    publish(&good, &checkpoint("pendulum_00500"));
    client.predict(&[0.1, 0.2, 0.3]).await;
    publish(&bad, b"broken");
    client.post("/sac/predict", json!({ "state": [1] })).await.detail(400);
    let history = history_when(&mut client, |history| !numbers(history, "p50_ms").is_empty()).await;
    let sum = |name| numbers(&history, name).iter().sum::<f64>();
    assert!(sum("requests_per_second") > sum("errors_per_second"), "{history}");
    let [low, middle, high] = ["p50_ms", "p90_ms", "p99_ms"].map(|name| numbers(&history, name)[0]);
    assert!(low <= middle && middle <= high, "{history}");
    let marks = history["marks"].as_array().unwrap();
    assert_eq!(marks.len(), 2, "{history}");
    assert_eq!((&marks[0]["path"], &marks[0]["generation"]), (&json!(good.canonicalize().unwrap()), &json!(1)));
    assert_eq!(marks[0]["detail"], json!(null));
    assert!(marks[0]["duration_ms"].as_f64().unwrap() > 0.0, "{history}");
    assert_eq!((&marks[1]["path"], &marks[1]["generation"]), (&json!(bad.canonicalize().unwrap()), &json!(null)));
    assert!(marks[1]["detail"].as_str().unwrap().contains("checkpoint"), "{history}");
    let lengths = ["at_unix_seconds", "requests_per_second", "errors_per_second", "p50_ms", "p90_ms", "p99_ms"];
    let lengths = lengths.map(|name| history[name].as_array().unwrap().len());
    assert!(lengths.iter().all(|length| *length == lengths[0]), "{history}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_hundred_swaps_are_listed_and_the_instances_of_earlier_ones_end() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let server = Server::folder(folder.path()).await;
    let mut client = server.client().await;
    for _ in 0..105 {
        client.post("/sac/model/reload", json!({})).await.ok();
    }
    let status = client.get("/status").await.ok();
    let generations = status["swaps"].as_array().unwrap().iter().map(|swap| swap["generation"].as_u64().unwrap());
    let newest = status["model"]["generation"].as_u64().unwrap();
    assert!(generations.eq((newest - 99..=newest).rev()));
    // The generation in service has two instances, and one is ready for the next.
    let three_are_left = async {
        loop {
            let metrics = Metrics::of(&mut client).await;
            if metrics.get("sac_instances", &[]) == 3.0 {
                break metrics.get("sac_instance_memory_bytes", &[]);
            }
        }
    };
    let memory = tokio::time::timeout(Duration::from_secs(300), three_are_left)
        .await
        .expect("the instances of earlier generations end");
    assert!((1e5..8e6).contains(&memory), "{memory}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_is_replaced_is_counted_by_its_reason() {
    let server = probing_server(|_| ()).await;
    let mut client = server.client().await;
    for attempt in ["panic", "panic", "take-all-memory", "listen", "exit"] {
        client.get(&format!("/sac/{attempt}")).await;
    }
    let metrics = Metrics::of(&mut client).await;
    let lost = |reason| metrics.get("sac_instances_lost_total", &[("reason", reason)]);
    assert_eq!(["panic", "memory", "time"].map(lost), [2.0, 1.0, 0.0]);
    assert!(lost("trap") >= 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_took_too_long_is_counted() {
    let limits = SandboxLimits { call_time: Duration::from_secs(1), ..patient_sandbox() };
    let server = probing_server(|config| config.sandbox = limits).await;
    let mut client = server.client().await;
    client.get("/sac/spin").await.detail(503);
    let metrics = Metrics::of(&mut client).await;
    assert_eq!(metrics.get("sac_instances_lost_total", &[("reason", "time")]), 1.0);
}

/// Checks what `promtool check metrics` checks, as far as the text shows it.
#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_keep_to_prometheus_conventions() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_\"a\\\n.onnx"), &checkpoint("pendulum_00500"));
    let server = Server::folder(folder.path()).await;
    let mut client = server.client().await;
    client.predict(&[0.1, 0.2, 0.3]).await;
    let answer = client.get("/metrics").await;
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4"));
    let header = |word: &str| {
        let lines = answer.text().lines().filter_map(|line| line.strip_prefix(word)?.split_once(' '));
        lines.map(|(name, rest)| (name.to_owned(), rest.to_owned())).collect::<HashMap<_, _>>()
    };
    let (helps, types) = (header("# HELP "), header("# TYPE "));
    assert!(types.len() > 15, "{types:?}");
    for (name, kind) in &types {
        assert!(helps.get(name).is_some_and(|help| !help.is_empty()), "{name} has no help");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        assert!(kind != "histogram" || name.ends_with("_seconds"), "{name}");
        for unit in ["_ms", "_milliseconds", "_us", "_minutes", "_kb", "_mb", "_count", "_bucket", "_sum"] {
            assert!(!name.ends_with(unit), "{name} is in no base unit, or has a suffix that belongs to histograms");
        }
    }
    let samples = Scrape::parse(answer.text().lines().map(|line| Ok(line.to_owned()))).unwrap().samples;
    for sample in &samples {
        let Value::Histogram(buckets) = &sample.value else { continue };
        assert!(buckets.is_sorted_by(|a, b| a.less_than < b.less_than && a.count <= b.count), "{sample:?}");
        assert_eq!(buckets.last().unwrap().less_than, f64::INFINITY);
    }
    let mut names = samples.iter().map(|sample| format!("{} {}", sample.metric, sample.labels)).collect::<Vec<_>>();
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all, "a sample is there twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_documented_route_of_a_policy_is_counted_under_its_own_name() {
    let folder = tempdir().unwrap();
    let server = Server::folder(folder.path()).await;
    let mut client = server.client().await;
    let document = client.get("/sac/openapi.json").await.ok();
    let documented = document["paths"].as_object().unwrap().keys().map(String::as_str);
    let mut counted = Vec::new();
    let of_host = ["/healthz", "/metrics", "/status", "/status/history"];
    for route in documented.filter(|route| !of_host.contains(route)) {
        // Without a checkpoint, every version is one that may come.
        let path = route.replace("{model_name}", "sac").replace("{model_version}", "1");
        // Versions share the label of their model, and a label has no braces, which some readers of the text do not expect.
        let label = route.replace("/versions/{model_version}", "").replace("{model_name}", ":model_name");
        assert_eq!(client.send(Method::PUT, &path, "").await.status, 405, "{path}");
        let earlier = counted.iter().filter(|earlier| **earlier == label).count();
        let metrics = Metrics::of(&mut client).await;
        let count = metrics.get("sac_requests_total", &[("route", &label), ("status", "405")]);
        assert_eq!(count, (earlier + 1) as f64, "{path}");
        counted.push(label);
    }
}
