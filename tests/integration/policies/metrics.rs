//! The metrics of each policy.

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
