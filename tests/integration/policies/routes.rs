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
    assert!(client.get("/v2/health/ready").await.json()["error"].as_str().unwrap().contains("--default NAME"));
    assert_eq!(client.get("/v2/models/b").await.json(), &json!({ "error": "Not Found" }));
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
