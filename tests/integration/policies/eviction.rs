//! The times at which policies are loaded and evicted.

use super::*;

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
async fn policies_are_loaded_at_start_if_that_is_asked_for() {
    let root = root(["a", "b", "c"]);
    let server = server_with(root.path(), |_, settings| (settings.preload, settings.max_policies) = (true, 2)).await;
    server.service().preload().await;
    let mut client = server.client().await;
    let expected = [("a", json!("loaded")), ("b", json!("loaded")), ("c", json!("not_loaded"))];
    assert_eq!(states(&mut client).await, named(expected));
}
