//! A client chooses which candidate of a folder serves: a rollback, or a pin.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, SystemTime};

use http::Method;
use sac_serving::{Config, Identity, RootConfig};
use sac_tests::{Client, Server, Settings, at, checkpoint, publish, set_modified};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};
use tokio::sync::oneshot;
use tokio::time::timeout;

const ROUTE: &str = "/sac/model/candidates";
/// Longer than anything takes, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(600);

/// A server of two checkpoints, of which the second is the newer.
async fn server(adapt: impl FnOnce(&mut Config)) -> (TempDir, Server) {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    publish(&folder.path().join("model_b.onnx"), &checkpoint("pendulum_08000"));
    let settings = Settings { token: Some("token".to_owned()), ..Settings::folder(folder.path()) };
    let mut config = Config { allow_rollback: true, ..settings.config() };
    adapt(&mut config);
    (folder, Server::with_config(config).await)
}

/// The name of the file that answers the next request.
async fn file(client: &mut Client) -> String {
    let answer = client.predict(&[0.1, 0.2, 0.3]).await;
    answer["model_path"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
}

/// The candidates, with `*` for the one in service and `!` for one that is pinned.
async fn candidates(client: &mut Client) -> Vec<String> {
    let listed = client.get(ROUTE).await.ok();
    let name = |listed: &Value| {
        let mark = |name: &str, mark| if listed[name] == true { mark } else { "" };
        format!("{}{}{}", listed["file"].as_str().unwrap(), mark("in_service", "*"), mark("pinned", "!"))
    };
    listed["candidates"].as_array().unwrap().iter().map(name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_request_is_answered_by_the_choice_until_a_checkpoint_is_written() {
    let (folder, server) = server(|_| ()).await;
    let mut client = server.client().await.with_token("token");
    assert_eq!(file(&mut client).await, "model_b.onnx");
    assert_eq!(candidates(&mut client).await, ["model_b.onnx*", "model_a.onnx"]);
    let selected = client.post(ROUTE, json!({ "file": "model_a.onnx" })).await.ok();
    assert_eq!((&selected["status"], &selected["generation"]), (&json!("selected"), &json!(2)));
    let info = client.info().await;
    assert_eq!([&info["path"], &info["sha256"]], [&selected["model_path"], &selected["sha256"]]);
    assert_eq!(file(&mut client).await, "model_a.onnx");
    assert_eq!(candidates(&mut client).await, ["model_a.onnx*", "model_b.onnx"]);
    publish(&folder.path().join("model_c.onnx"), &checkpoint("pendulum_02000"));
    assert_eq!(file(&mut client).await, "model_c.onnx");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_checkpoint_serves_whatever_is_written_and_after_a_restart_until_another_choice() {
    let (folder, server) = server(|_| ()).await;
    let mut client = server.client().await.with_token("token");
    let selected = client.post(ROUTE, json!({ "file": "model_a.onnx", "pin": true })).await.ok();
    assert_eq!(selected["pinned"], true);
    publish(&folder.path().join("model_c.onnx"), &checkpoint("pendulum_02000"));
    assert_eq!(file(&mut client).await, "model_a.onnx");
    assert_eq!(candidates(&mut client).await[0], "model_a.onnx*!");
    let another =
        Server::with_config(Config { allow_rollback: true, ..Settings::folder(folder.path()).config() }).await;
    let mut another = another.client().await;
    assert_eq!(file(&mut another).await, "model_a.onnx");
    another.post(ROUTE, json!({ "file": "model_c.onnx" })).await.ok();
    assert_eq!(file(&mut client).await, "model_c.onnx");
    let listed = candidates(&mut client).await;
    assert!(listed[0] == "model_c.onnx*" && !listed.iter().any(|candidate| candidate.ends_with('!')), "{listed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_choice_takes_the_token_the_flag_and_the_name_of_a_candidate_that_loads() {
    let (folder, server) = server(|_| ()).await;
    let (mut stranger, mut client) = (server.client().await, server.client().await.with_token("token"));
    stranger.get(ROUTE).await.detail(401);
    stranger.post(ROUTE, json!({ "file": "model_a.onnx" })).await.detail(401);
    for body in [json!({}), json!({ "file": 1 }), json!({ "file": "model_a.onnx", "other": 1 })] {
        client.post(ROUTE, body).await.detail(422);
    }
    for file in ["model_c.onnx", "../model_a.onnx", ""] {
        let answer = client.post(ROUTE, json!({ "file": file })).await;
        assert!(answer.detail(404).contains("no candidate"));
    }
    let answer = client.send(Method::PUT, ROUTE, "{}").await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD, POST")));
    let large = format!("{{\"file\": \"{}\"}}", "x".repeat(5000));
    client.send(Method::POST, ROUTE, large).await.detail(413);
    let mut client = server.client().await.with_token("token");
    assert_eq!(file(&mut client).await, "model_b.onnx");

    fs::write(folder.path().join("model_broken.onnx"), b"broken").unwrap();
    let answer = client.post(ROUTE, json!({ "file": "model_broken.onnx" })).await;
    assert!(answer.detail(409).contains("model_broken.onnx does not load"), "{}", answer.text());
    assert_eq!(file(&mut client).await, "model_b.onnx");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_does_not_load_is_not_touched_and_the_one_that_was_pinned_stays() {
    let (folder, server) = server(|_| ()).await;
    let broken = folder.path().join("model_0.onnx");
    fs::write(&broken, b"broken").unwrap();
    let written = SystemTime::now() - Duration::from_secs(1000);
    File::options().write(true).open(&broken).unwrap().set_modified(written).unwrap();
    let mut client = server.client().await.with_token("token");
    client.post(ROUTE, json!({ "file": "model_a.onnx", "pin": true })).await.ok();
    for pin in [false, true] {
        let answer = client.post(ROUTE, json!({ "file": "model_0.onnx", "pin": pin })).await;
        assert!(
            answer.detail(409).starts_with("nothing changes, because model_0.onnx does not load: "),
            "{}",
            answer.text()
        );
        assert_eq!(fs::metadata(&broken).unwrap().modified().unwrap(), written);
        assert_eq!(client.get("/sac/health").await.ok()["status"], "ok");
        assert_eq!(candidates(&mut client).await, ["model_a.onnx*!", "model_b.onnx", "model_0.onnx"]);
    }
    assert_eq!(file(&mut client).await, "model_a.onnx");
    // A newer one that requests have met is known to be refused.
    fs::write(&broken, b"broken again").unwrap();
    let far = SystemTime::now() + Duration::from_secs(400_000_000);
    File::options().write(true).open(&broken).unwrap().set_modified(far).unwrap();
    assert_eq!(file(&mut client).await, "model_a.onnx");
    let listed = client.get(ROUTE).await.ok();
    let refusals = listed["candidates"].as_array().unwrap().iter().map(|candidate| candidate["refusal"].is_string());
    assert_eq!(refusals.collect::<Vec<_>>(), [true, false, false], "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_flag_candidates_are_listed_and_none_is_chosen() {
    let (_folder, server) = server(|config| config.allow_rollback = false).await;
    let mut client = server.client().await.with_token("token");
    assert_eq!(client.get(ROUTE).await.ok()["may_select"], false);
    let answer = client.post(ROUTE, json!({ "file": "model_a.onnx" })).await;
    assert!(answer.detail(403).contains("--allow-rollback"));
    assert_eq!(file(&mut client).await, "model_b.onnx");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_policy_of_a_root_has_its_own_choice() {
    let root = tempdir().unwrap();
    for name in ["a", "b"] {
        fs::create_dir(root.path().join(name)).unwrap();
        publish(&root.path().join(name).join("model_1.onnx"), &checkpoint("pendulum_00500"));
        publish(&root.path().join(name).join("model_2.onnx"), &checkpoint("pendulum_08000"));
    }
    let config = Settings::folder(root.path()).config();
    let config = Config { allow_rollback: true, root: Some(RootConfig::new(root.path())), ..config };
    let server = Server::with_config(config).await;
    let mut client = server.client().await;
    client.post("/policies/a/sac/model/candidates", json!({ "file": "model_1.onnx" })).await.ok();
    for (name, file) in [("a", "model_1.onnx"), ("b", "model_2.onnx")] {
        let answer = client.post(&format!("/policies/{name}/sac/predict"), json!({ "state": [1, 2, 3] })).await.ok();
        assert!(answer["model_path"].as_str().unwrap().ends_with(&format!("/{name}/{file}")), "{answer}");
    }
    client.get("/policies/c/sac/model/candidates").await.detail(404);
}

/// Locked while a candidate of [`HELD_BYTES`] that is tried out has to wait before it is read.
static HOLD: Mutex<()> = Mutex::new(());
static IS_HELD: AtomicBool = AtomicBool::new(false);
const HELD_BYTES: u64 = 4321;

fn hold_the_trial(found: Identity) {
    if found.size == HELD_BYTES && thread::current().name() == Some("sac-trial") {
        IS_HELD.store(true, Ordering::SeqCst);
        drop(HOLD.lock());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_choice_that_takes_long_delays_no_new_checkpoint_and_further_ones_are_503() {
    let (folder, server) = server(|config| {
        config.source.identify = |found| {
            let identity = Identity::of(found);
            hold_the_trial(identity);
            identity
        };
    })
    .await;
    let mut client = server.client().await.with_token("token");
    assert_eq!(file(&mut client).await, "model_b.onnx");
    // It is older than the one in service, so requests do not load it.
    let slow = folder.path().join("model_slow.tmp");
    fs::write(&slow, [b'x'; HELD_BYTES as usize]).unwrap();
    set_modified(&slow, at(0));
    fs::rename(&slow, folder.path().join("model_slow.onnx")).unwrap();
    let (lock, locks) = oneshot::channel();
    let (release, releases) = mpsc::channel::<()>();
    let holder = thread::spawn(move || {
        let _hold = HOLD.lock().unwrap();
        lock.send(()).unwrap();
        let _ = releases.recv();
    });
    locks.await.unwrap();
    let choice = json!({ "file": "model_slow.onnx" });
    let mut first = server.client().await.with_token("token");
    let chosen = {
        let choice = choice.clone();
        tokio::spawn(async move { first.post(ROUTE, choice).await })
    };
    while !IS_HELD.load(Ordering::SeqCst) {
        assert!(!chosen.is_finished(), "another thread tried it out");
        tokio::task::yield_now().await;
    }
    publish(&folder.path().join("model_c.onnx"), &checkpoint("pendulum_02000"));
    let next = timeout(PATIENCE, file(&mut client)).await;
    assert_eq!(next.expect("the new checkpoint waits for the choice"), "model_c.onnx");
    let answer = client.post(ROUTE, choice.clone()).await;
    assert_eq!(answer.detail(503), "too many choices for this policy at once: ask again later");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(!chosen.is_finished());
    release.send(()).unwrap();
    holder.join().unwrap();
    chosen.await.unwrap().detail(409);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_requests_have_refused_is_not_loaded_again_for_a_choice() {
    let (folder, server) = server(|_| ()).await;
    let mut client = server.client().await.with_token("token");
    fs::write(folder.path().join("model_c.onnx"), b"broken").unwrap();
    assert_eq!(file(&mut client).await, "model_b.onnx");
    let loads = server.service().loads();
    client.post(ROUTE, json!({ "file": "model_c.onnx" })).await.detail(409);
    assert_eq!(server.service().loads(), loads);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_cannot_be_read_at_the_moment_is_503_and_nothing_changes() {
    let (folder, server) = server(|_| ()).await;
    let mut client = server.client().await.with_token("token");
    // A regular file whose every byte gives EIO.
    symlink("/proc/self/mem", folder.path().join("model_c.onnx")).unwrap();
    let answer = client.post(ROUTE, json!({ "file": "model_c.onnx" })).await;
    let detail = answer.detail(503);
    assert!(
        detail.starts_with("nothing changes, because model_c.onnx cannot be read or loaded at this moment: "),
        "{detail}"
    );
    assert_eq!(file(&mut client).await, "model_b.onnx");
}
