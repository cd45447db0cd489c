//! A checkpoint that is refused never replaces one that serves.

use std::fs;

use sac_serving::OnBadCheckpoint;
use sac_tests::{Owner, Server, Settings, at, both_owners, checkpoint, every_owner, odd, publish, set_modified};
use serde_json::json;
use tempfile::tempdir;

const STATE: [f64; 3] = [0.3, -0.4, 0.5];

/// Broken files, each with a part of the reason for its refusal.
fn broken() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let whole = checkpoint("pendulum_08000");
    let half = whole[..whole.len() / 2].to_vec();
    // Without the field that exporters write last; protobuf reads the rest without complaint.
    let opset = whole.windows(4).rposition(|w| w == [0x42, 0x02, 0x10, 20] || w == [0x42, 0x04, 0x0a, 0x00]).unwrap();
    let cut = whole[..opset].to_vec();
    vec![
        ("truncated", half, "a safetensors file or an ONNX model that is damaged or incomplete"),
        ("cut_before_opset", cut, "no opset_import: the file is incomplete"),
        (
            "garbage",
            b"this is not a checkpoint at all".to_vec(),
            "the file is text: a checkpoint of an actor is expected",
        ),
        ("empty", vec![], "the file is empty"),
        ("rank", odd("rank_three"), "rank 2, [batch, state_dim], is expected, found rank 3"),
        ("nan", odd("nan_weights"), "holds NaN: finite weights are expected"),
        ("heads", odd("unequal_heads"), "must have one dimension, found 2 and 1"),
        ("names", odd("only_mean"), "`mean` and `log_std`, or `action`, are expected, found [\"mean\"]"),
        ("type", odd("whole_number_state"), "f32 is expected, found I64"),
        ("width", odd("no_state_dim"), "must be a number, state_dim"),
        ("output", odd("missing_output"), "`action_that_is_not_there` is computed by no node"),
    ]
}

