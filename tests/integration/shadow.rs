//! Shadows: a checkpoint beside a policy computes the same requests afterwards, and is promoted.

use std::fs;
use std::path::{Path, PathBuf};

use sac_serving::{Config, RootConfig, ShadowConfig, Tokens};
use sac_tests::{Client, Server, Settings, checkpoint, publish};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

/// The actions of the two checkpoints on these differ.
const STATES: [[f64; 3]; 4] = [[0.1, 0.2, 0.3], [-1.0, 0.0, 2.0], [0.9, -0.4, -3.0], [0.0, 1.0, 0.5]];

/// A policy in a folder, and its shadow.
struct Pair {
    folder: TempDir,
    server: Server,
    /// The policy's folder.
    path: PathBuf,
    prefix: &'static str,
}

impl Pair {
    /// A policy alone, or one of a root.
    async fn new(in_root: bool, adapt: impl FnOnce(&mut Config)) -> Pair {
        let folder = tempdir().unwrap();
        let (path, prefix) = match in_root {
            true => (folder.path().join("a"), "/policies/a"),
            false => (folder.path().to_owned(), ""),
        };
        fs::create_dir_all(path.join("shadow")).unwrap();
        publish(&path.join("model_a.onnx"), &checkpoint("pendulum_00500"));
        let mut config = Settings::folder(&path).config();
        config.root = in_root.then(|| RootConfig::new(folder.path()));
        config.shadow = Some(ShadowConfig::new(1.0));
        adapt(&mut config);
        let server = Server::with_config(config).await;
        Pair { folder, server, path, prefix }
    }

    fn shadow(&self, name: &str) -> PathBuf {
        self.path.join("shadow").join(name)
    }

    async fn predict(&self, client: &mut Client, state: &[f64]) -> Value {
        client.post(&format!("{}/sac/predict", self.prefix), json!({ "state": state })).await.ok()
    }

    /// Describes the shadow as `/status` or `/policies` does.
    async fn state(&self) -> Value {
        let mut client = self.server.client().await;
        match self.prefix {
            "" => client.get("/status").await.ok()["shadow"].clone(),
            _ => client.get("/policies").await.ok()["policies"][0]["shadow"].clone(),
        }
    }

    /// Asks for an action until the shadow is described in a certain way.
    async fn predict_until(&self, reached: impl Fn(&Value) -> bool) -> Value {
        let mut client = self.server.client().await;
        loop {
            self.predict(&mut client, &STATES[0]).await;
            let state = self.state().await;
            if reached(&state) {
                return state;
            }
        }
    }

    async fn promote(&self, body: Value) -> sac_tests::Answer {
        let mut client = self.server.client().await;
        client.post(&format!("{}/sac/model/promote", self.prefix), body).await
    }
}

/// The action of a checkpoint on each state, by a server of its own.
async fn actions(name: &str) -> Vec<f64> {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint(name));
    let server = Server::folder(folder.path()).await;
    let answer = server.client().await.post("/sac/predict/batch", json!({ "states": STATES })).await.ok();
    answer["actions"].as_array().unwrap().iter().map(|action| action.as_f64().unwrap()).collect()
}

