//! Nothing that happens to one policy is felt by another.

use super::*;

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
