//! The Open Inference Protocol over real sockets, and by its real clients.

use std::process::Command;

use http::Method;
use jsonschema::validator_for;
use sac_tests::{Answer, Owner, Server, Settings, both_owners, checkpoint, file, publish, workspace};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

const INFER: &str = "/v2/models/pendulum/infer";

fn settings() -> (TempDir, Settings) {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let settings = Settings { model_name: "pendulum".parse().unwrap(), ..Settings::folder(folder.path()) };
    (folder, settings)
}

fn rows(states: &[[f64; 3]]) -> Value {
    json!({ "inputs": [{ "name": "state", "shape": [states.len(), 3], "datatype": "FP64", "data": states }] })
}

both_owners!(an_inference_gives_the_actions_of_predict_by_the_newest_checkpoint);
async fn an_inference_gives_the_actions_of_predict_by_the_newest_checkpoint(owner: Owner) {
    let (folder, settings) = settings();
    let server = Server::start(owner, &settings).await;
    let mut client = server.client().await;
    assert_eq!(client.get("/v2/health/live").await.ok()["live"], true);
    assert_eq!(client.get("/v2/health/ready").await.ok()["ready"], true);
    let states = [[0.1, 0.2, 0.3], [-1.0, 0.0, 2.5]];
    for (generation, name) in ["pendulum_00500", "pendulum_02000"].into_iter().enumerate() {
        if generation > 0 {
            publish(&folder.path().join("model_a.onnx"), &checkpoint(name));
        }
        let answer = client.post(INFER, rows(&states)).await.ok();
        let single = [client.predict(&states[0]).await, client.predict(&states[1]).await];
        assert_eq!(answer["outputs"][0]["data"], json!([single[0]["action"], single[1]["action"]]), "{name}");
        assert_eq!(answer["model_name"], "pendulum");
        // The gateway may begin anew with each of its instances.
        if matches!(owner, Owner::Host) {
            assert_eq!(answer["model_version"], (generation + 1).to_string());
        }
        assert_eq!(answer["parameters"]["model_path"], single[0]["model_path"]);
    }
}

