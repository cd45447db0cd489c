//! Many policies in one process: each sub-folder of a root is one, with all routes below its name.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use http::Method;
use sac_serving::{Config, DefaultPolicy, RootConfig};
use sac_tests::{Client, Server, Settings, checkpoint, patient_http, publish};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};
use tokio::task::JoinSet;

use crate::sandbox::probing_server;

const STATE: [f64; 3] = [0.1, 0.2, 0.3];

/// Publishes a checkpoint of a policy.
fn put(root: &Path, name: &str, checkpoint: &[u8]) {
    fs::create_dir_all(root.join(name)).unwrap();
    publish(&root.join(name).join("model_a.onnx"), checkpoint);
}

/// A root with a policy of each name, from the same checkpoint.
fn root<const N: usize>(names: [&str; N]) -> TempDir {
    let root = tempdir().unwrap();
    for name in names {
        put(root.path(), name, &checkpoint("pendulum_00500"));
    }
    root
}

async fn server_with(root: &Path, adapt: impl FnOnce(&mut Config, &mut RootConfig)) -> Server {
    let (mut config, mut settings) = (Settings::folder(root).config(), RootConfig::new(root));
    adapt(&mut config, &mut settings);
    Server::with_config(Config { root: Some(settings), ..config }).await
}

async fn server(root: &Path) -> Server {
    server_with(root, |_, _| ()).await
}

async fn predict(client: &mut Client, name: &str) -> Value {
    client.post(&format!("/policies/{name}/sac/predict"), json!({ "state": STATE })).await.ok()
}

/// The policies of `GET /policies` by their names, each with one of its fields.
async fn listed(client: &mut Client, field: &str) -> Vec<(String, Value)> {
    let list = client.get("/policies").await.ok();
    let policies = list["policies"].as_array().unwrap().iter();
    policies.map(|policy| (policy["name"].as_str().unwrap().to_owned(), policy[field].clone())).collect()
}

async fn states(client: &mut Client) -> Vec<(String, Value)> {
    listed(client, "state").await
}

fn named<const N: usize>(pairs: [(&str, Value); N]) -> Vec<(String, Value)> {
    pairs.map(|(name, value)| (name.to_owned(), value)).to_vec()
}