every_owner!(the_good_model_keeps_answering_beside_a_refused_file_and_says_why_it_is_stale);
async fn the_good_model_keeps_answering_beside_a_refused_file_and_says_why_it_is_stale(owner: Owner) {
    let folder = tempdir().unwrap();
    let good = folder.path().join("model_good.onnx");
    publish(&good, &checkpoint("pendulum_00500"));
    set_modified(&good, at(0));
    let server = Server::start(owner, &Settings::folder(folder.path())).await;
    let mut client = server.client().await;
    let action = client.predict(&STATE).await["action"].clone();
    for (name, bytes, reason) in broken() {
        let path = folder.path().join(format!("model_{name}.onnx"));
        publish(&path, &bytes);
        for _ in 0..3 {
            let answer = client.predict(&STATE).await;
            assert_eq!((&answer["action"], answer["model_path"].as_str()), (&action, good.to_str()), "{name}");
        }
        let info = client.info().await;
        let error = &info["last_error"];
        assert_eq!((&info["stale"], &info["generation"]), (&json!(true), &json!(1)), "{name}");
        assert!(error["detail"].as_str().unwrap().contains(reason), "{name}: {error}");
        assert_eq!(error["path"], path.to_str().unwrap());
        assert!(error["mtime_utc"].as_str().unwrap().ends_with("+00:00") && error["at_utc"].is_string());
        assert_eq!(client.get("/sac/health").await.ok(), json!({"status": "stale", "model_loaded": true}));
        fs::remove_file(path).unwrap();
        let info = client.info().await;
        assert_eq!((&info["stale"], &info["last_error"]), (&json!(false), &json!(null)), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_file_is_not_tried_again_until_it_changes_or_a_reload_is_forced() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let server = Server::folder(folder.path()).await;
    let mut client = server.client().await;
    client.predict(&STATE).await;
    let path = folder.path().join("model_b.onnx");
    publish(&path, b"broken");
    for _ in 0..5 {
        client.predict(&STATE).await;
    }
    assert_eq!(server.service().loads(), 2);
    let reload = client.post("/sac/model/reload", json!({})).await;
    let detail = reload.detail(500);
    assert!(detail.starts_with("Checkpoint load failed: ") && detail.contains("model_b.onnx"), "{detail}");
    assert_eq!(server.service().loads(), 3);
    client.predict(&STATE).await;
    publish(&path, &checkpoint("pendulum_08000"));
    let info = client.info().await;
    assert_eq!((info["path"].as_str(), &info["stale"]), (path.to_str(), &json!(false)));
}

every_owner!(a_directory_with_a_checkpoints_name_is_refused);
async fn a_directory_with_a_checkpoints_name_is_refused(owner: Owner) {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let server = Server::start(owner, &Settings::folder(folder.path())).await;
    let mut client = server.client().await;
    client.predict(&STATE).await;
    fs::create_dir(folder.path().join("model_x.onnx")).unwrap();
    let info = client.info().await;
    assert_eq!(info["last_error"]["detail"], "not a regular file");
}

every_owner!(with_the_policy_fail_a_broken_file_is_500_on_every_route_that_needs_the_model);
async fn with_the_policy_fail_a_broken_file_is_500_on_every_route_that_needs_the_model(owner: Owner) {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let settings = Settings { on_bad_checkpoint: OnBadCheckpoint::Fail, ..Settings::folder(folder.path()) };
    let server = Server::start(owner, &settings).await;
    let mut client = server.client().await;
    client.predict(&STATE).await;
    let broken = folder.path().join("model_b.onnx");
    publish(&broken, b"broken");
    for (path, body) in [
        ("/sac/predict", json!({"state": STATE})),
        ("/sac/predict/batch", json!({"states": [STATE]})),
        ("/sac/benchmark", json!({})),
    ] {
        let answer = client.post(path, body).await;
        assert!(answer.detail(500).starts_with("Checkpoint load failed: "), "{path}: {}", answer.json());
    }
    client.get("/sac/model/info").await.detail(500);
    assert_eq!(client.get("/sac/health").await.ok()["status"], "stale");
    fs::remove_file(broken).unwrap();
    client.predict(&STATE).await;
}

both_owners!(a_refusal_makes_a_server_unready_only_with_the_policy_fail);
async fn a_refusal_makes_a_server_unready_only_with_the_policy_fail(owner: Owner) {
    for (on_bad_checkpoint, status) in [(OnBadCheckpoint::Keep, 200), (OnBadCheckpoint::Fail, 503)] {
        let folder = tempdir().unwrap();
        publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
        let server = Server::start(owner, &Settings { on_bad_checkpoint, ..Settings::folder(folder.path()) }).await;
        let mut client = server.client().await;
        client.get("/v2/health/ready").await.ok();
        let broken = folder.path().join("model_b.onnx");
        publish(&broken, b"broken");
        for path in ["/v2/health/ready", "/v2/models/sac/ready"] {
            let answer = client.get(path).await;
            assert_eq!((answer.status, &answer.json()["ready"]), (status, &json!(status == 200)), "{path}");
        }
        assert_eq!(client.get("/sac/health").await.ok()["status"], "stale");
        fs::remove_file(broken).unwrap();
        client.get("/v2/health/ready").await.ok();
    }
}

every_owner!(a_broken_first_checkpoint_is_500_with_the_reason_and_the_server_lives);
async fn a_broken_first_checkpoint_is_500_with_the_reason_and_the_server_lives(owner: Owner) {
    let folder = tempdir().unwrap();
    let path = folder.path().join("model_a.onnx");
    publish(&path, b"broken");
    let server = Server::start(owner, &Settings::folder(folder.path())).await;
    let mut client = server.client().await;
    for _ in 0..2 {
        let answer = client.post("/sac/predict", json!({"state": STATE})).await;
        assert!(answer.detail(500).starts_with("Checkpoint load failed: "), "{}", answer.json());
    }
    client.get("/sac/model/info").await.detail(500);
    let health = client.get("/sac/health").await;
    assert_eq!((health.status, health.json()), (503, &json!({"status": "no_model", "model_loaded": false})));
    publish(&path, &checkpoint("pendulum_00500"));
    client.predict(&STATE).await;
}

every_owner!(a_digest_beside_the_file_is_verified);
async fn a_digest_beside_the_file_is_verified(owner: Owner) {
    let folder = tempdir().unwrap();
    let path = folder.path().join("model_a.onnx");
    let sums = folder.path().join("model_a.onnx.sha256");
    fs::write(&sums, format!("{}  model_a.onnx\n", "0".repeat(64))).unwrap();
    publish(&path, &checkpoint("pendulum_00500"));
    let server = Server::start(owner, &Settings::folder(folder.path())).await;
    let mut client = server.client().await;
    let answer = client.get("/sac/model/info").await;
    let detail = answer.detail(500);
    // The digest of the file beside it is not repeated: it may be a token that a symlink leads to.
    assert!(detail.contains("its sha256 is ") && !detail.contains(&"0".repeat(64)), "{}", answer.json());
    let output = std::process::Command::new("sha256sum").arg(&path).output().unwrap();
    fs::write(&sums, output.stdout).unwrap();
    client.predict(&STATE).await;
}
