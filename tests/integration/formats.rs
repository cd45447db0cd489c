//! Both owners serve what trainers write. `component/actor/tests/formats.rs` tests that each layout gives PyTorch's
//! numbers, and that each hostile file is refused with its reason.

use std::fs;

use sac_serving::{ActionBounds, Activation};
use sac_tests::{Golden, Owner, Server, Settings, at, both_owners, file, path, publish, publish_named, set_modified};
use serde_json::json;
use tempfile::tempdir;

const STATE: [f64; 3] = [0.3, -0.4, 0.5];

both_owners!(the_next_request_is_answered_by_a_file_of_another_format_and_state_dimension);
async fn the_next_request_is_answered_by_a_file_of_another_format_and_state_dimension(owner: Owner) {
    let golden = Golden::read();
    let folder = tempdir().unwrap();
    let server = Server::start(owner, &Settings::folder(folder.path())).await;
    let mut client = server.client().await;
    for (index, (name, policy, action)) in [
        ("pendulum_00500.onnx", "pendulum_00500", "action_squashed"),
        ("stat_pair_03000.agent.pt", "stat_pair_03000", "action_scaled"),
        ("pendulum_08000.sb3.zip", "pendulum_08000", "action_scaled"),
        ("torch/legacy_agent.pt", "pendulum_00500", "action_scaled"),
        ("stat_pair_03000.cleanrl.pt", "stat_pair_03000", "action_scaled"),
        ("torch/actor.safetensors", "pendulum_00500", "action_scaled"),
        ("torch/torchscript.pt", "pendulum_00500", "action_squashed"),
    ]
    .into_iter()
    .enumerate()
    {
        let (_, extension) = name.rsplit_once('.').unwrap();
        let path = folder.path().join(format!("model_{index}.{extension}"));
        publish_named(&path, name);
        let policy = golden.policy(policy);
        for (state, action) in policy.states().iter().zip(policy.rows(action)) {
            let answer = client.predict(state).await;
            let difference = answer["action"].as_f64().unwrap() - action[0];
            assert_eq!(answer["model_path"].as_str(), path.to_str());
            assert!(difference.abs() < 1e-5, "{name}: {answer}, PyTorch says {action:?}");
        }
        assert_eq!(client.info().await["generation"], index + 1);
    }
    let wrong = client.post("/sac/predict", json!({"state": vec![0.0; 28]})).await;
    assert_eq!(wrong.detail(400), "state_dim mismatch: got 28, expected 3");
}

both_owners!(a_hostile_file_leaves_the_good_policy_answering);
async fn a_hostile_file_leaves_the_good_policy_answering(owner: Owner) {
    let hostile = fs::read_dir(path("torch")).unwrap();
    let refused = serde_json::from_slice::<serde_json::Value>(&file("torch/expected.json")).unwrap()["refused"].clone();
    let names = hostile.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names = names.filter(|name| refused.get(name).is_some()).collect::<Vec<_>>();
    assert!(names.len() > 30, "{} hostile files", names.len());
    let folder = tempdir().unwrap();
    let good = folder.path().join("model_good.pt");
    publish_named(&good, "pendulum_00500.agent.pt");
    set_modified(&good, at(0));
    let server = Server::start(owner, &Settings::folder(folder.path())).await;
    let mut client = server.client().await;
    let action = client.predict(&STATE).await["action"].clone();
    for name in &names {
        let path = folder.path().join(format!("model_{name}")).with_extension("pt");
        publish(&path, &file(&format!("torch/{name}")));
        let answer = client.predict(&STATE).await;
        assert_eq!((&answer["action"], answer["model_path"].as_str()), (&action, good.to_str()), "{name}");
        let info = client.info().await;
        let detail = info["last_error"]["detail"].as_str().unwrap_or_else(|| panic!("{name}: {info}"));
        assert!(!detail.contains("the component"), "{name}: the component broke: {detail}");
        fs::remove_file(path).unwrap();
    }
    assert!(!fs::exists("/tmp/sac-serving-was-here").unwrap(), "a checkpoint was executed");
}

