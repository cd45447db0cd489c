//! The Spin application's manifest, and what is the gateway's own.

use sac_tests::{Kind, Manifest, Server, Settings, build_components, checkpoint, publish};
use tempfile::tempdir;

#[test]
fn every_path_of_the_manifest_exists_after_its_build_and_the_actor_gets_no_capability() {
    let manifest = Manifest::read().unwrap();
    build_components(&manifest).unwrap();
    for path in [&manifest.gateway, &manifest.dependency.1, &manifest.files.0] {
        assert!(path.exists(), "{}", path.display());
    }
    // Where the gateway looks when no variable says otherwise.
    assert_eq!(manifest.files.1, "/cache/models/rl/stat_pair");
    assert!(!manifest.actor_inherits());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_says_its_length() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let server = Server::start(Kind::Composed, &Settings::folder(folder.path())).await;
    let answer = server.client().await.get("/sac/health").await;
    assert!(answer.header("content-length").is_some() && answer.header("transfer-encoding").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_beyond_an_instances_share_are_answered_by_the_next_instance() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let server = Server::start(Kind::Composed, &Settings::folder(folder.path())).await;
    let mut client = server.client().await;
    let first = client.predict(&[0.1, 0.2, 0.3]).await["action"].clone();
    for _ in 0..300 {
        assert_eq!(client.predict(&[0.1, 0.2, 0.3]).await["action"], first);
    }
}
