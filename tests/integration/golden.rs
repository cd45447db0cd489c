//! Actions agree with what PyTorch computes.

use std::time::Duration;

use sac_serving::Config;
use sac_tests::{Golden, Owner, Server, Settings, both_owners, checkpoint, odd, publish};
use serde_json::{Value, json};
use tempfile::tempdir;

const TOLERANCE: f64 = 1e-5;

fn assert_close(found: &Value, expected: &[f64], what: &str) {
    let found = match found {
        Value::Number(number) => vec![number.as_f64().unwrap()],
        list => serde_json::from_value(list.clone()).unwrap(),
    };
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < TOLERANCE, "{what}: {found}, PyTorch says {expected}");
    }
}

both_owners!(predict_and_batch_agree_with_pytorch);
async fn predict_and_batch_agree_with_pytorch(owner: Owner) {
    compare_with_pytorch(owner, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn predict_and_batch_agree_with_pytorch_without_the_compiled_mode() {
    compare_with_pytorch(Owner::Host, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn predict_and_batch_agree_with_pytorch_on_a_unix_socket() {
    compare_with_pytorch(Owner::HostOnUnixSocket, true).await;
}

async fn compare_with_pytorch(owner: Owner, jit: bool) {
    let golden = Golden::read();
    let folder = tempdir().unwrap();
    let server = Server::start(owner, &Settings { jit, ..Settings::folder(folder.path()) }).await;
    let mut client = server.client().await;
    for policy in golden.policies() {
        publish(&folder.path().join(format!("model_{}.onnx", policy.name)), &checkpoint(policy.name));
        let (states, actions) = (policy.states(), policy.rows("action_squashed"));
        let batch = client.post("/sac/predict/batch", json!({ "states": states })).await.ok();
        assert!(batch["model_path"].as_str().unwrap().contains(policy.name));
        for (row, (state, action)) in states.iter().zip(&actions).enumerate() {
            let what = format!("{} states[{row}]", policy.name);
            assert_close(&client.predict(state).await["action"], action, &what);
            assert_close(&batch["actions"][row], action, &what);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_fixes_the_action_and_a_row_of_a_batch_takes_its_own_draw() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &odd("two_action_dims"));
    let server = Server::folder(folder.path()).await;
    let mut client = server.client().await;
    let state = [0.1, 0.2, 0.3];
    let seeded = async |client: &mut sac_tests::Client, seed: u64| {
        client.post("/sac/predict", json!({"state": state, "deterministic": false, "seed": seed})).await.ok()["action"]
            .clone()
    };
    let first = seeded(&mut client, 7).await;
    assert_eq!(first.as_array().unwrap().len(), 2, "a policy of two action dimensions gives a list");
    assert_eq!(first, seeded(&mut client, 7).await);
    assert_ne!(first, seeded(&mut client, 8).await);
    assert_ne!(seeded(&mut client, u64::MAX).await, seeded(&mut client, u64::MAX - 1).await);

    let batch = json!({"states": [state, state, state], "deterministic": false, "seed": 7});
    let batch = client.post("/sac/predict/batch", batch).await.ok()["actions"].clone();
    assert_eq!(batch[0], first, "predict is row 0");
    assert_ne!(batch[0], batch[1]);

    let unseeded = json!({"state": state, "deterministic": false});
    let (one, other) =
        (client.post("/sac/predict", unseeded.clone()).await, client.post("/sac/predict", unseeded).await);
    assert_ne!(one.ok()["action"], other.ok()["action"], "without a seed no two actions are the same");
}

/// A batch of this size is computed in parts, on several instances.
#[tokio::test(flavor = "multi_thread")]
async fn each_row_of_a_large_batch_has_the_action_that_it_has_alone() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("stat_pair_03000"));
    for workers in [1, 4] {
        let config = Config { workers, ..Settings::folder(folder.path()).config() };
        let server = Server::with_config(config).await;
        let mut client = server.client().await;
        let state = |row: usize| (0..28).map(move |i| ((row * 28 + i) as f64 * 0.618_034).fract() - 0.5);
        let states = (0..1001).map(|row| state(row).collect::<Vec<_>>()).collect::<Vec<_>>();
        let batch = client.post("/sac/predict/batch", json!({ "states": states })).await.ok();
        assert_eq!(batch["batch_size"], 1001);
        for row in (0..1001).step_by(50) {
            assert_eq!(client.predict(&states[row]).await["action"], batch["actions"][row], "{workers} workers, {row}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_the_host_computes_has_the_bits_of_single_states_and_the_next_checkpoint_answers_as_soon() {
    if !sac_kernel::Wide::is_supported() {
        println!("skipped: this processor has no wider vectors than WebAssembly");
        return;
    }
    let folder = tempdir().unwrap();
    let model = folder.path().join("model_a.onnx");
    publish(&model, &checkpoint("stat_pair_01000"));
    let server = Server::folder(folder.path()).await;
    let mut client = server.client().await;
    let state = |row: usize| (0..28).map(move |i| ((row * 28 + i) as f64 * 0.618_034).fract() - 0.5);
    let states = (0..77).map(|row| state(row).collect::<Vec<_>>()).collect::<Vec<_>>();
    for name in ["stat_pair_01000", "stat_pair_03000"] {
        publish(&model, &checkpoint(name));
        let before = batches(&server, "host").await;
        let computed = async {
            loop {
                let batch = client.post("/sac/predict/batch", json!({ "states": states })).await.ok();
                for row in [0, 7, 31, 76] {
                    assert_eq!(client.predict(&states[row]).await["action"], batch["actions"][row], "{name}, {row}");
                }
                if batches(&server, "host").await > before {
                    break;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(300), computed).await.expect("the host computes batches");
    }
    assert_ne!(batches(&server, "instances").await, 0, "instances compute until the host can");
}

async fn batches(server: &Server, by: &str) -> u64 {
    let text = server.service().metrics().await.unwrap();
    let name = format!("sac_batches_total{{by=\"{by}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_state_gives_the_same_bits_alone_and_in_a_batch() {
    let golden = Golden::read();
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("stat_pair_03000"));
    let server = Server::folder(folder.path()).await;
    let mut client = server.client().await;
    let state = &golden.policy("stat_pair_03000").states()[0];
    let alone = json!({"state": state, "deterministic": false, "seed": 3});
    let batch = json!({"states": [state], "deterministic": false, "seed": 3});
    let alone = client.post("/sac/predict", alone).await.ok()["action"].clone();
    assert_eq!(client.post("/sac/predict/batch", batch).await.ok()["actions"][0], alone);
}

#[tokio::test(flavor = "multi_thread")]
async fn stochastic_actions_have_the_moments_of_the_policy() {
    const DRAWS: usize = 10_000;
    let golden = Golden::read();
    let policy = golden.policy("pendulum_00500");
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint(policy.name));
    let server =
        Server::start(Owner::Host, &Settings { max_batch: DRAWS as u32, ..Settings::folder(folder.path()) }).await;
    let mut client = server.client().await;
    for row in [0, 8] {
        let state = &policy.states()[row];
        let body = json!({"states": vec![state; DRAWS], "deterministic": false, "seed": 1});
        let answer = client.post("/sac/predict/batch", body).await.ok();
        let draws: Vec<f64> = serde_json::from_value(answer["actions"].clone()).unwrap();
        // The draws before squashing. An action that rounds to ±1 would be infinite there.
        let draws = draws.iter().map(|action| action.atanh()).collect::<Vec<_>>();
        let mean = draws.iter().sum::<f64>() / DRAWS as f64;
        let std = (draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / (DRAWS - 1) as f64).sqrt();
        let (expected_mean, expected_std) = (policy.rows("mean")[row][0], policy.rows("log_std")[row][0].exp());
        // Within four standard errors. The seed is fixed, so that this passes always or never.
        let (mean_error, std_error) = (expected_std / 100.0, expected_std / 141.4);
        assert!((mean - expected_mean).abs() < 4.0 * mean_error, "mean {mean}, expected {expected_mean}");
        assert!((std - expected_std).abs() < 4.0 * std_error, "standard deviation {std}, expected {expected_std}");
    }
}