both_owners!(the_info_shows_the_settings_that_a_checkpoint_carries);
async fn the_info_shows_the_settings_that_a_checkpoint_carries(owner: Owner) {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.zip"), &file("torch/sb3_vecnormalize.zip"));
    let server = Server::start(owner, &Settings::folder(folder.path())).await;
    let mut client = server.client().await;
    let info = client.info().await;
    assert_eq!((&info["format"], &info["layout"]), (&json!("stable-baselines3"), &json!("stable-baselines3")));
    assert_eq!((&info["action_low"], &info["action_high"]), (&json!([-1.0, 0.0]), &json!([1.0, 3.0])));
    assert_eq!((&info["activation"], &info["observations_normalised"]), (&json!("relu"), &json!(false)));

    let statistics = folder.path().join("model_a.zip.vecnormalize.pkl");
    publish(&statistics, &file("torch/sb3_vecnormalize.zip.vecnormalize.pkl"));
    let info = client.info().await;
    assert_eq!((&info["observations_normalised"], &info["generation"]), (&json!(true), &json!(2)));

    publish(&statistics, b"not a pickle");
    let info = client.info().await;
    assert_eq!((&info["observations_normalised"], &info["stale"]), (&json!(true), &json!(true)));
    let detail = info["last_error"]["detail"].as_str().unwrap();
    assert!(detail.contains("the VecNormalize file beside it"), "{detail}");
}

both_owners!(a_bare_network_takes_the_facts_that_the_operator_supplies);
async fn a_bare_network_takes_the_facts_that_the_operator_supplies(owner: Owner) {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.pt"), &file("pendulum_00500.state_dict.pt"));
    let server = Server::start(owner, &Settings::folder(folder.path())).await;
    let refused = server.client().await.get("/sac/model/info").await;
    assert!(refused.detail(500).contains("activation"), "{}", refused.text());
    let bounds = "-3:3".parse::<ActionBounds>().unwrap();
    let settings =
        Settings { activation: Some(Activation::Tanh), action_bounds: Some(bounds), ..Settings::folder(folder.path()) };
    let server = Server::start(owner, &settings).await;
    let info = server.client().await.info().await;
    assert_eq!((&info["activation"], &info["action_low"]), (&json!("tanh"), &json!([-3.0])));
}

both_owners!(the_next_request_sees_a_card_that_appears_and_one_that_goes);
async fn the_next_request_sees_a_card_that_appears_and_one_that_goes(owner: Owner) {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.pt"), &file("pendulum_00500.state_dict.pt"));
    let server = Server::start(owner, &Settings::folder(folder.path())).await;
    let mut client = server.client().await;
    assert_eq!(client.get("/sac/health").await.status, 503);
    publish(&folder.path().join("policy.json"), br#"{"activation": "relu", "action_bounds": "unit"}"#);
    assert_eq!(client.get("/sac/health").await.status, 200);
    assert_eq!(client.info().await["activation"], "relu");
    let own = folder.path().join("model_a.pt.policy.json");
    publish(&own, br#"{"activation": "tanh"}"#);
    assert_eq!(client.info().await["activation"], "tanh");
    fs::remove_file(own).unwrap();
    assert_eq!(client.info().await["activation"], "relu");
}

both_owners!(a_folder_whose_files_are_no_candidates_says_so);
async fn a_folder_whose_files_are_no_candidates_says_so(owner: Owner) {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("best.onnx"), &file("pendulum_00500.onnx"));
    let server = Server::start(owner, &Settings::folder(folder.path())).await;
    let health = server.client().await.get("/sac/health").await;
    assert!(health.detail(503).contains("named model_*.{onnx,pt,"), "{}", health.text());
    let settings = Settings { pattern: "best*", ..Settings::folder(folder.path()) };
    let server = Server::start(owner, &settings).await;
    assert_eq!(server.client().await.get("/sac/health").await.status, 200);
}
