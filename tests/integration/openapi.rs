//! /sac/openapi.json describes what the server answers.

use http::Method;
use jsonschema::{Validator, validator_for};
use sac_tests::{Answer, Client, Owner, Server, Settings, both_owners, checkpoint, odd, publish};
use serde_json::{Value, json};
use tempfile::tempdir;

/// The document, whose schemas refer to each other by their position in it.
struct Document(Value);

impl Document {
    async fn of(client: &mut Client) -> Document {
        Document(client.get("/sac/openapi.json").await.ok())
    }

    fn validator(&self, schema: &Value) -> Validator {
        let mut schema = schema.clone();
        schema["components"] = self.0["components"].clone();
        validator_for(&schema).unwrap()
    }

    fn operation(&self, path: &str, method: &str) -> &Value {
        &self.0["paths"][path][method]
    }

    #[track_caller]
    fn check(&self, path: &str, method: &str, answer: &Answer) {
        let status = answer.status.to_string();
        let response = &self.operation(path, method)["responses"][&status];
        assert!(response.is_object(), "{status} of {path} is not documented: {}", answer.json());
        let schema = &response["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{status} of {path} has no schema");
        let fits = self.validator(schema).validate(answer.json()).map_err(|error| error.to_string());
        assert_eq!(fits, Ok(()), "{status} of {path}: {}", answer.json());
    }

    /// Returns `true` if a request's body fits the schema.
    fn accepts(&self, path: &str, body: &Value) -> bool {
        let schema = &self.operation(path, "post")["requestBody"]["content"]["application/json"]["schema"];
        self.validator(schema).is_valid(body)
    }
}

both_owners!(every_answer_fits_its_documented_schema);
async fn every_answer_fits_its_documented_schema(owner: Owner) {
    let folder = tempdir().unwrap();
    let path = folder.path().join("model_a.onnx");
    let settings = Settings { token: Some("token".to_owned()), max_batch: 2, ..Settings::folder(folder.path()) };
    let server = Server::start(owner, &settings).await;
    let document = Document::of(&mut server.client().await).await;
    let mut client = server.client().await.with_token("token");
    let states = [None, Some(b"broken".to_vec()), Some(checkpoint("pendulum_00500")), Some(odd("two_action_dims"))];
    for content in states.into_iter().chain([Some(b"broken again".to_vec())]) {
        if let Some(content) = content {
            publish(&path, &content);
        }
        for gets in ["/sac/health", "/sac/model/info"] {
            document.check(gets, "get", &client.get(gets).await);
        }
        for (posts, bodies) in bodies() {
            for body in bodies {
                document.check(posts, "post", &client.post(posts, body).await);
            }
            document.check(posts, "post", &server.client().await.post(posts, json!({})).await);
        }
    }
}

