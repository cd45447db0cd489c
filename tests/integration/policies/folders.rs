//! The folders and files of a root that are policies and checkpoints, and those that are none.

use super::*;

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
    for path in ["/policies/", "/policies/a+b/", "/policies/a/status", "/policies/a/policies", "/policies/a/sac"] {
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
