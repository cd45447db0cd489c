//! The tokens of a root: which requests they authorise.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_list_needs_the_token_and_is_read_by_get() {
    let root = root(["a"]);
    let token = sac_serving::Tokens::new(["token".to_owned()]);
    let server = server_with(root.path(), |config, _| config.tokens = token).await;
    let answer = server.client().await.get("/policies").await;
    assert_eq!(
        (answer.detail(401), answer.header("www-authenticate")),
        ("missing or wrong bearer token", Some("Bearer"))
    );
    let mut client = server.client().await.with_token("token");
    assert_eq!(states(&mut client).await, named([("a", json!("not_loaded"))]));
    assert_eq!(client.post("/policies", json!({})).await.header("allow"), Some("GET, HEAD"));
    server.client().await.post("/policies/a/sac/predict", json!({ "state": STATE })).await.detail(401);
    // Without a root there is no such route.
    let other = Server::folder(root.path()).await;
    other.client().await.get("/policies").await.detail(404);
    other.client().await.get("/policies/a/sac/health").await.detail(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_not_authorised_loads_no_policy_and_learns_no_name_but_by_health() {
    let root = root(["a"]);
    let token = sac_serving::Tokens::new(["token".to_owned()]);
    let server = server_with(root.path(), |config, _| config.tokens = token).await;
    let mut stranger = server.client().await;
    for name in ["a", "none"] {
        for path in ["predict", "benchmark", "model/reload"] {
            let answer = stranger.post(&format!("/policies/{name}/sac/{path}"), json!({ "state": STATE })).await;
            assert_eq!(answer.detail(401), "missing or wrong bearer token");
        }
        stranger.get(&format!("/policies/{name}/sac/model/info")).await.detail(401);
        stranger.get(&format!("/policies/{name}/sac/predict")).await.detail(405);
        stranger.get(&format!("/policies/{name}/sac/unknown")).await.detail(404);
        for path in [format!("/v2/models/{name}"), format!("/policies/{name}/v2/models/{name}")] {
            let answer = stranger.get(&path).await;
            assert!(answer.status == 401 && answer.json()["error"].is_string(), "{path}: {}", answer.text());
        }
    }
    assert_eq!(server.service().loads(), 0);
    // Health is public, and loads the policy.
    stranger.get("/policies/a/sac/health").await.ok();
    stranger.get("/policies/none/sac/health").await.detail(404);
    assert_eq!(server.service().loads(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_some_policies_authorises_requests_to_these_alone() {
    let root = root(["a", "b", "c"]);
    let file = root.path().join("tokens");
    fs::write(&file, "all\nours a b\n").unwrap();
    let tokens = sac_serving::Tokens::default().with_bound_file(&file).unwrap();
    let server = server_with(root.path(), |config, settings| {
        config.tokens = tokens;
        settings.default = DefaultPolicy::Named("a".parse().unwrap());
    })
    .await;
    let (mut ours, mut all) = (server.client().await.with_token("ours"), server.client().await.with_token("all"));
    // Before each policy is loaded, and after it.
    for _ in 0..2 {
        for (path, is_ours) in [
            ("/policies/a/sac/model/info", true),
            ("/policies/b/sac/model/info", true),
            ("/policies/c/sac/model/info", false),
            ("/v2/models/b", true),
            ("/v2/models/c", false),
            ("/sac/model/info", true),
            ("/policies", false),
            ("/status", false),
            ("/metrics", false),
        ] {
            assert_eq!(ours.get(path).await.status, if is_ours { 200 } else { 401 }, "{path}");
            assert_eq!(all.get(path).await.status, 200, "{path}");
        }
    }
    // The next request needs a token that the file holds now.
    fs::write(&file, "other c\n").unwrap();
    for path in ["/policies/a/sac/model/info", "/policies/c/sac/model/info", "/status", "/sac/model/info"] {
        assert_eq!(all.get(path).await.status, 401, "{path}");
    }
    server.client().await.with_token("other").get("/policies/c/sac/model/info").await.ok();
}
