//! The metrics of each policy.

use std::time::SystemTime;

use super::*;

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
async fn values_that_there_are_not_are_absent_and_a_policy_that_never_loads_is_stale() {
    let root = root(["a"]);
    put(root.path(), "b", b"broken");
    let server = server(root.path()).await;
    let mut client = server.client().await;
    predict(&mut client, "a").await;
    client.post("/policies/b/sac/predict", json!({ "state": STATE })).await.detail(500);
    let text = client.get("/metrics").await.text().to_owned();
    for name in ["sac_model_", "sac_freshness_seconds", "sac_verified_examples", "sac_policy_generation{policy=\"b\"}"]
    {
        assert!(!text.contains(name), "{name}: {text}");
    }
    let modified = metric(&server, "sac_policy_mtime_timestamp_seconds{policy=\"a\"}").await;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((0.0..600.0).contains(&(now - modified)), "{modified}");
    for line in ["sac_policy_stale{policy=\"a\"} 0", "sac_policy_stale{policy=\"b\"} 1", "sac_policies_loaded 1"] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    // Without a root, those of a checkpoint are absent where there is none.
    let empty = tempdir().unwrap();
    let server = Server::folder(empty.path()).await;
    let text = server.service().metrics().await.unwrap();
    assert!(text.contains("\nsac_model_loaded 0\n") && text.contains("\nsac_model_stale 0\n"), "{text}");
    for name in ["sac_model_age", "sac_model_mtime", "sac_model_loaded_timestamp", "sac_model_info"] {
        assert!(!text.contains(name), "{name}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_metric_and_label_of_the_dashboard_for_grafana_is_exported() {
    let root = root(["a"]);
    let (server, alone) = (server(root.path()).await, Server::folder(&root.path().join("a")).await);
    predict(&mut server.client().await, "a").await;
    // The metrics of the policy in service are those of a server without a root, or of its default policy.
    let text = server.service().metrics().await.unwrap() + &alone.service().metrics().await.unwrap();
    let dashboard = include_str!("../../../host/deploy/grafana.json");
    let dashboard = serde_json::from_str::<Value>(dashboard).unwrap();
    let targets = dashboard["panels"].as_array().unwrap().iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let mut metrics = 0;
    for query in targets.map(|target| target["expr"].as_str().unwrap()) {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        for word in query.split(|c| !is_word(c)).filter(|word| ["sac_", "process_"].iter().any(|p| word.starts_with(p)))
        {
            let name = word.strip_suffix("_bucket").unwrap_or(word);
            // They are of Linux alone.
            if cfg!(target_os = "linux") || !name.starts_with("process_") {
                assert!(text.contains(&format!("# TYPE {name} ")), "{name} is not exported");
            }
            metrics += 1;
        }
        let labels = query.split_once(" by (").and_then(|(_, rest)| rest.split_once(')')).map(|(labels, _)| labels);
        for label in labels.into_iter().flat_map(|labels| labels.split(", ")) {
            assert!(text.contains(&format!("{label}=\"")), "{query}: there is no label {label}");
        }
    }
    assert!(metrics > 10, "{metrics}");
}
