//! The kernel serves at once, and tract takes over where a comparison beside it shows another result.

use std::time::Duration;

use sac_tests::{Client, Server, checkpoint, odd, publish};
use serde_json::{Value, json};
use tempfile::tempdir;

/// Returns the information about the policy in service once `is_wanted`.
async fn info_once(client: &mut Client, is_wanted: impl Fn(&Value) -> bool) -> Value {
    let wanted = async {
        loop {
            let info = client.info().await;
            if is_wanted(&info) {
                break info;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(300), wanted).await.expect("the policy is compared")
}

async fn comparisons(server: &Server, outcome: &str) -> String {
    let text = server.service().metrics().await.unwrap();
    let name = format!("sac_backend_comparisons_total{{outcome=\"{outcome}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn tract_takes_over_from_a_kernel_that_computes_other_numbers_and_keeps_the_checkpoint() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &odd("cancels_on_tract"));
    let server = Server::folder(folder.path()).await;
    let mut client = server.client().await;
    // The first response may come from either: the comparison runs beside it.
    let action = |answer: Value| answer["action"].as_f64().unwrap();
    assert!(action(client.predict(&[0.1, 0.2, 0.3]).await).is_finite());
    let info = info_once(&mut client, |info| info["plan"] == "tract").await;
    assert_eq!((&info["generation"], comparisons(&server, "differ").await.as_str()), (&json!(2), "1"));
    assert!(action(client.predict(&[0.1, 0.2, 0.3]).await) < 1.0_f64.tanh() + 1e-6);
    // It is known from now on.
    client.post("/sac/model/reload", json!({})).await.ok();
    let info = client.info().await;
    assert_eq!((&info["plan"], &info["generation"]), (&json!("tract"), &json!(3)));
    assert_eq!(comparisons(&server, "differ").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_is_compared_once_however_often_it_is_loaded() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let server = Server::folder(folder.path()).await;
    let mut client = server.client().await;
    client.info().await;
    let compared = async { while comparisons(&server, "agree").await == "0" {} };
    tokio::time::timeout(Duration::from_secs(300), compared).await.expect("the policy is compared");
    client.post("/sac/model/reload", json!({})).await.ok();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_02000"));
    assert_eq!(client.info().await["generation"], 3);
    let compared = async { while comparisons(&server, "agree").await != "2" {} };
    tokio::time::timeout(Duration::from_secs(300), compared).await.expect("the next policy is compared");
}