async fn metric(server: &Server, name: &str) -> Option<f64> {
    let text = server.service().metrics().await.unwrap();
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

fn is_in_service(answer: &Value, path: &Path) -> bool {
    answer["model_path"] == path.canonicalize().unwrap().to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_computes_the_same_states_and_the_differences_are_those_of_the_two_policies() {
    let (ours, others) = (actions("pendulum_00500").await, actions("pendulum_08000").await);
    let differences = ours.iter().zip(&others).map(|(one, other)| (one - other).abs()).collect::<Vec<_>>();
    let threshold = (differences[0] + differences.iter().fold(0.0, |a: f64, b| a.max(*b))) / 2.0;
    let expected_above = differences.iter().filter(|difference| **difference > threshold).count() as f64 / 4.0;
    for (in_root, label) in [(false, "sac"), (true, "a")] {
        let pair = Pair::new(in_root, |config| {
            config.shadow = Some(ShadowConfig { threshold, ..ShadowConfig::new(1.0) });
        })
        .await;
        publish(&pair.shadow("model_next.onnx"), &checkpoint("pendulum_08000"));
        let mut client = pair.server.client().await;
        let batch = json!({ "states": STATES });
        let answer = client.post(&format!("{}/sac/predict/batch", pair.prefix), batch).await.ok();
        assert!(is_in_service(&answer, &pair.path.join("model_a.onnx")));
        // A sampled action differs by its draw, and is not compared.
        let sampled = json!({ "state": STATES[0], "deterministic": false });
        client.post(&format!("{}/sac/predict", pair.prefix), sampled).await.ok();
        let state = loop {
            let state = pair.state().await;
            if state["rows"].as_u64().is_some_and(|rows| rows > 0) {
                break state;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!((&state["rows"], &state["compared_with"], &state["detail"]), (&json!(4), &json!(1), &Value::Null));
        let close = |field: &str, expected: f64| (state[field].as_f64().unwrap() - expected).abs() < 1e-6;
        assert!(close("difference_mean", differences.iter().sum::<f64>() / 4.0), "{state} {differences:?}");
        assert!(close("difference_max", differences.iter().fold(0.0, |a: f64, b| a.max(*b))), "{state}");
        assert!(close("above_threshold", expected_above) && close("threshold", threshold), "{state}");
        for (name, field) in [
            ("rows", "rows"),
            ("difference_mean", "difference_mean"),
            ("difference_max", "difference_max"),
            ("above_threshold_ratio", "above_threshold"),
        ] {
            let found = metric(&pair.server, &format!("sac_shadow_{name}{{policy=\"{label}\"}}")).await;
            assert_eq!(found, state[field].as_f64(), "{name}");
        }
        assert_eq!(metric(&pair.server, "sac_shadow_samples_total{outcome=\"compared\"}").await, Some(1.0));
        // The policy's own reloads alone are counted.
        assert_eq!(metric(&pair.server, "sac_reloads_total{outcome=\"loaded\"}").await, Some(1.0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_differences_begin_anew_when_the_policy_or_its_shadow_changes() {
    let pair = Pair::new(false, |_| ()).await;
    publish(&pair.shadow("model_next.onnx"), &checkpoint("pendulum_08000"));
    let first = pair.predict_until(|state| state["rows"].as_u64() > Some(2)).await;
    assert!(first["difference_max"].as_f64() > Some(0.0));
    // A policy that is its own shadow.
    publish(&pair.shadow("model_other.onnx"), &checkpoint("pendulum_00500"));
    let state = pair.predict_until(|state| state["difference_max"] == 0.0).await;
    assert!(state["path"].as_str().unwrap().ends_with("shadow/model_other.onnx"), "{state}");
    publish(&pair.path.join("model_b.onnx"), &checkpoint("pendulum_08000"));
    let state = pair.predict_until(|state| state["compared_with"] == 2).await;
    assert!(state["difference_max"].as_f64() > Some(0.0), "{state}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_that_goes_away_is_described_no_more_and_a_broken_one_with_the_reason() {
    let pair = Pair::new(true, |_| ()).await;
    assert_eq!(pair.state().await, Value::Null);
    fs::write(pair.shadow("next.onnx"), b"a file by another name").unwrap();
    let state = pair.predict_until(|state| !state.is_null()).await;
    assert!(state["detail"].as_str().unwrap().contains("is not named"), "{state}");
    fs::remove_file(pair.shadow("next.onnx")).unwrap();
    pair.predict_until(Value::is_null).await;
    publish(&pair.shadow("model_next.onnx"), b"broken");
    let state = pair.predict_until(|state| !state["detail"].is_null()).await;
    assert_eq!((&state["sha256"], &state["rows"]), (&Value::Null, &json!(0)), "{state}");
    fs::remove_file(pair.shadow("model_next.onnx")).unwrap();
    pair.predict_until(Value::is_null).await;
    // Another policy's actions cannot be compared.
    publish(&pair.shadow("model_pair.onnx"), &checkpoint("stat_pair_03000"));
    let state = pair.predict_until(|state| !state["detail"].is_null()).await;
    assert!(state["detail"].as_str().unwrap().contains("28"), "{state}");
    // None of this concerns the policy.
    let info = pair.server.client().await.get("/policies/a/sac/model/info").await.ok();
    assert_eq!((&info["generation"], &info["stale"]), (&json!(1), &json!(false)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_shadow_answers_the_next_request() {
    let expected = actions("pendulum_08000").await[0];
    for in_root in [false, true] {
        let pair = Pair::new(in_root, |_| ()).await;
        publish(&pair.shadow("model_next.onnx"), &checkpoint("pendulum_08000"));
        let state = pair.predict_until(|state| state["rows"].as_u64() > Some(0)).await;
        let sha256 = state["sha256"].as_str().unwrap();
        let answer = pair.promote(json!({ "sha256": sha256 })).await.ok();
        assert_eq!((&answer["status"], &answer["generation"]), (&json!("promoted"), &json!(2)), "{answer}");
        assert_eq!(answer["sha256"], sha256);
        let prediction = pair.predict(&mut pair.server.client().await, &STATES[0]).await;
        assert!(is_in_service(&prediction, &pair.path.join("model_next.onnx")), "{prediction}");
        assert_eq!(prediction["action"].as_f64(), Some(expected));
        assert_eq!(pair.state().await, Value::Null);
        assert!(!pair.shadow("model_next.onnx").exists());
        // There is no other.
        pair.promote(json!({})).await.detail(404);
        // A touch of the old one rolls back.
        fs::File::open(pair.path.join("model_a.onnx")).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
        let prediction = pair.predict(&mut pair.server.client().await, &STATES[0]).await;
        assert!(is_in_service(&prediction, &pair.path.join("model_a.onnx")), "{prediction}");
        drop(pair.folder);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_is_promoted_as_it_was_compared_or_not_at_all() {
    let pair = Pair::new(false, |_| ()).await;
    let assert_none = async |body: Value, status: u16, reason: &str| {
        let answer = pair.promote(body).await;
        assert!(answer.detail(status).contains(reason), "{}", answer.text());
        assert!(!pair.path.join("model_next.onnx").exists());
    };
    assert_none(json!({}), 404, "no shadow to promote").await;
    publish(&pair.shadow("model_next.onnx"), b"broken");
    assert_none(json!({}), 409, "is refused").await;
    publish(&pair.shadow("model_next.onnx"), &checkpoint("stat_pair_03000"));
    assert_none(json!({}), 409, "takes states of 28 numbers").await;
    publish(&pair.shadow("model_next.onnx"), &checkpoint("pendulum_08000"));
    assert_none(json!({ "sha256": "another" }), 409, "not the one of the request").await;
    assert_none(json!({ "sha": "a misspelt key" }), 422, "sha256").await;
    fs::write(pair.path.join("policy.json"), r#"{"activation": "relu"}"#).unwrap();
    assert_none(json!({}), 409, "policy.json counts for all checkpoints").await;
    fs::remove_file(pair.path.join("policy.json")).unwrap();
    fs::rename(pair.shadow("model_next.onnx"), pair.shadow("model_a.onnx")).unwrap();
    assert_none(json!({}), 409, "exists in both folders").await;
    let wrong = pair.server.client().await.get("/sac/model/promote").await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("POST")));
    let info = pair.server.client().await.info().await;
    assert_eq!(info["path"], pair.path.join("model_a.onnx").canonicalize().unwrap().to_str().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_clients_with_the_token_promote_and_without_shadows_there_is_no_route() {
    for in_root in [false, true] {
        let pair = Pair::new(in_root, |config| config.tokens = Tokens::new(["token".to_owned()])).await;
        publish(&pair.shadow("model_next.onnx"), &checkpoint("pendulum_08000"));
        // Before the policy is loaded, and after it.
        let path = format!("{}/sac/model/promote", pair.prefix);
        for _ in 0..2 {
            pair.promote(json!({})).await.detail(401);
            let mut client = pair.server.client().await.with_token("token");
            client.post(&format!("{}/sac/predict", pair.prefix), json!({ "state": STATES[0] })).await.ok();
        }
        pair.server.client().await.with_token("token").post(&path, json!({})).await.ok();
        let none = Pair::new(in_root, |config| config.shadow = None).await;
        let answer = none.promote(json!({})).await;
        assert!(answer.detail(404).contains("--shadow-share (SAC_SHADOW_SHARE)"), "{}", answer.text());
        assert_eq!(none.state().await, Value::Null);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_symlink_of_a_shadow_leads_out_of_no_root() {
    let pair = Pair::new(true, |_| ()).await;
    let outside = tempdir().unwrap();
    publish(&outside.path().join("model_next.onnx"), &checkpoint("pendulum_08000"));
    fs::remove_dir(pair.path.join("shadow")).unwrap();
    std::os::unix::fs::symlink(outside.path(), pair.path.join("shadow")).unwrap();
    let state = pair.predict_until(|state| !state["detail"].is_null()).await;
    assert!(state["detail"].as_str().unwrap().contains("leads out of the root"), "{state}");
    pair.promote(json!({})).await.detail(409);
    assert!(outside.path().join("model_next.onnx").exists());
}
