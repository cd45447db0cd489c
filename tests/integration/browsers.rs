//! Browsers: pages of other origins, a base path, files that are not sent twice, and compression both ways.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::Method;
use sac_serving::{HttpConfig, Origins};
use sac_tests::{Answer, Client, Owner, Server, Settings, checkpoint, patient_http, publish};
use serde_json::json;
use tempfile::{TempDir, tempdir};

const STATE: [f64; 3] = [0.1, 0.2, 0.3];

async fn server(adapt: impl FnOnce(&mut HttpConfig)) -> (TempDir, Server) {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let mut http = patient_http();
    adapt(&mut http);
    let server = Server::with_http(Settings::folder(folder.path()).config(), http).await;
    (folder, server)
}

async fn predict(client: &mut Client, headers: &str) -> Answer {
    client.send_with(Method::POST, "/sac/predict", headers, json!({ "state": STATE }).to_string()).await
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_the_origins_that_are_named_may_read_responses_and_others_may_not() {
    let named = ["https://example.com", "http://localhost:3000"].map(|origin| origin.parse().unwrap());
    // As without a token.
    let (_folder, server) = server(|http| {
        http.refuse_other_sites = true;
        http.cors_origins = Some(Origins::new(named));
    })
    .await;
    let mut client = Client::connect(server.address).await;
    let preflight = "access-control-request-method: POST\r\naccess-control-request-headers: authorization\r\n";
    for origin in ["https://example.com", "http://localhost:3000"] {
        let of_page = format!("origin: {origin}\r\nsec-fetch-site: cross-site\r\nsec-fetch-mode: cors\r\n");
        let headers = format!("{of_page}{preflight}");
        let answer = client.send_with(Method::OPTIONS, "/sac/predict", &headers, "").await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some(origin)));
        assert!(answer.header("access-control-allow-methods").unwrap().contains("POST"));
        assert!(answer.header("access-control-allow-headers").unwrap().contains("authorization"));
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        let answer = predict(&mut client, &of_page).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some(origin)));
        assert!(answer.header("vary").unwrap().contains("origin"));
    }
    let answer = predict(&mut client, "origin: https://example.org\r\n").await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
    answer.detail(403);
    // Clients that are no browsers see no difference.
    let answer = predict(&mut client, "").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_origins_may_read_responses_without_credentials_and_none_by_default() {
    let (_folder, any) = server(|http| http.cors_origins = Some(Origins::new(["*".parse().unwrap()]))).await;
    let answer = predict(&mut any.client().await, "origin: https://example.org\r\n").await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    let (_folder, none) = server(|_| ()).await;
    let mut client = none.client().await;
    let answer = predict(&mut client, "origin: https://example.org\r\n").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, None));
    assert_eq!(client.send(Method::OPTIONS, "/sac/predict", "").await.status, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_below_the_base_path_and_without_it() {
    let (folder, server) = server(|http| http.base_path = Some("/team/rl".parse().unwrap())).await;
    let mut client = server.client().await;
    for path in ["/sac/health", "/status", "/", "/docs/", "/metrics", "/healthz", "/v2/health/ready"] {
        assert_eq!(client.get(&format!("/team/rl{path}")).await.status, 200, "{path}");
        assert_eq!(client.get(path).await.status, 200, "{path}");
    }
    let below = client.post("/team/rl/sac/predict", json!({ "state": STATE })).await.ok();
    assert_eq!(below["action"], client.predict(&STATE).await["action"]);
    let answer = client.get("/team/rl").await;
    assert_eq!((answer.status, answer.header("location")), (308, Some("rl/")));
    client.get("/team/rl/nothing").await.detail(404);
    client.get("/team/rlx/sac/health").await.detail(404);
    drop(folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_of_the_routes_names_the_prefix_that_a_proxy_adds() {
    let (_folder, server) = server(|http| http.base_path = Some("/rl".parse().unwrap())).await;
    let mut client = server.client().await;
    for (path, headers, url) in [
        ("/sac/openapi.json", "", "/"),
        ("/rl/sac/openapi.json", "", "/rl"),
        ("/sac/openapi.json", "x-forwarded-prefix: /gateway/rl/\r\n", "/gateway/rl"),
        ("/sac/openapi.json", "x-forwarded-prefix: //evil.example\r\n", "/"),
    ] {
        let answer = client.send_with(Method::GET, path, headers, "").await.ok();
        assert_eq!(answer["servers"], json!([{ "url": url }]), "{path} {headers}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gzip_body_is_read_within_the_limit_and_any_other_encoding_is_415() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let settings = Settings { max_body_bytes: 1 << 20, ..Settings::folder(folder.path()) };
    let server = Server::start(Owner::Host, &settings).await;
    let mut client = server.client().await;
    let body = json!({ "state": STATE }).to_string();
    let plain = client.predict(&STATE).await["action"].clone();
    for encoding in ["gzip", "GZIP", "x-gzip"] {
        let headers = format!("content-encoding: {encoding}\r\n");
        let answer = client.send_with(Method::POST, "/sac/predict", &headers, gzip(body.as_bytes())).await.ok();
        assert_eq!(answer["action"], plain);
    }
    let headers = "content-encoding: identity\r\n";
    assert_eq!(client.send_with(Method::POST, "/sac/predict", headers, &body).await.ok()["action"], plain);
    // A small body that is large.
    let bomb = gzip(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 1 << 20);
    let answer = client.send_with(Method::POST, "/sac/predict", "content-encoding: gzip\r\n", &bomb).await;
    assert_eq!(answer.detail(413), "request body over the limit of 1048576 bytes");
    for (encoding, body) in [("br", body.as_bytes().to_vec()), ("gzip, gzip", gzip(&gzip(body.as_bytes())))] {
        let headers = format!("content-encoding: {encoding}\r\n");
        let answer = server.client().await.send_with(Method::POST, "/sac/predict", &headers, &body).await;
        assert_eq!(answer.header("accept-encoding"), Some("gzip"));
        assert_eq!(answer.detail(415), "the Content-Encoding of a request body must be gzip, or absent");
    }
    let cut = &gzip(body.as_bytes())[..20];
    for broken in [body.as_bytes(), cut] {
        let mut client = server.client().await;
        let answer = client.send_with(Method::POST, "/sac/predict", "content-encoding: gzip\r\n", broken).await;
        assert_eq!(answer.detail(400), "the request body is not gzip, as its Content-Encoding says");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_answers_415_to_a_body_with_an_encoding() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let server = Server::start(Owner::Composed, &Settings::folder(folder.path())).await;
    let mut client = server.client().await;
    let body = gzip(json!({ "state": STATE }).to_string().as_bytes());
    client.send_with(Method::POST, "/sac/predict", "content-encoding: gzip\r\n", &body).await.detail(415);
    predict(&mut client, "content-encoding: identity\r\n").await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_gets_a_file_once_and_compressed() {
    let (_folder, server) = server(|_| ()).await;
    let mut client = server.client().await;
    for path in ["/", "/dashboard.js", "/docs/", "/docs/swagger-ui-bundle.js"] {
        let plain = client.get(path).await;
        assert_eq!((plain.status, plain.header("content-encoding")), (200, None));
        let zipped = client.send_with(Method::GET, path, "accept-encoding: deflate, gzip\r\n", "").await;
        assert_eq!((zipped.header("content-encoding"), zipped.header("vary")), (Some("gzip"), Some("accept-encoding")));
        let mut content = Vec::new();
        GzDecoder::new(zipped.body()).read_to_end(&mut content).unwrap();
        assert!(content == plain.body() && zipped.body().len() < content.len(), "{path}");
        let etag = plain.header("etag").unwrap();
        assert_eq!(zipped.header("etag"), Some(etag));
        for (known, status) in [(etag, 304), ("W/\"other\"", 200), (&format!("\"other\", {etag}"), 304)] {
            let headers = format!("if-none-match: {known}\r\naccept-encoding: gzip\r\n");
            let again = client.send_with(Method::GET, path, &headers, "").await;
            assert_eq!((again.status, again.body().is_empty()), (status, status == 304), "{path} {known}");
        }
    }
}
