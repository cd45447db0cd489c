//! The manifest of the Spin application, and the behaviour that only the gateway has.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use sac_tests::{
    ACTOR, Client, Manifest, Owner, RootSettings, Server, Settings, build_components, checkpoint, compose, is_spin,
    odd, publish,
};
use serde_json::{Value, json};
use tempfile::tempdir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[test]
fn the_manifests_build_makes_every_file_it_names_and_the_actor_gets_no_capability() {
    let manifest = Manifest::read().unwrap();
    build_components(&manifest).unwrap();
    for path in manifest.dependencies.values().chain([&manifest.gateway, &manifest.files.0]) {
        assert!(path.exists(), "{}", path.display());
    }
    assert!(!manifest.actor_inherits());
}

#[test]
fn every_component_of_the_manifest_fits_and_only_the_one_of_the_variables_needs_spin() {
    let manifest = Manifest::read().unwrap();
    build_components(&manifest).unwrap();
    let asks_spin = |dependencies: &[&str]| {
        let composed = compose(&manifest, dependencies).unwrap();
        ["wasi:config/", "spin:"].iter().any(|name| composed.windows(name.len()).any(|part| part == name.as_bytes()))
    };
    let all = manifest.dependencies.keys().map(String::as_str).collect::<Vec<_>>();
    assert!(asks_spin(&all));
    assert!(!asks_spin(&[ACTOR]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manifests_variables_are_settings_which_the_command_line_outranks() {
    if !is_spin() {
        println!("skipped: SAC_SPIN does not name the program of Spin");
        return;
    }
    let root = tempdir().unwrap();
    put(root.path(), "a", &checkpoint("pendulum_00500"));
    let mount = Manifest::read().unwrap().files.1;
    let mut settings = Settings { mount: Some(mount.clone()), ..Settings::folder(root.path()) };
    settings.spin_variables = vec![("API_TOKEN", "variable".to_owned()), ("ROOT", mount)];
    for (token, expected) in [(None, "variable"), (Some(" "), "variable"), (Some("environment"), "environment")] {
        settings.token = token.map(str::to_owned);
        let server = Server::start(Owner::Composed, &settings).await;
        let mut client = server.client().await.with_token(expected);
        path_of(&mut client, "a").await;
        for other in ["", "variable", "environment"].iter().filter(|other| **other != expected) {
            server.client().await.with_token(other).get("/policies").await.detail(401);
        }
    }
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
    fs::remove_file(panics).unwrap();
    client.info().await;
}

/// Publishes a checkpoint of a policy.
fn put(root: &Path, name: &str, checkpoint: &[u8]) {
    fs::create_dir_all(root.join(name)).unwrap();
    publish(&root.join(name).join("model_a.onnx"), checkpoint);
}

async fn with_root(root: &Path, adapt: impl FnOnce(&mut Settings, &mut RootSettings)) -> Server {
    let (mut settings, mut of_root) = (Settings::folder(root), RootSettings::folder(root));
    adapt(&mut settings, &mut of_root);
    Server::start(Owner::Composed, &Settings { root: Some(of_root), ..settings }).await
}

async fn path_of(client: &mut Client, name: &str) -> Value {
    let answer = client.post(&format!("/policies/{name}/sac/predict"), json!({ "state": [0.1, 0.2, 0.3] })).await;
    answer.ok()["model_path"].clone()
}

/// The policies of `GET /policies`, each with its state and its generation.
async fn listed(client: &mut Client) -> Vec<Value> {
    let list = client.get("/policies").await.ok();
    let policies = list["policies"].as_array().unwrap().iter();
    policies.map(|policy| json!([policy["name"], policy["state"], policy["generation"]])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sub_folder_of_a_root_is_a_policy_from_the_next_request_on() {
    let root = tempdir().unwrap();
    let server = with_root(root.path(), |_, _| ()).await;
    let mut client = server.client().await;
    client.get("/policies/a/sac/health").await.detail(404);
    for name in ["a", "b"] {
        put(root.path(), name, &checkpoint("pendulum_00500"));
        let path = root.path().join(name).join("model_a.onnx");
        assert_eq!(path_of(&mut client, name).await, json!(path));
        assert_eq!(client.get(&format!("/v2/models/{name}")).await.ok()["name"], name);
    }
    assert_eq!(listed(&mut client).await, [json!(["a", "loaded", 1]), json!(["b", "loaded", 1])]);
    put(root.path(), "a", b"broken");
    put(root.path(), "c", b"broken");
    path_of(&mut client, "a").await;
    let detail = client.get("/policies/c/sac/model/info").await.detail(500).to_owned();
    assert!(detail.starts_with("Checkpoint load failed: "), "{detail}");
    assert_eq!(client.get("/policies/b/sac/health").await.ok()["status"], "ok");
    let states = [json!(["a", "loaded", 1]), json!(["b", "loaded", 1]), json!(["c", "refused", null])];
    assert_eq!(listed(&mut client).await, states);
    let list = client.get("/policies").await.ok();
    let [a, b, c] = [0, 1, 2].map(|index| &list["policies"][index]);
    assert_eq!((&a["stale"], &b["stale"], &c["stale"]), (&json!(true), &json!(false), &json!(false)));
    assert!(a["detail"].is_string() && b["detail"].is_null() && c["detail"].is_string(), "{list}");
    assert_eq!((&a["state_dim"], &a["action_dim"], &a["shadow"]), (&json!(3), &json!(1), &json!(null)));
    // It stays served until it is evicted.
    fs::remove_dir_all(root.path().join("b")).unwrap();
    path_of(&mut client, "b").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_owners_list_policies_with_the_same_fields() {
    let root = tempdir().unwrap();
    put(root.path(), "a", &checkpoint("pendulum_00500"));
    put(root.path(), "b", b"broken");
    fs::create_dir(root.path().join("empty")).unwrap();
    let settings = Settings { root: Some(RootSettings::folder(root.path())), ..Settings::folder(root.path()) };
    let mut lists = Vec::new();
    for owner in [Owner::Host, Owner::Composed] {
        let server = Server::start(owner, &settings).await;
        let mut client = server.client().await;
        let cold = client.get("/policies").await.ok();
        for name in ["a", "b", "empty"] {
            client.get(&format!("/policies/{name}/sac/health")).await;
        }
        lists.push((cold, client.get("/policies").await.ok()));
    }
    assert_eq!(lists[0], lists[1]);
    assert_eq!(lists[0].1["policies"].as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policies_that_were_asked_for_least_recently_are_evicted_and_their_generations_go_on() {
    let root = tempdir().unwrap();
    for name in ["a", "b", "c"] {
        put(root.path(), name, &checkpoint("pendulum_00500"));
    }
    let server = with_root(root.path(), |_, root| root.max_policies = 2).await;
    let mut client = server.client().await;
    for name in ["a", "b", "a", "c"] {
        path_of(&mut client, name).await;
    }
    let states = [json!(["a", "loaded", 1]), json!(["b", "not_loaded", null]), json!(["c", "loaded", 1])];
    assert_eq!(listed(&mut client).await, states);
    assert_eq!(client.get("/policies/b/sac/model/info").await.ok()["generation"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_the_token_loads_no_policy_and_learns_no_name_but_by_health() {
    let root = tempdir().unwrap();
    put(root.path(), "a", &checkpoint("pendulum_00500"));
    let server = with_root(root.path(), |settings, _| settings.token = Some("secret".into())).await;
    let mut stranger = server.client().await;
    for name in ["a", "none"] {
        for path in ["predict", "benchmark", "model/reload"] {
            let answer = stranger.post(&format!("/policies/{name}/sac/{path}"), json!({})).await;
            assert_eq!(answer.detail(401), "missing or wrong bearer token");
        }
        for path in [format!("/v2/models/{name}"), format!("/policies/{name}/v2/models/{name}")] {
            assert_eq!(stranger.get(&path).await.status, 401, "{path}");
        }
        stranger.get(&format!("/policies/{name}/sac/predict")).await.detail(405);
        stranger.get(&format!("/policies/{name}/sac/unknown")).await.detail(404);
    }
    stranger.get("/policies").await.detail(401);
    let mut client = server.client().await.with_token("secret");
    assert_eq!(listed(&mut client).await, [json!(["a", "not_loaded", null])]);
    assert_eq!(client.post("/policies", json!({})).await.header("allow"), Some("GET, HEAD"));
    stranger.get("/policies/a/sac/health").await.ok();
    stranger.get("/policies/none/sac/health").await.detail(404);
    assert_eq!(listed(&mut client).await, [json!(["a", "loaded", 1])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_none_is_404_and_the_default_policy_answers_paths_without_a_name() {
    let place = tempdir().unwrap();
    let root = place.path().join("root");
    put(&root, "a", &checkpoint("pendulum_00500"));
    put(&root, "b", &checkpoint("pendulum_00500"));
    put(place.path(), "outside", &checkpoint("pendulum_00500"));
    std::os::unix::fs::symlink("../outside", root.join("out")).unwrap();
    let server = with_root(&root, |_, _| ()).await;
    let mut client = server.client().await;
    for name in ["", ".", "..", "a%2f", "%61", "../outside", "none", "out"] {
        client.get(&format!("/policies/{name}/sac/health")).await.detail(404);
    }
    for path in ["/sac/health", "/sac/predict", "/policies/", "/policies/a", "/policies/a/", "/policies/a/status"] {
        assert_eq!(client.get(path).await.detail(404), "Not Found", "{path}");
    }
    assert_eq!(client.get("/v2/models/none").await.json(), &json!({ "error": "Not Found" }));
    let server = with_root(&root, |_, root| root.default = "b".parse().ok()).await;
    let mut client = server.client().await;
    let path = |name: &str| json!(root.join(name).join("model_a.onnx"));
    assert_eq!(client.predict(&[0.1, 0.2, 0.3]).await["model_path"], path("b"));
    assert_eq!(path_of(&mut client, "a").await, path("a"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_root_there_are_no_policies() {
    let folder = tempdir().unwrap();
    put(folder.path(), "a", &checkpoint("pendulum_00500"));
    let server = Server::start(Owner::Composed, &Settings::folder(folder.path())).await;
    let mut client = server.client().await;
    for path in ["/policies", "/policies/a/sac/health"] {
        assert_eq!(client.get(path).await.detail(404), "Not Found", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_checkpoint_has_an_absolute_path_as_the_one_in_service_has() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    publish(&folder.path().join("model_b.onnx"), b"broken");
    // The gateway looks there by the relative path of the default.
    let mount = Manifest::read().unwrap().files.1;
    let settings = Settings { mount: Some(mount.clone()), ..Settings::folder(folder.path()) };
    let server = Server::start(Owner::Composed, &settings).await;
    let info = server.client().await.info().await;
    assert_eq!(info["path"], format!("{mount}/model_a.onnx"));
    assert_eq!(info["last_error"]["path"], format!("{mount}/model_b.onnx"));
}