both_owners!(binary_tensors_are_answered_by_binary_tensors);
async fn binary_tensors_are_answered_by_binary_tensors(owner: Owner) {
    let (_folder, settings) = settings();
    let server = Server::start(owner, &settings).await;
    let mut client = server.client().await;
    let (states, numbers) = ([[0.5, 0.25, -1.0]; 2], [0.5f32, 0.25, -1.0, 0.5, 0.25, -1.0].map(f32::to_le_bytes));
    let header = json!({
        "inputs": [{ "name": "state", "shape": [2, 3], "datatype": "FP32", "parameters": { "binary_data_size": 24 } }],
        "parameters": { "binary_data_output": true },
    });
    let header = header.to_string();
    let body = [header.as_bytes(), &numbers.concat()].concat();
    let lengths = format!("inference-header-content-length: {}\r\n", header.len());
    let answer = client.send_with(Method::POST, INFER, &lengths, body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    let length = answer.header("inference-header-content-length").unwrap().parse::<usize>().unwrap();
    let (json, binary) = answer.body().split_at(length);
    let json = serde_json::from_slice::<Value>(json).unwrap();
    assert_eq!(json["outputs"][0]["shape"], json!([2, 1]));
    let action = client.predict(&states[0]).await["action"].as_f64().unwrap() as f32;
    assert_eq!(binary, [action.to_le_bytes(); 2].concat());
}

/// Checks an answer against the schema that the protocol publishes for an operation.
#[track_caller]
fn check_published(operation: &str, method: &str, status: &str, answer: &Answer) {
    let published = serde_json::from_slice::<Value>(&file("open_inference_rest.json")).unwrap();
    let response = &published["paths"][operation][method]["responses"][status];
    let mut schema = response["content"]["application/json"]["schema"].clone();
    assert!(schema.is_object(), "the protocol has no schema of {status} of {operation}");
    schema["components"] = published["components"].clone();
    let fits = validator_for(&schema).unwrap().validate(answer.json()).map_err(|error| error.to_string());
    assert_eq!(fits, Ok(()), "{status} of {operation}: {}", answer.text());
}

both_owners!(every_answer_fits_the_published_schema_of_the_protocol);
async fn every_answer_fits_the_published_schema_of_the_protocol(owner: Owner) {
    const SERVER: &str = "/v2/";
    const MODEL: &str = "/v2/models/${MODEL_NAME}/versions/${MODEL_VERSION}";
    let inference = format!("{MODEL}/infer");
    let (_folder, settings) = settings();
    let settings = Settings { token: Some("secret".to_owned()), ..settings };
    let server = Server::start(owner, &settings).await;
    let mut client = server.client().await.with_token("secret");
    check_published(SERVER, "get", "200", &client.get("/v2").await);
    // The protocol publishes one form of all errors of the server, whatever their status is.
    check_published(SERVER, "get", "400", &server.client().await.get("/v2").await);
    check_published(SERVER, "get", "400", &client.get("/v2/nothing").await);
    let version = client.get("/v2/models/pendulum").await.ok()["versions"][0].as_str().unwrap().to_owned();
    for path in ["/v2/models/pendulum".to_owned(), format!("/v2/models/pendulum/versions/{version}")] {
        let metadata = client.get(&path).await;
        assert_eq!(metadata.status, 200);
        check_published(MODEL, "get", "200", &metadata);
        for body in [
            rows(&[[0.1, 0.2, 0.3]]),
            json!({
                "id": "a",
                "inputs": [{ "name": "state", "shape": [2, 3], "datatype": "FP32", "data": [1, 2, 3, 4, 5, 6] }],
                "outputs": [{ "name": "action" }],
            }),
        ] {
            let answer = client.post(&format!("{path}/infer"), body).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            check_published(&inference, "post", "200", &answer);
        }
        let refusal = client.post(&format!("{path}/infer"), json!({ "inputs": [] })).await;
        assert_eq!(refusal.status, 400, "{}", refusal.text());
        check_published(&inference, "post", "400", &refusal);
        // The schema says "error" is a text, and its prose that each error has it.
        assert!(refusal.json()["error"].is_string());
        // The protocol publishes no schema of health. Its prose calls the field of a ready server "live", and that of a ready
        // model "ready"; its servers and clients call both "ready".
        assert_eq!(client.get(&format!("{path}/ready")).await.ok(), json!({ "name": "pendulum", "ready": true }));
    }
    assert_eq!(client.get("/v2/health/live").await.ok(), json!({ "live": true }));
    assert_eq!(client.get("/v2/health/ready").await.ok(), json!({ "ready": true }));
}

both_owners!(errors_are_of_the_protocols_form_whoever_answers_them);
async fn errors_are_of_the_protocols_form_whoever_answers_them(owner: Owner) {
    let (_folder, settings) = settings();
    let settings = Settings { token: Some("secret".to_owned()), max_body_bytes: 200, ..settings };
    let server = Server::start(owner, &settings).await;
    let mut client = server.client().await;
    let error = |answer: Answer, status: u16| {
        assert_eq!(answer.status, status, "{}", answer.text());
        answer.json()["error"].as_str().unwrap().to_owned()
    };
    error(client.get("/v2/models/pendulum").await, 401);
    client.get("/v2/health/ready").await.ok();
    client.get("/v2/models/pendulum/ready").await.ok();
    let mut client = server.client().await.with_token("secret");
    error(client.get("/v2/models/other").await, 404);
    error(client.get("/v2/nothing").await, 404);
    error(client.get(INFER).await, 405);
    error(client.post(INFER, json!({})).await, 400);
    let answer = client.send(Method::POST, INFER, [b' '; 300]).await;
    assert!(error(answer, 413).contains("limit of 200 bytes"));
    // The contract's own routes keep their form. The host has closed the connection.
    let mut client = server.client().await.with_token("secret");
    client.get("/sac/nothing").await.detail(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn models_have_one_label_whatever_their_names_and_versions_are() {
    let (_folder, settings) = settings();
    let server = Server::start(Owner::Host, &settings).await;
    let mut client = server.client().await;
    client.post(INFER, rows(&[[0.0; 3]])).await.ok();
    client.post("/v2/models/pendulum/versions/1/infer", rows(&[[0.0; 3]])).await.ok();
    client.get("/v2/models/other/versions/7").await;
    let metrics = server.service().metrics().await.unwrap();
    assert!(
        metrics.contains("sac_requests_total{route=\"/v2/models/:model_name/infer\",status=\"200\"} 2"),
        "{metrics}"
    );
    assert!(metrics.contains("sac_inference_duration_seconds_count{route=\"/v2/models/:model_name/infer\"} 2"));
    assert!(!metrics.contains("other/versions"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_clients_of_the_protocol_get_the_actions_of_predict() {
    let python = std::env::var("SAC_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let clients = ["tritonclient.http", "kserve"];
    let missing = clients.into_iter().filter(|client| !can_import(&python, client)).collect::<Vec<_>>();
    if !missing.is_empty() {
        println!("{python} lacks {}, which are not tested", missing.join(" and "));
        assert!(std::env::var_os("CI").is_none(), "CI has them");
    }
    let (_folder, settings) = settings();
    let server = Server::start(Owner::Host, &settings).await;
    let script = workspace().join("tests/integration/clients.py");
    for client in clients.into_iter().filter(|client| !missing.contains(client)) {
        let mut command = Command::new(&python);
        command.arg(&script).args([client, &server.address.to_string()]);
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && out.ends_with("agrees\n"), "{client}: {out}{err}");
    }
}

fn can_import(python: &str, module: &str) -> bool {
    let import = format!("import {module}");
    Command::new(python).args(["-c", &import]).output().is_ok_and(|output| output.status.success())
}
