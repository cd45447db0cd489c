//! The routes of each policy, and of the default one.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn each_sub_folder_has_all_routes_below_its_name() {
    let root = root(["a", "BTC-USD_1.0"]);
    put(root.path(), "a", &checkpoint("pendulum_08000"));
    let server = server(root.path()).await;
    let mut client = server.client().await;
    for (name, other) in [("a", "BTC-USD_1.0"), ("BTC-USD_1.0", "a")] {
        let below = |path: &str| format!("/policies/{name}{path}");
        let path = root.path().join(name).join("model_a.onnx").canonicalize().unwrap();
        let alone = Server::folder(&root.path().join(name)).await;
        let action = alone.client().await.predict(&STATE).await["action"].clone();
        assert_eq!(client.get(&below("/sac/health")).await.ok()["status"], "ok");
        let info = client.get(&below("/sac/model/info")).await.ok();
        assert_eq!((&info["path"], &info["generation"]), (&json!(path), &json!(1)));
        let predicted = predict(&mut client, name).await;
        assert_eq!((&predicted["action"], &predicted["model_path"]), (&action, &json!(path)));
        let batch = client.post(&below("/sac/predict/batch"), json!({ "states": [STATE, STATE] })).await.ok();
        assert_eq!(batch["actions"], json!([action, action]));
        assert_eq!(client.post(&below("/sac/model/reload"), json!({})).await.ok()["generation"], 2);
        client.post(&below("/sac/benchmark"), json!({ "iterations": 2 })).await.ok();
        assert_eq!(client.get(&below("/sac/openapi.json")).await.status, 200);

        let answer = client.get(&below("/sac/predict")).await;
        assert_eq!((answer.detail(405), answer.header("allow")), ("Method Not Allowed", Some("POST")));
        client.get(&below("/sac/unknown")).await.detail(404);
        client.post(&below("/sac/predict"), json!({ "state": [1] })).await.detail(400);
        assert_eq!(client.send(Method::POST, &below("/sac/predict"), "{").await.status, 422);

        let input = json!({ "inputs": [{ "name": "state", "shape": [1, 3], "datatype": "FP32", "data": STATE }] });
        for path in [below(&format!("/v2/models/{name}/infer")), format!("/v2/models/{name}/infer")] {
            let answer = client.post(&path, input.clone()).await.ok();
            assert_eq!(answer["model_name"], name, "{path}");
        }
        assert_eq!(client.get(&below("/v2/health/ready")).await.ok(), json!({ "ready": true }));
        let answer = client.get(&below(&format!("/v2/models/{other}"))).await;
        assert!(answer.status == 404 && answer.json()["error"].is_string(), "{}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_of_a_policy_leads_a_browser_to_the_page_that_shows_it() {
    let root = root(["a"]);
    let server = server(root.path()).await;
    let mut client = server.client().await;
    for (path, page) in [("/policies/a", "../#a"), ("/policies/a/", "../../#a")] {
        let answer = client.get(path).await;
        assert_eq!((answer.status, answer.header("location")), (308, Some(page)), "{path}");
    }
    assert_eq!(client.post("/policies/a", json!({})).await.header("allow"), Some("GET, HEAD"));
    // It asks for no policy.
    assert_eq!(states(&mut client).await, named([("a", json!("not_loaded"))]));
    Server::folder(root.path()).await.client().await.get("/policies/a/").await.detail(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_default_policy_its_routes_are_404_and_the_servers_own_are_answered() {
    let root = root(["a"]);
    let server = server(root.path()).await;
    let mut client = server.client().await;
    for path in ["/sac/health", "/sac/model/info", "/sac/predict", "/sac/none"] {
        let detail = client.get(path).await.detail(404).to_owned();
        assert!(detail.contains("below /policies/NAME") && detail.contains("--default NAME (SAC_DEFAULT)"), "{path}");
    }
    assert!(client.get("/v2").await.json()["error"].as_str().unwrap().contains("--default NAME"));
    assert_eq!(client.get("/v2/models/b").await.json(), &json!({ "error": "no policy `b`: the only policy is a" }));
    let status = client.get("/status").await.ok();
    let source = format!("{}/*/model_*", root.path().display());
    assert!(status["source"].as_str().unwrap().starts_with(&source), "{status}");
    assert_eq!(status["detail"], "No SAC model loaded");
    for path in ["/", "/docs/", "/metrics", "/healthz"] {
        assert_eq!(client.get(path).await.status, 200, "{path}");
    }
    // Nothing of this loads a policy.
    assert_eq!(states(&mut client).await, named([("a", json!("not_loaded"))]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_policy_is_one_of_the_root_or_that_of_its_own_folder() {
    let root = root(["a", "b"]);
    let default = DefaultPolicy::Named("b".parse().unwrap());
    let server = server_with(root.path(), |_, settings| settings.default = default).await;
    let mut client = server.client().await;
    let path = |name: &str| json!(root.path().join(name).join("model_a.onnx").canonicalize().unwrap());
    assert_eq!(client.predict(&STATE).await["model_path"], path("b"));
    assert_eq!(client.get("/status").await.ok()["model"]["path"], path("b"));
    assert_eq!(predict(&mut client, "a").await["model_path"], path("a"));
    assert_eq!(client.get("/v2/health/ready").await.ok(), json!({ "ready": true }));

    let own = tempdir().unwrap();
    publish(&own.path().join("model_a.onnx"), &checkpoint("pendulum_08000"));
    let config = Settings::folder(own.path()).config();
    let settings = RootConfig { default: DefaultPolicy::Source, ..RootConfig::new(root.path()) };
    let server = Server::with_config(Config { root: Some(settings), ..config }).await;
    let mut client = server.client().await;
    let own = json!(own.path().join("model_a.onnx").canonicalize().unwrap());
    assert_eq!(client.predict(&STATE).await["model_path"], own);
    // Its name stays its own.
    assert_eq!(client.get("/v2/models/sac").await.ok()["name"], "sac");
    assert_eq!(client.get("/v2/models/a").await.ok()["name"], "a");
    assert_eq!(predict(&mut client, "a").await["model_path"], path("a"));
    assert_eq!(states(&mut client).await, named([("a", json!("loaded")), ("b", json!("not_loaded"))]));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_default_policy_health_is_that_of_the_server_which_is_ready_if_a_policy_can_answer() {
    let root = tempdir().unwrap();
    for fails in [false, true] {
        let server = server_with(root.path(), |config, _| {
            config.tokens = sac_serving::Tokens::new(["token".to_owned()]);
            config.on_bad_checkpoint = if fails { OnBadCheckpoint::Fail } else { OnBadCheckpoint::Keep };
        })
        .await;
        let mut stranger = server.client().await;
        assert_eq!(stranger.get("/v2/health/live").await.ok(), json!({ "live": true }));
        let answer = stranger.post("/v2/health/live", json!({})).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")));
        let mut is_ready = async || {
            let answer = stranger.get("/v2/health/ready").await;
            assert_eq!(answer.json(), &json!({ "ready": answer.status == 200 }));
            answer.status == 200
        };
        assert!(!is_ready().await, "there is no policy");
        put(root.path(), "a", b"broken");
        assert!(is_ready().await, "nobody has asked for it");
        assert_eq!(server.service().loads(), 0);
        let mut client = server.client().await.with_token("token");
        client.get("/policies/a/sac/model/info").await.detail(500);
        assert!(!is_ready().await, "the only policy is refused");
        put(root.path(), "b", &checkpoint("pendulum_00500"));
        assert_eq!(is_ready().await, !fails, "one of two is refused");
        put(root.path(), "a", &checkpoint("pendulum_00500"));
        assert!(is_ready().await, "the file has changed");
        predict(&mut client, "a").await;
        put(root.path(), "a", b"broken");
        predict_any(&mut client, "a").await;
        assert_eq!(is_ready().await, !fails, "a policy is stale");
        fs::remove_dir_all(root.path().join("a")).unwrap();
        fs::remove_dir_all(root.path().join("b")).unwrap();
    }
}

/// Asks a policy whatever it answers.
async fn predict_any(client: &mut Client, name: &str) {
    client.post(&format!("/policies/{name}/sac/predict"), json!({ "state": STATE })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_no_policy_has_is_a_404_that_lists_the_policies_to_those_who_may_see_all() {
    let root = root(["a", "b"]);
    let file = root.path().join("tokens");
    fs::write(&file, "all\nours a none\n").unwrap();
    let tokens = sac_serving::Tokens::default().with_bound_file(&file).unwrap();
    let server = server_with(root.path(), |config, settings| {
        config.tokens = tokens;
        settings.default = DefaultPolicy::Named("none".parse().unwrap());
    })
    .await;
    let (mut ours, mut all) = (server.client().await.with_token("ours"), server.client().await.with_token("all"));
    for path in ["/policies/none/sac/health", "/sac/health", "/policies/none/sac/model/info"] {
        assert_eq!(all.get(path).await.detail(404), "no policy `none`: the policies are a, b", "{path}");
        assert_eq!(ours.get(path).await.detail(404), "no policy `none`", "{path}");
    }
    assert_eq!(server.client().await.get("/policies/none/sac/health").await.detail(404), "no policy `none`");
    (0..20).for_each(|n| put(root.path(), &format!("p{n}"), b""));
    let many = all.get("/sac/health").await.detail(404).to_owned();
    assert!(many.contains("GET /policies lists all 22, such as a, b, p0,") && !many.contains("p9"), "{many}");
}