async fn metric(server: &Server, name: &str) -> f64 {
    let text = server.service().metrics().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    line.unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sub_folder_has_all_routes_below_its_name() {
    let root = root(["a", "BTC-USD_1.0"]);
    put(root.path(), "a", &checkpoint("pendulum_08000"));
    let server = server(root.path()).await;
    let mut client = server.client().await;
    for (name, other) in [("a", "BTC-USD_1.0"), ("BTC-USD_1.0", "a")] {
        let below = |path: &str| format!("/policies/{name}{path}");
        let path = root.path().join(name).join("model_a.onnx").canonicalize().unwrap();
        let alone = Server::folder(&root.path().join(name)).await;
        let action = alone.client().await.predict(&STATE).await["action"].clone();
        assert_eq!(client.get(&below("/sac/health")).await.ok()["status"], "ok");
        let info = client.get(&below("/sac/model/info")).await.ok();
        assert_eq!((&info["path"], &info["generation"]), (&json!(path), &json!(1)));
        let predicted = predict(&mut client, name).await;
        assert_eq!((&predicted["action"], &predicted["model_path"]), (&action, &json!(path)));
        let batch = client.post(&below("/sac/predict/batch"), json!({ "states": [STATE, STATE] })).await.ok();
        assert_eq!(batch["actions"], json!([action, action]));
        assert_eq!(client.post(&below("/sac/model/reload"), json!({})).await.ok()["generation"], 2);
        client.post(&below("/sac/benchmark"), json!({ "iterations": 2 })).await.ok();
        assert_eq!(client.get(&below("/sac/openapi.json")).await.status, 200);

        let answer = client.get(&below("/sac/predict")).await;
        assert_eq!((answer.detail(405), answer.header("allow")), ("Method Not Allowed", Some("POST")));
        client.get(&below("/sac/unknown")).await.detail(404);
        client.post(&below("/sac/predict"), json!({ "state": [1] })).await.detail(400);
        assert_eq!(client.send(Method::POST, &below("/sac/predict"), "{").await.status, 422);

        let input = json!({ "inputs": [{ "name": "state", "shape": [1, 3], "datatype": "FP32", "data": STATE }] });
        for path in [below(&format!("/v2/models/{name}/infer")), format!("/v2/models/{name}/infer")] {
            let answer = client.post(&path, input.clone()).await.ok();
            assert_eq!(answer["model_name"], name, "{path}");
        }
        assert_eq!(client.get(&below("/v2/health/ready")).await.ok(), json!({ "ready": true }));
        let answer = client.get(&below(&format!("/v2/models/{other}"))).await;
        assert!(answer.status == 404 && answer.json()["error"].is_string(), "{}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_default_policy_its_routes_are_404_and_the_servers_own_are_answered() {
    let root = root(["a"]);
    let server = server(root.path()).await;
    let mut client = server.client().await;
    for path in ["/sac/health", "/sac/model/info", "/sac/predict", "/sac/none"] {
        assert_eq!(client.get(path).await.detail(404), "Not Found", "{path}");
    }
    assert_eq!(client.get("/v2/models/b").await.json(), &json!({ "error": "Not Found" }));
    let status = client.get("/status").await.ok();
    let source = format!("{}/*/model_*", root.path().display());
    assert!(status["source"].as_str().unwrap().starts_with(&source), "{status}");
    assert_eq!(status["detail"], "No SAC model loaded");
    for path in ["/", "/docs/", "/metrics", "/healthz"] {
        assert_eq!(client.get(path).await.status, 200, "{path}");
    }
    // Nothing of this loads a policy.
    assert_eq!(states(&mut client).await, named([("a", json!("not_loaded"))]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_policy_is_one_of_the_root_or_that_of_its_own_folder() {
    let root = root(["a", "b"]);
    let default = DefaultPolicy::Named("b".parse().unwrap());
    let server = server_with(root.path(), |_, settings| settings.default = default).await;
    let mut client = server.client().await;
    let path = |name: &str| json!(root.path().join(name).join("model_a.onnx").canonicalize().unwrap());
    assert_eq!(client.predict(&STATE).await["model_path"], path("b"));
    assert_eq!(client.get("/status").await.ok()["model"]["path"], path("b"));
    assert_eq!(predict(&mut client, "a").await["model_path"], path("a"));
    assert_eq!(client.get("/v2/health/ready").await.ok(), json!({ "ready": true }));

    let own = tempdir().unwrap();
    publish(&own.path().join("model_a.onnx"), &checkpoint("pendulum_08000"));
    let config = Settings::folder(own.path()).config();
    let settings = RootConfig { default: DefaultPolicy::Source, ..RootConfig::new(root.path()) };
    let server = Server::with_config(Config { root: Some(settings), ..config }).await;
    let mut client = server.client().await;
    let own = json!(own.path().join("model_a.onnx").canonicalize().unwrap());
    assert_eq!(client.predict(&STATE).await["model_path"], own);
    // Its name stays its own.
    assert_eq!(client.get("/v2/models/sac").await.ok()["name"], "sac");
    assert_eq!(client.get("/v2/models/a").await.ok()["name"], "a");
    assert_eq!(predict(&mut client, "a").await["model_path"], path("a"));
    assert_eq!(states(&mut client).await, named([("a", json!("loaded")), ("b", json!("not_loaded"))]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sub_folder_that_appears_serves_the_next_request_and_one_that_goes_away_stays_until_it_is_evicted() {
    let root = tempdir().unwrap();
    let server = server_with(root.path(), |_, settings| settings.max_policies = 1).await;
    let mut client = server.client().await;
    client.get("/policies/a/sac/health").await.detail(404);
    fs::create_dir(root.path().join("a")).unwrap();
    assert_eq!(client.get("/policies/a/sac/model/info").await.detail(503), "No SAC model loaded");
    assert_eq!(states(&mut client).await, named([("a", json!("empty"))]));
    put(root.path(), "a", &checkpoint("pendulum_00500"));
    predict(&mut client, "a").await;
    put(root.path(), "a", &checkpoint("pendulum_08000"));
    let info = client.get("/policies/a/sac/model/info").await.ok();
    assert_eq!(info["generation"], 2);
    fs::remove_dir_all(root.path().join("a")).unwrap();
    predict(&mut client, "a").await;
    assert_eq!(states(&mut client).await, named([("a", json!("loaded"))]));
    put(root.path(), "b", &checkpoint("pendulum_00500"));
    predict(&mut client, "b").await;
    client.get("/policies/a/sac/health").await.detail(404);
    // One that never had a checkpoint is gone with its folder.
    fs::create_dir(root.path().join("c")).unwrap();
    client.get("/policies/c/sac/model/info").await.detail(503);
    fs::remove_dir(root.path().join("c")).unwrap();
    client.get("/policies/c/sac/model/info").await.detail(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_none_and_a_folder_outside_the_root_are_404() {
    let place = tempdir().unwrap();
    let root = place.path().join("root");
    put(&root, "a", &checkpoint("pendulum_00500"));
    put(place.path(), "outside", &checkpoint("pendulum_00500"));
    publish(&root.join("model_a.onnx"), &checkpoint("pendulum_00500"));
    symlink("../outside", root.join("out")).unwrap();
    symlink(".", root.join("itself")).unwrap();
    symlink("a", root.join("alias")).unwrap();
    let server = server(&root).await;
    let mut client = server.client().await;
    let long = "long".repeat(1000);
    for name in ["", ".", "..", "a%2f", "%61", "a b", "../outside", "model_a.onnx", "none", "out", "itself", &long] {
        let path = format!("/policies/{}/sac/health", name.replace(' ', "+"));
        client.get(&path).await.detail(404);
    }
    for path in
        ["/policies/", "/policies/a", "/policies/a/", "/policies/a/status", "/policies/a/policies", "/policies/a/sac"]
    {
        assert_eq!(client.get(path).await.detail(404), "Not Found", "{path}");
    }
    predict(&mut client, "alias").await;
    assert_eq!(states(&mut client).await, named([("a", json!("not_loaded")), ("alias", json!("loaded"))]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_outside_the_root_is_refused_and_the_policy_in_service_stays() {
    let place = tempdir().unwrap();
    let root = place.path().join("root");
    put(&root, "a", &checkpoint("pendulum_00500"));
    put(&root, "b", &checkpoint("pendulum_08000"));
    put(place.path(), "outside", &checkpoint("pendulum_08000"));
    let server = server(&root).await;
    let mut client = server.client().await;
    predict(&mut client, "a").await;
    symlink("../../outside/model_a.onnx", root.join("a/model_b.onnx")).unwrap();
    let info = client.get("/policies/a/sac/model/info").await.ok();
    assert_eq!((&info["generation"], &info["stale"]), (&json!(1), &json!(true)));
    let detail = info["last_error"]["detail"].as_str().unwrap();
    assert!(detail.contains("a symlink that leads out of the root"), "{detail}");
    // The folder itself becomes a symlink to the outside.
    fs::rename(root.join("b"), place.path().join("b")).unwrap();
    client.get("/policies/b/sac/health").await.detail(404);
    fs::remove_file(root.join("a/model_b.onnx")).unwrap();
    fs::rename(root.join("a"), root.join("c")).unwrap();
    symlink("../outside", root.join("a")).unwrap();
    let info = client.get("/policies/a/sac/model/info").await.ok();
    assert_eq!((&info["generation"], &info["stale"]), (&json!(1), &json!(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_most_policies_the_one_that_was_asked_for_least_recently_is_evicted_and_loaded_again() {
    let root = root(["a", "b", "c"]);
    let server = server_with(root.path(), |_, settings| settings.max_policies = 2).await;
    let mut client = server.client().await;
    for name in ["a", "b", "a", "c"] {
        predict(&mut client, name).await;
    }
    let expected = [("a", json!("loaded")), ("b", json!("not_loaded")), ("c", json!("loaded"))];
    assert_eq!(states(&mut client).await, named(expected));
    // No generation of a policy has the number of another.
    assert_eq!(client.get("/policies/b/sac/model/info").await.ok()["generation"], 2);
    assert_eq!(server.service().loads(), 4);
    assert_eq!(client.get("/v2/models/b").await.ok()["versions"], json!(["2"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_nobody_asks_for_is_evicted_and_one_that_is_in_use_is_not() {
    let root = root(["a", "b"]);
    let server = server_with(root.path(), |_, settings| settings.idle_time = Duration::from_millis(1)).await;
    let mut client = server.client().await;
    predict(&mut client, "a").await;
    let mut busy = server.client().await;
    let long = json!({ "warmup": 0, "iterations": 20_000, "batch_size": 64 });
    let benchmark = tokio::spawn(async move { busy.post("/policies/b/sac/benchmark", long).await.status });
    while states(&mut client).await[0].1 != "not_loaded" {
        tokio::task::yield_now().await;
    }
    assert_eq!(benchmark.await.unwrap(), 200);
    predict(&mut client, "a").await;
    while states(&mut client).await != named([("a", json!("not_loaded")), ("b", json!("not_loaded"))]) {
        tokio::task::yield_now().await;
    }
    // The instances of both are gone. One answers for no policy, and one stands ready for the next load.
    while metric(&server, "sac_instances").await > 2.0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_memory_is_short_policies_give_way_to_others_and_every_request_is_answered() {
    let names: [String; 12] = std::array::from_fn(|n| format!("policy_{n}"));
    let root = root(names.each_ref().map(String::as_str));
    let server = server_with(root.path(), |config, _| {
        config.sandbox.memory_bytes = 16 << 20;
        config.sandbox.total_memory_bytes = (16 << 20) + (8 << 20);
    })
    .await;
    let mut clients = JoinSet::new();
    for shift in [0, 5] {
        let (mut client, names) = (server.client().await, names.clone());
        clients.spawn(async move {
            for n in 0..3 * names.len() {
                predict(&mut client, &names[(n + shift) % names.len()]).await;
            }
        });
    }
    clients.join_all().await;
    let mut client = server.client().await;
    let loaded = states(&mut client).await.iter().filter(|(_, state)| state == "loaded").count();
    assert!((1..12).contains(&loaded), "{loaded}");
    assert!(metric(&server, "sac_instance_memory_bytes").await <= f64::from(24 << 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_ask_for_a_policy_at_once_load_it_once() {
    let root = root(["a"]);
    let server = server(root.path()).await;
    let mut clients = JoinSet::new();
    for _ in 0..32 {
        let mut client = server.client().await;
        clients.spawn(async move { predict(&mut client, "a").await });
    }
    clients.join_all().await;
    assert_eq!(server.service().loads(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_checkpoint_is_refused_for_its_own_policy_alone() {
    let root = root(["a", "b"]);
    put(root.path(), "c", b"broken");
    let server = server(root.path()).await;
    let mut client = server.client().await;
    predict(&mut client, "a").await;
    predict(&mut client, "b").await;
    assert!(client.get("/policies/c/sac/model/info").await.detail(500).starts_with("Checkpoint load failed: "));
    put(root.path(), "a", b"broken");
    predict(&mut client, "a").await;
    let health = client.get("/policies/a/sac/health").await.ok();
    assert_eq!(health, json!({ "status": "stale", "model_loaded": true }));
    assert_eq!(client.get("/policies/b/sac/health").await.ok()["status"], "ok");
    let list = client.get("/policies").await.ok();
    let [a, b, c] = [0, 1, 2].map(|index| &list["policies"][index]);
    assert_eq!((&a["state"], &a["stale"], &a["generation"]), (&json!("loaded"), &json!(true), &json!(1)));
    assert!(a["detail"].is_string() && b["detail"].is_null() && c["detail"].is_string(), "{list}");
    assert_eq!((&b["stale"], &b["state_dim"], &b["action_dim"]), (&json!(false), &json!(3), &json!(1)));
    assert_eq!((&c["state"], &c["generation"], &c["state_dim"]), (&json!("refused"), &json!(null), &json!(null)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_an_instance_of_its_own_policy_alone() {
    let root = tempdir().unwrap();
    for name in ["a", "b"] {
        put(root.path(), name, b"policy");
    }
    let settings = RootConfig::new(root.path());
    let server = probing_server(|config| config.root = Some(settings)).await;
    let mut client = server.client().await;
    let calls = async |client: &mut Client, name: &str| client.get(&format!("/policies/{name}/sac/calls")).await.ok();
    assert_eq!((calls(&mut client, "a").await, calls(&mut client, "b").await), (json!(1), json!(1)));
    assert_eq!(client.get("/policies/a/sac/panic").await.status, 500);
    assert_eq!((calls(&mut client, "a").await, calls(&mut client, "b").await), (json!(1), json!(2)));
    assert_eq!(metric(&server, "sac_instances_lost_total{reason=\"panic\"}").await, 1.0);
    assert_eq!(listed(&mut client, "generation").await, named([("a", json!(1)), ("b", json!(1))]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_benchmark_of_a_policy_delays_no_prediction_of_its_own_or_of_another() {
    let root = root(["a", "b"]);
    let server = server(root.path()).await;
    let mut client = server.client().await;
    predict(&mut client, "a").await;
    let mut busy = server.client().await;
    let long = json!({ "warmup": 0, "iterations": 20_000, "batch_size": 64 });
    let benchmark = tokio::spawn(async move { busy.post("/policies/a/sac/benchmark", long).await.status });
    let mut answered = 0;
    while !benchmark.is_finished() {
        predict(&mut client, "a").await;
        predict(&mut client, "b").await;
        answered += 1;
    }
    assert_eq!(benchmark.await.unwrap(), 200);
    assert!(answered > 1, "{answered}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_needs_the_token_and_is_read_by_get() {
    let root = root(["a"]);
    let token = sac_serving::Tokens::new(["token".to_owned()]);
    let server = server_with(root.path(), |config, _| config.tokens = token).await;
    let answer = server.client().await.get("/policies").await;
    assert_eq!(
        (answer.detail(401), answer.header("www-authenticate")),
        ("missing or wrong bearer token", Some("Bearer"))
    );
    let mut client = server.client().await.with_token("token");
    assert_eq!(states(&mut client).await, named([("a", json!("not_loaded"))]));
    assert_eq!(client.post("/policies", json!({})).await.header("allow"), Some("GET, HEAD"));
    server.client().await.post("/policies/a/sac/predict", json!({ "state": STATE })).await.detail(401);
    // Without a root there is no such route.
    let other = Server::folder(root.path()).await;
    other.client().await.get("/policies").await.detail(404);
    other.client().await.get("/policies/a/sac/health").await.detail(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_loaded_at_start_if_that_is_asked_for() {
    let root = root(["a", "b", "c"]);
    let server = server_with(root.path(), |_, settings| (settings.preload, settings.max_policies) = (true, 2)).await;
    server.service().preload().await;
    let mut client = server.client().await;
    let expected = [("a", json!("loaded")), ("b", json!("loaded")), ("c", json!("not_loaded"))];
    assert_eq!(states(&mut client).await, named(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_all_connections_taken_the_health_of_a_policy_is_answered() {
    let root = root(["a"]);
    let config = Config { root: Some(RootConfig::new(root.path())), ..Settings::folder(root.path()).config() };
    let server = Server::with_http(config, sac_serving::HttpConfig { max_connections: 1, ..patient_http() }).await;
    let mut first = server.client().await;
    predict(&mut first, "a").await;
    assert_eq!(server.client().await.get("/policies/a/sac/health").await.status, 200);
    let answer = server.client().await.post("/policies/a/sac/predict", json!({ "state": STATE })).await;
    assert_eq!(answer.detail(503), "too many connections");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_the_requests_of_each_policy_and_show_those_that_are_loaded() {
    let root = root(["a", "b"]);
    let server = server_with(root.path(), |_, settings| settings.max_policies = 1).await;
    let mut client = server.client().await;
    predict(&mut client, "a").await;
    client.post("/policies/a/sac/predict", json!({ "state": [1] })).await.detail(400);
    client.get("/v2/models/a").await.ok();
    client.get("/policies/none/sac/health").await.detail(404);
    put(root.path(), "a", b"broken");
    predict(&mut client, "a").await;
    assert_eq!(metric(&server, "sac_policy_requests_total{policy=\"a\",status=\"200\"}").await, 3.0);
    assert_eq!(metric(&server, "sac_policy_requests_total{policy=\"a\",status=\"400\"}").await, 1.0);
    assert_eq!(metric(&server, "sac_policy_generation{policy=\"a\"}").await, 1.0);
    assert_eq!(metric(&server, "sac_policy_stale{policy=\"a\"}").await, 1.0);
    // The routes have the labels that they have without a root.
    assert_eq!(metric(&server, "sac_requests_total{route=\"/sac/predict\",status=\"200\"}").await, 2.0);
    predict(&mut client, "b").await;
    assert_eq!(metric(&server, "sac_policies_loaded").await, 1.0);
    let text = client.get("/metrics").await.text().to_owned();
    assert!(text.contains("sac_policy_stale{policy=\"b\"} 0") && !text.contains("sac_policy_stale{policy=\"a\"}"));
    assert!(
        text.contains("sac_policy_requests_total{policy=\"a\",status=\"200\"} 3") && !text.contains("none"),
        "{text}"
    );
    let other = Server::folder(root.path()).await;
    assert!(!other.service().metrics().await.unwrap().contains("sac_polic"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_not_authorised_loads_no_policy_and_learns_no_name() {
    let root = root(["a"]);
    let token = sac_serving::Tokens::new(["token".to_owned()]);
    let server = server_with(root.path(), |config, _| config.tokens = token).await;
    let mut stranger = server.client().await;
    for name in ["a", "none"] {
        for path in ["predict", "benchmark", "model/reload"] {
            let answer = stranger.post(&format!("/policies/{name}/sac/{path}"), json!({ "state": STATE })).await;
            assert_eq!(answer.detail(401), "missing or wrong bearer token");
        }
        stranger.get(&format!("/policies/{name}/sac/model/info")).await.detail(401);
        stranger.get(&format!("/policies/{name}/sac/predict")).await.detail(405);
        stranger.get(&format!("/policies/{name}/sac/unknown")).await.detail(404);
        for path in [format!("/v2/models/{name}"), format!("/policies/{name}/v2/models/{name}")] {
            let answer = stranger.get(&path).await;
            assert!(answer.status == 401 && answer.json()["error"].is_string(), "{path}: {}", answer.text());
        }
    }
    assert_eq!(server.service().loads(), 0);
    // Health is public, and loads the policy.
    stranger.get("/policies/a/sac/health").await.ok();
    stranger.get("/policies/none/sac/health").await.detail(404);
    assert_eq!(server.service().loads(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_some_policies_authorises_requests_to_these_alone() {
    let root = root(["a", "b", "c"]);
    let file = root.path().join("tokens");
    fs::write(&file, "all\nours a b\n").unwrap();
    let tokens = sac_serving::Tokens::default().with_bound_file(&file).unwrap();
    let server = server_with(root.path(), |config, settings| {
        config.tokens = tokens;
        settings.default = DefaultPolicy::Named("a".parse().unwrap());
    })
    .await;
    let (mut ours, mut all) = (server.client().await.with_token("ours"), server.client().await.with_token("all"));
    // Before each policy is loaded, and after it.
    for _ in 0..2 {
        for (path, is_ours) in [
            ("/policies/a/sac/model/info", true),
            ("/policies/b/sac/model/info", true),
            ("/policies/c/sac/model/info", false),
            ("/v2/models/b", true),
            ("/v2/models/c", false),
            ("/sac/model/info", true),
            ("/policies", false),
            ("/status", false),
            ("/metrics", false),
        ] {
            assert_eq!(ours.get(path).await.status, if is_ours { 200 } else { 401 }, "{path}");
            assert_eq!(all.get(path).await.status, 200, "{path}");
        }
    }
    // The next request needs a token that the file holds now.
    fs::write(&file, "other c\n").unwrap();
    for path in ["/policies/a/sac/model/info", "/policies/c/sac/model/info", "/status", "/sac/model/info"] {
        assert_eq!(all.get(path).await.status, 401, "{path}");
    }
    server.client().await.with_token("other").get("/policies/c/sac/model/info").await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_requests_of_one_policy_leave_half_of_the_places_to_others() {
    let root = root(["a", "b"]);
    let server = server_with(root.path(), |config, _| config.max_in_flight = 4).await;
    let mut client = server.client().await;
    predict(&mut client, "a").await;
    predict(&mut client, "b").await;
    let mut busy = JoinSet::new();
    for _ in 0..2 {
        let mut client = server.client().await;
        let long = json!({ "warmup": 0, "iterations": 100_000, "batch_size": 400 });
        busy.spawn(async move { client.post("/policies/a/sac/benchmark", long).await.status });
    }
    while metric(&server, "sac_requests_in_flight").await < 2.0 {
        tokio::task::yield_now().await;
    }
    // They are counted before they have a place.
    let answer = loop {
        let answer = client.post("/policies/a/sac/predict", json!({ "state": STATE })).await;
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!(answer.detail(503), "too many requests for this policy at once: ask again later");
    assert_eq!(client.get("/policies/a/sac/health").await.ok()["status"], "ok");
    predict(&mut client, "b").await;
    // Their clients go away, and the places are free again.
    busy.shutdown().await;
    while client.post("/policies/a/sac/predict", json!({ "state": STATE })).await.status != 200 {}
}
