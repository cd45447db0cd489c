//! Decisions on record: each answer has a line, which names the checkpoint that computed it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use sac_serving::{Config, DecisionLogConfig, RootConfig};
use sac_tests::{Server, Settings, checkpoint, publish};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};
use tokio::task::JoinSet;

const STATE: [f64; 3] = [0.1, 0.2, 0.3];

/// A server that records its decisions, and the folders of its checkpoints and of its log.
async fn server(adapt: impl FnOnce(&mut Config, &mut DecisionLogConfig, &Path)) -> (Server, TempDir, TempDir) {
    let (folder, logs) = (tempdir().unwrap(), tempdir().unwrap());
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let mut config = Settings::folder(folder.path()).config();
    let mut log = DecisionLogConfig::new(logs.path());
    adapt(&mut config, &mut log, folder.path());
    let server = Server::with_config(Config { decision_log: Some(log), ..config }).await;
    (server, folder, logs)
}

/// The lines of the log, once there are so many.
async fn lines(logs: &TempDir, count: usize) -> Vec<Value> {
    loop {
        let text = fs::read_to_string(logs.path().join("decisions.jsonl")).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>();
        assert!(lines.len() <= count, "{text}");
        if lines.len() == count {
            return lines;
        }
        tokio::task::yield_now().await;
    }
}

async fn metric(server: &Server, outcome: &str) -> f64 {
    let text = server.service().metrics().await.unwrap();
    let name = format!("sac_decisions_total{{outcome=\"{outcome}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap()
}

fn seed(line: &Value) -> Option<u64> {
    line["seed"].as_u64()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_prediction_has_a_line_and_nothing_else_does() {
    let (server, folder, logs) = server(|_, _, _| ()).await;
    let mut client = server.client().await;
    let answer = client.predict(&STATE).await;
    let sampled = json!({ "states": [STATE, [1, 0, 0]], "deterministic": false });
    let batch = client.post("/sac/predict/batch", sampled).await.ok();
    let input = json!({ "name": "state", "shape": [1, 3], "datatype": "FP64", "data": STATE });
    client.post("/v2/models/sac/infer", json!({ "inputs": [input] })).await.ok();
    client.post("/sac/predict", json!({ "state": [1] })).await.detail(400);
    client.post("/sac/benchmark", json!({ "iterations": 3 })).await.ok();
    client.info().await;
    let lines = lines(&logs, 3).await;
    let info = client.info().await;
    for line in &lines {
        assert_eq!((&line["policy"], &line["generation"], &line["sha256"]), (&Value::Null, &json!(1), &info["sha256"]));
        assert_eq!(
            (&line["checkpoint"], &line["backend"], &line["sidecars"]),
            (&info["path"], &info["plan"], &json!([]))
        );
        assert!(line["time"].as_str().unwrap().ends_with("+00:00"), "{line}");
    }
    assert_eq!(lines[0]["states"], json!([[0.1, 0.2, 0.3]]));
    assert_eq!(lines[0]["actions"][0][0], answer["action"]);
    assert_eq!((seed(&lines[0]), seed(&lines[2])), (None, None));
    // Without a seed in the request, the line has the one that was drawn.
    let actions = lines[1]["actions"].as_array().unwrap().iter().map(|row| row[0].clone()).collect::<Vec<_>>();
    assert_eq!(json!(actions), batch["actions"]);
    let again = json!({ "states": [STATE, [1, 0, 0]], "deterministic": false, "seed": seed(&lines[1]).unwrap() });
    assert_eq!(client.post("/sac/predict/batch", again).await.ok()["actions"], batch["actions"]);
    assert_eq!(metric(&server, "dropped").await, 0.0);
    drop(folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_swaps_each_line_names_the_checkpoint_of_its_answer() {
    let (server, folder, logs) = server(|_, _, _| ()).await;
    let mut clients = JoinSet::new();
    for number in 0..4 {
        let (mut client, path) = (server.client().await, folder.path().join(format!("model_{number}.onnx")));
        clients.spawn(async move {
            let mut answers = Vec::new();
            for round in 0..25 {
                let name = if (number + round) % 2 == 0 { "pendulum_00500" } else { "pendulum_08000" };
                publish(&path, &checkpoint(name));
                // The state tells which answer a line belongs to.
                let state = [f64::from(number), f64::from(round), 0.5];
                let answer = client.predict(&state).await;
                answers.push((json!([state]).to_string(), answer["model_path"].clone(), answer["action"].clone()));
            }
            answers
        });
    }
    let answers = clients.join_all().await.concat();
    let found = lines(&logs, answers.len()).await;
    let of = |line: &Value| (line["states"].to_string(), (line["checkpoint"].clone(), line["actions"][0][0].clone()));
    let found = found.iter().map(of).collect::<BTreeMap<_, _>>();
    for (state, path, action) in answers {
        assert_eq!(found[&state], (path, action), "{state}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_and_the_name_of_a_policy_are_on_record() {
    let (server, folder, logs) = server(|config, _, folder| config.root = Some(RootConfig::new(folder))).await;
    let policy = folder.path().join("a");
    fs::create_dir(&policy).unwrap();
    fs::write(policy.join("policy.json"), r#"{"kind": "sac"}"#).unwrap();
    publish(&policy.join("model_a.onnx"), &checkpoint("pendulum_08000"));
    let answer = server.client().await.post("/policies/a/sac/predict", json!({ "state": STATE })).await.ok();
    let line = &lines(&logs, 1).await[0];
    assert_eq!((&line["policy"], &line["checkpoint"]), (&json!("a"), &answer["model_path"]));
    assert_eq!(line["sidecars"][0]["name"], "policy.json");
    assert_eq!(line["sidecars"][0]["sha256"].as_str().unwrap().len(), 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_drops_decisions_with_a_count_and_delays_no_answer() {
    let pipes = tempdir().unwrap();
    let pipe = pipes.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let (server, _folder, _logs) = server(|_, log, _| log.path.clone_from(&pipe)).await;
    let mut client = server.client().await;
    let batch = json!({ "states": vec![STATE; 4000] });
    while metric(&server, "dropped").await < 3.0 {
        client.post("/sac/predict/batch", batch.clone()).await.ok();
    }
    assert_eq!(metric(&server, "written").await, 0.0);
    client.predict(&STATE).await;
    // The thread that opens the pipe waits for a reader, and ends with one.
    fs::File::open(&pipe).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_fails_with_a_count_and_is_tried_again() {
    let (server, _folder, logs) = server(|_, log, _| log.path = log.path.join("later/log")).await;
    let mut client = server.client().await;
    while metric(&server, "failed").await < 1.0 {
        client.predict(&STATE).await;
    }
    fs::create_dir(logs.path().join("later")).unwrap();
    while metric(&server, "written").await < 1.0 {
        client.predict(&STATE).await;
    }
    assert!(fs::read_to_string(logs.path().join("later/log")).unwrap().starts_with('{'));
}
