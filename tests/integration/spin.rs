//! The manifest of the Spin application, and the behaviour that only the gateway has.

use std::collections::BTreeMap;

use sac_tests::{Manifest, Owner, Server, Settings, build_components, checkpoint, odd, publish};
use tempfile::tempdir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[test]
fn the_manifests_build_makes_every_file_it_names_and_the_actor_gets_no_capability() {
    let manifest = Manifest::read().unwrap();
    build_components(&manifest).unwrap();
    for path in [&manifest.gateway, &manifest.dependency.1, &manifest.files.0] {
        assert!(path.exists(), "{}", path.display());
    }
    assert!(!manifest.actor_inherits());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_looks_in_the_manifests_mount_unless_a_variable_names_a_folder() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let mount = Manifest::read().unwrap().files.1;
    let settings = Settings { mount: Some(mount.clone()), ..Settings::folder(folder.path()) };
    let server = Server::start(Owner::Composed, &settings).await;
    assert_eq!(server.client().await.info().await["path"], format!("{mount}/model_a.onnx"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_states_its_length() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let server = Server::start(Owner::Composed, &Settings::folder(folder.path())).await;
    let answer = server.client().await.get("/sac/health").await;
    assert!(answer.header("content-length").is_some() && answer.header("transfer-encoding").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_answers_at_most_its_share_of_requests_and_is_then_replaced() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let server = Server::start(Owner::Composed, &Settings::folder(folder.path())).await;
    let mut client = server.client().await;
    // The time at which it loaded the checkpoint identifies an instance.
    let mut answers = BTreeMap::<String, usize>::new();
    for _ in 0..300 {
        *answers.entry(client.info().await["loaded_at_utc"].to_string()).or_default() += 1;
    }
    assert!(answers.values().all(|answers| *answers <= 128), "{answers:?}");
    // The runtime may make another instance while the one before has not quite ended its last request.
    assert!(answers.len() < 30, "instances are not reused: {answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_comes_slowly_delays_no_other_request_of_its_instance() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let server = Server::start(Owner::Composed, &Settings::folder(folder.path())).await;
    let mut client = server.client().await;
    let loaded = client.info().await["loaded_at_utc"].clone();
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    let head = "POST /sac/predict HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\nconnection: close\r\n";
    slow.write_all(format!("{head}content-length: 21\r\n\r\n").as_bytes()).await.unwrap();
    // The server sends this once the instance reads the body.
    slow.read_exact(&mut [0; "HTTP/1.1 100 Continue\r\n\r\n".len()]).await.unwrap();
    slow.write_all(b"{\"state\":").await.unwrap();
    let mut answered_by_it = false;
    for _ in 0..100 {
        // The runtime may make another instance meanwhile, so that one answer is enough.
        answered_by_it |= client.info().await["loaded_at_utc"] == loaded;
    }
    assert!(answered_by_it, "the instance answered no other request");
    slow.write_all(b"[0.1,0.2,0]}").await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_panics_fails_requests_only_while_it_is_there() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let server = Server::start(Owner::Composed, &Settings::folder(folder.path())).await;
    let mut client = server.client().await;
    client.info().await;
    let panics = folder.path().join("model_b.onnx");
    publish(&panics, &odd("panics_at_load"));
    assert_eq!(client.get("/sac/health").await.status, 500);
    std::fs::remove_file(panics).unwrap();
    client.info().await;
}
