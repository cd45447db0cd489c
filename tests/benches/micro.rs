//! Measures the parts of a request, most of them without sockets: `cargo bench -p sac-tests --bench micro`.

use std::fs;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use divan::{Bencher, black_box};
use http::Request;
use http_body_util::{BodyExt, Full};
use sac_owner::Freshness;
use sac_serving::{Config, SacService, Source};
use sac_tests::{Owner, Server, Settings};
use tempfile::TempDir;
use tokio::runtime::Runtime;

fn main() {
    divan::main();
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));
static SERVICE: LazyLock<SacService> = LazyLock::new(|| {
    let source = Source::new(Some(&checkpoint()), None, None);
    SacService::new(Config { source, ..Config::default() }).expect("the component runs")
});

/// A request through the component: routing, JSON, the forward pass.
#[divan::bench]
fn predict(bencher: Bencher) {
    let state = vec!["0.25"; 28].join(",");
    answer(bencher, "POST", "/sac/predict", format!("{{\"state\":[{state}]}}"));
}

/// The cost of a request for next to nothing.
#[divan::bench]
fn health(bencher: Bencher) {
    answer(bencher, "GET", "/sac/health", String::new());
}

/// The same over a socket, from the host and from the Spin gateway, whose instances answer 128 requests each. The client
/// runs beside the server, on the same cores.
#[divan::bench(args = [Owner::Host, Owner::Composed], sample_size = 1, sample_count = 2000)]
fn predict_over_http(bencher: Bencher, kind: Owner) {
    let folder = folder_of(1);
    let state = [0.25; 28];
    let (_server, mut client) = RUNTIME.block_on(async {
        let server = Server::start(kind, &Settings::folder(folder.path())).await;
        let mut client = server.client().await;
        client.predict(&state).await;
        (server, client)
    });
    bencher.bench_local(|| RUNTIME.block_on(client.predict(&state)));
}

/// A fresh instance, the checkpoint loaded into it and published.
#[divan::bench(sample_size = 1)]
fn load(bencher: Bencher) {
    answer(bencher, "POST", "/sac/model/reload", String::new());
}

/// A hundred forward passes, and the request for them.
#[divan::bench(args = [1, 32, 256], sample_size = 1)]
fn forward_100_times(bencher: Bencher, batch: usize) {
    let body = format!("{{\"warmup\":0,\"iterations\":100,\"batch_size\":{batch}}}");
    answer(bencher, "POST", "/sac/benchmark", body);
}

/// The check that the file in service is still the right one, among so many.
#[divan::bench(args = [1, 16, 10_000])]
fn freshness(bencher: Bencher, files: usize) {
    let folder = folder_of(files);
    let source = Source::new(None, Some(folder.path()), None);
    let freshness = Freshness::default().renew(&source, false, |_| Ok(())).freshness;
    bencher.bench_local(|| black_box(freshness.judge(&source).changed));
}

fn answer(bencher: Bencher, method: &str, path: &str, body: String) {
    let body = Bytes::from(body);
    bencher.bench_local(|| {
        let request = Request::builder().method(method).uri(path).body(Full::new(body.clone())).expect("a request");
        RUNTIME.block_on(async {
            let response = SERVICE.respond(request).await;
            assert!(response.status().is_success(), "{}", response.status());
            response.into_body().collect().await.expect("a body is there").to_bytes()
        })
    });
}

fn checkpoint() -> std::path::PathBuf {
    sac_tests::path("stat_pair_03000.onnx")
}

/// A folder with so many names of one file. Ten thousand copies would fill three gigabytes.
fn folder_of(files: usize) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let first = folder.path().join("model_00000.onnx");
    fs::copy(checkpoint(), &first).expect("a copy");
    for index in 1..files {
        fs::hard_link(&first, folder.path().join(format!("model_{index:05}.onnx"))).expect("a link");
    }
    // Each request lists a folder that is younger than a tick of its clock.
    std::thread::sleep(Duration::from_millis(200));
    folder
}