fn bodies() -> [(&'static str, Vec<Value>); 4] {
    [
        (
            "/sac/predict",
            vec![
                json!({"state": [1, 2, 3]}),
                json!({"state": [1]}),
                json!({"state": [1, 2, 3], "deterministic": false}),
            ],
        ),
        ("/sac/predict/batch", vec![json!({"states": [[1, 2, 3]]}), json!({"states": [[1, 2, 3], [], []]}), json!([])]),
        ("/sac/benchmark", vec![json!({"iterations": 2}), json!({"iterations": 200_000}), json!({"iterations": 0})]),
        ("/sac/model/reload", vec![json!({})]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_accepted_if_and_only_if_it_fits_the_schema() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let server = Server::folder(folder.path()).await;
    let mut client = server.client().await;
    let document = Document::of(&mut client).await;
    let (predict, batch, benchmark) = ("/sac/predict", "/sac/predict/batch", "/sac/benchmark");
    for (path, body) in [
        (predict, json!({"state": [1, 2.5, -3]})),
        (predict, json!({"state": [1, 2, 3], "seed": 7, "deterministic": false, "more": 1})),
        (predict, json!({"state": [1, 2, 3], "seed": null})),
        (predict, json!({})),
        (predict, json!([[1, 2, 3]])),
        (predict, json!({"state": ["1"]})),
        (predict, json!({"state": 1})),
        (predict, json!({"state": [1, 2, 3.4e38]})),
        (predict, json!({"state": [1, 2, -3.5e38]})),
        (predict, json!({"state": [1, 2, 3], "seed": 7.0})),
        (predict, json!({"state": [1, 2, 3], "seed": u64::MAX})),
        (predict, json!({"state": [1, 2, 3], "seed": 1e20})),
        (predict, json!({"state": [1, 2, 3], "seed": -1})),
        (predict, json!({"state": [1, 2, 3], "seed": 1.5})),
        (predict, json!({"state": [1, 2, 3], "deterministic": 1})),
        (batch, json!({"states": [[1, 2, 3]]})),
        (batch, json!({"states": []})),
        (batch, json!({"states": [1]})),
        (batch, json!({"states": [[1, 2, 1e39]]})),
        (benchmark, json!({})),
        (benchmark, json!({"iterations": 1, "warmup": 0, "batch_size": 1})),
        (benchmark, json!({"iterations": 2.0})),
        (benchmark, json!({"iterations": 0})),
        (benchmark, json!({"batch_size": 0})),
        (benchmark, json!({"warmup": -1})),
        (benchmark, json!({"warmup": null})),
    ] {
        let answer = client.post(path, body.clone()).await;
        assert_eq!(document.accepts(path, &body), answer.status != 422, "{path} {body}: {}", answer.json());
    }
}

both_owners!(the_examples_fit_the_policy_in_service_for_clients_with_the_token);
async fn the_examples_fit_the_policy_in_service_for_clients_with_the_token(owner: Owner) {
    let folder = tempdir().unwrap();
    let settings = Settings { token: Some("token".to_owned()), ..Settings::folder(folder.path()) };
    let server = Server::start(owner, &settings).await;
    let mut client = server.client().await.with_token("token");
    let example = |document: &Document, path| {
        document.operation(path, "post")["requestBody"]["content"]["application/json"].get("example").cloned()
    };
    let posts = ["/sac/predict", "/sac/predict/batch", "/sac/benchmark"];
    // Without a policy, examples show the form.
    let document = Document::of(&mut client).await;
    let of_no_policy = posts.map(|path| example(&document, path).unwrap());
    for (path, body) in posts.iter().zip(&of_no_policy) {
        assert!(document.accepts(path, body), "{path}");
    }
    for name in ["pendulum_00500", "stat_pair_01000"] {
        publish(&folder.path().join("model_a.onnx"), &checkpoint(name));
        let (document, strangers) = (Document::of(&mut client).await, Document::of(&mut server.client().await).await);
        for (path, of_no_policy) in posts.iter().zip(&of_no_policy) {
            client.post(path, example(&document, path).unwrap()).await.ok();
            assert_eq!(example(&strangers, path).as_ref(), Some(of_no_policy));
        }
    }
}

/// The ends of the paths that need no token.
const PUBLIC: [&str; 5] = ["/openapi.json", "/healthz", "/health", "/health/live", "/ready"];

#[tokio::test(flavor = "multi_thread")]
async fn the_document_states_what_generators_of_clients_need() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let server = Server::start(Owner::Host, &Settings { max_batch: 7, ..Settings::folder(folder.path()) }).await;
    let Document(document) = Document::of(&mut server.client().await).await;
    let mut ids = Vec::new();
    for operation in document["paths"].as_object().unwrap().values() {
        let operation = operation.get("get").or(operation.get("post")).unwrap();
        ids.push(operation["operationId"].as_str().unwrap());
        assert!(operation["tags"][0].is_string(), "{operation}");
    }
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "{ids:?}");
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["PredictBatch"]["properties"]["states"]["maxItems"], 7);
    assert_eq!(schemas["Benchmark"]["properties"]["batch_size"]["maximum"], 7);
    assert_eq!(schemas["Benchmark"]["properties"]["iterations"]["maximum"], 100_000);
    let loc = &schemas["Issue"]["properties"]["loc"]["items"];
    assert!(loc.is_object(), "{loc}");
    // Generators make a field with a default one that is required.
    let text = schemas.to_string();
    assert!(!text.contains("\"default\":"), "{text}");
    assert!(!text.contains("\"uint"), "no standard has this format");
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_routes_that_exist_are_documented() {
    let folder = tempdir().unwrap();
    let settings = Settings { token: Some("token".to_owned()), ..Settings::folder(folder.path()) };
    let server = Server::start(Owner::Host, &settings).await;
    let mut client = server.client().await.with_token("token");
    let Document(document) = Document::of(&mut client).await;
    assert_eq!(document["openapi"], "3.1.0");
    let documented = document["paths"].as_object().unwrap();
    assert_eq!(documented.len(), 22, "{:?}", documented.keys());
    for (path, methods) in documented {
        for method in ["get", "post"] {
            let method_name = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            // Without a checkpoint, every version is one that may come.
            let path = path.replace("{model_name}", "sac").replace("{model_version}", "1");
            let answer = client.send(method_name, &path, "").await;
            assert_ne!(answer.status, 404, "{path}");
            assert_eq!(answer.status != 405, methods.get(method).is_some(), "{method} {path}");
        }
        let is_public = methods.as_object().unwrap().values().all(|operation| operation.get("security").is_none());
        assert_eq!(is_public, PUBLIC.iter().any(|public| path.ends_with(public)), "{path}");
    }
}
