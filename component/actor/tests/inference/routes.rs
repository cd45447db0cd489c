//! The routes beside inference, and which requests reach one.

use sac_actor::{Body, Instant, OnRefusal, Refusal as Refused, Request};
use serde_json::{Value, json};

use crate::harness::{checkpoint, read};
use crate::{DETERMINISTIC, INFER, PENDULUM, Server, harness, header, json_of, path, request, respond};

const PUBLIC: [&str; 4] =
    ["/v2/health/live", "/v2/health/ready", "/v2/models/pendulum/ready", "/v2/models/pendulum/versions/1/ready"];
const PRIVATE: [&str; 4] = ["/v2", "/v2/", "/v2/models/pendulum", "/v2/models/pendulum/versions/1"];

#[test]
fn the_server_and_its_model_describe_themselves() {
    let mut server = Server::of(PENDULUM);
    let version = env!("CARGO_PKG_VERSION");
    let expected = json!({ "name": "sac-serving", "version": version, "extensions": ["binary_tensor_data"] });
    assert_eq!(server.get("/v2"), (200, expected.clone()));
    assert_eq!(server.get("/v2/"), (200, expected));
    let tensor = |name: &str, length| json!({ "name": name, "datatype": "FP32", "shape": [-1, length] });
    let expected = json!({
        "name": "pendulum",
        "versions": ["1"],
        "platform": "sac-serving_onnx",
        "inputs": [tensor("state", 3)],
        "outputs": [tensor("action", 1), tensor("mean", 1), tensor("log_std", 1)],
        "properties": { "model_path": "/c", "model_mtime_utc": "1970-01-01T00:00:00.000000+00:00" },
    });
    assert_eq!(server.get("/v2/models/pendulum"), (200, expected.clone()));
    assert_eq!(server.get("/v2/models/pendulum/versions/1"), (200, expected));
    let outputs = Server::of(DETERMINISTIC).get("/v2/models/pendulum").1["outputs"].clone();
    assert_eq!(outputs, json!([tensor("action", 2), tensor("mean", 2)]));
}

/// KServe's client reads `live` and `ready`; tritonclient reads the status alone.
#[test]
fn health_says_if_the_server_lives_and_if_the_model_can_infer() {
    let mut server = Server::of(PENDULUM);
    assert_eq!(server.get("/v2/health/live"), (200, json!({ "live": true })));
    assert_eq!(server.get("/v2/health/ready"), (200, json!({ "ready": true })));
    assert_eq!(server.get("/v2/models/pendulum/ready"), (200, json!({ "name": "pendulum", "ready": true })));
    let mut server = Server::empty();
    assert_eq!(server.get("/v2/health/live"), (200, json!({ "live": true })));
    assert_eq!(server.get("/v2/health/ready"), (503, json!({ "ready": false })));
    let not_ready = (503, json!({ "name": "pendulum", "ready": false }));
    assert_eq!(server.get("/v2/models/pendulum/ready"), not_ready);
    assert_eq!(server.get("/v2/models/pendulum/versions/7/ready"), not_ready);
}

fn refusal() -> Option<Refused> {
    let epoch = Instant { seconds: 0, nanoseconds: 0 };
    Some(Refused { path: "/d".into(), modified: epoch, detail: "broken".into(), at: epoch })
}

#[test]
fn readiness_follows_what_inference_would_answer() {
    for (on_refusal, ready, infer) in [(OnRefusal::Keep, 200, 200), (OnRefusal::Fail, 503, 500)] {
        let mut server = Server::with(on_refusal, false);
        server.service.load(checkpoint(), read(&path(PENDULUM)), None).unwrap();
        server.context.refusal = refusal();
        assert_eq!(server.get("/v2/health/ready").0, ready);
        assert_eq!(server.get("/v2/models/pendulum/ready").0, ready);
        assert_eq!(server.post(INFER, &request(&json!([[0, 0, 0]]), &json!({}))).0, infer);
    }
}

#[test]
fn without_a_model_there_is_an_error_in_words() {
    let mut server = Server::empty();
    let none = (503, json!({ "error": "No SAC model loaded" }));
    assert_eq!(server.get("/v2/models/pendulum"), none);
    assert_eq!(server.post(INFER, &json!("broken")), none);
    assert_eq!(server.post("/v2/models/pendulum/versions/1/infer", &json!({})), none);
    server.context.refusal = refusal();
    assert_eq!(server.post(INFER, &json!({})), (500, json!({ "error": "Checkpoint load failed: broken" })));
}

#[test]
fn another_model_or_version_is_not_found_and_none_is_listed() {
    let mut server = Server::of(PENDULUM);
    let model = (404, json!({ "error": "there is no model of this name" }));
    for name in ["pendulum2", "pendulu", "", "Pendulum", "pendulum%20", "other/versions/1"] {
        for rest in ["", "/ready", "/infer"] {
            assert_eq!(server.get(&format!("/v2/models/{name}{rest}")), model, "{name}{rest}");
        }
    }
    let version = (404, json!({ "error": "the model has no such version" }));
    for name in ["2", "0", "01", "", "1.0", "latest", "18446744073709551616"] {
        for rest in ["", "/ready", "/infer"] {
            assert_eq!(server.get(&format!("/v2/models/pendulum/versions/{name}{rest}")), version, "{name}{rest}");
        }
    }
    let route = (404, json!({ "error": "Not Found" }));
    for path in [
        "/v2/models",
        "/v2/health",
        "/v2/models/pendulum/config",
        "/v2/models/pendulum/versions",
        "/v2/models/pendulum/",
        "/v2/models/pendulum/versions/1/",
        "/v2/repository/index",
    ] {
        assert_eq!(server.get(path), route, "{path}");
    }
    assert_eq!(server.get("/v20"), (404, json!({ "detail": "Not Found" })));
}

#[test]
fn a_version_is_the_generation_of_the_checkpoint_in_service() {
    let mut server = Server::of(PENDULUM);
    let mut next = checkpoint();
    next.generation = 12;
    server.service.load(next, read(&path(PENDULUM)), None).unwrap();
    let body = request(&json!([[0, 0, 0]]), &json!({}));
    assert_eq!(server.post("/v2/models/pendulum/versions/12/infer", &body).1["model_version"], "12");
    assert_eq!(server.post("/v2/models/pendulum/versions/1/infer", &body).0, 404);
    assert_eq!(server.get("/v2/models/pendulum").1["versions"], json!(["12"]));
}

#[test]
fn a_wrong_method_is_refused_with_the_right_ones() {
    let mut server = Server::of(PENDULUM);
    for (method, path, allow) in PUBLIC.iter().chain(&PRIVATE).map(|path| ("POST", *path, "GET, HEAD")).chain([
        ("GET", INFER, "POST"),
        ("HEAD", INFER, "POST"),
        ("DELETE", "/v2", "GET, HEAD"),
    ]) {
        let response = respond(server.send(method, path, None, b""));
        assert_eq!((response.status, header(&response, "allow")), (405, Some(allow)), "{method} {path}");
        assert_eq!(json_of(&response), json!({ "error": "Method Not Allowed" }));
    }
    assert_eq!(respond(server.send("HEAD", "/v2", None, b"")).status, 200);
}

#[test]
fn health_is_public_and_all_else_needs_the_token() {
    let mut server = Server::of(PENDULUM);
    server.context.tokens = vec!["token".into()];
    for path in PUBLIC {
        assert_eq!(server.get(path).0, 200, "{path}");
    }
    for path in PRIVATE {
        let response = respond(server.send("GET", path, None, b""));
        assert_eq!((response.status, header(&response, "www-authenticate")), (401, Some("Bearer")), "{path}");
        assert_eq!(json_of(&response), json!({ "error": "missing or wrong bearer token" }));
    }
    let body = request(&json!([[0, 0, 0]]), &json!({}));
    assert_eq!(server.post(INFER, &body).0, 401);
    let authorization = Some("Bearer token".into());
    let request = Request { authorization, ..harness::request("POST", INFER, body.to_string()) };
    assert_eq!(respond(server.service.answer(&request, &server.context)).status, 200);
}

#[test]
fn a_body_over_the_limit_is_refused() {
    let mut server = Server::of(PENDULUM);
    let request = Request { body: Body::OverLimit, ..harness::request("POST", INFER, "") };
    let response = respond(server.service.answer(&request, &server.context));
    assert_eq!(response.status, 413);
    assert_eq!(json_of(&response), json!({ "error": "request body over the limit of 16777216 bytes" }));
}

#[test]
fn the_document_describes_every_route() {
    let mut server = Server::of(PENDULUM);
    let document = server.get("/sac/openapi.json").1;
    let model = "/v2/models/{model_name}";
    let mut paths = vec!["/v2".to_owned(), "/v2/health/live".to_owned(), "/v2/health/ready".to_owned()];
    for parent in [model.to_owned(), format!("{model}/versions/{{model_version}}")] {
        paths.extend(["", "/infer", "/ready"].map(|rest| format!("{parent}{rest}")));
    }
    let described = document["paths"].as_object().unwrap();
    let found = described.keys().filter(|path| path.starts_with("/v2")).collect::<Vec<_>>();
    assert_eq!(found, paths.iter().collect::<Vec<_>>());
    let item = &document["paths"][&*format!("{model}/versions/{{model_version}}/infer")];
    let infer = &item["post"];
    let names = |value: &Value| value.as_array().unwrap().iter().map(|item| item["name"].clone()).collect::<Vec<_>>();
    assert_eq!(names(&item["parameters"]), ["model_name", "model_version"]);
    assert_eq!(names(&infer["parameters"]), ["Inference-Header-Content-Length"]);
    for body in [&infer["requestBody"], &infer["responses"]["200"]] {
        assert_eq!(body["content"].as_object().unwrap().keys().collect::<Vec<_>>(), MEDIA_TYPES);
    }
    let example = &infer["requestBody"]["content"]["application/json"]["example"];
    assert_eq!(server.post(INFER, example).0, 200);
    assert_eq!(infer["responses"]["404"]["content"]["application/json"]["schema"]["$ref"], FAILURE);
}

/// Checks that an object has all the fields that its schema requires, and no others than it names; and so on inside.
fn check(document: &Value, schema: &Value, value: &Value) {
    if let Some(name) = schema["$ref"].as_str() {
        return check(document, document.pointer(name.strip_prefix('#').unwrap()).unwrap(), value);
    }
    for required in schema["required"].as_array().into_iter().flatten() {
        assert!(!value[required.as_str().unwrap()].is_null(), "{required} in {value}");
    }
    if let Some(properties) = schema["properties"].as_object() {
        for (name, value) in value.as_object().unwrap() {
            check(document, properties.get(name).unwrap_or_else(|| panic!("{name} in {value}")), value);
        }
    }
    for element in value.as_array().into_iter().flatten() {
        check(document, &schema["items"], element);
    }
    if let Some(expected) = schema["type"].as_str() {
        let found = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() || expected == "number" => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        assert_eq!(found, expected, "{value}");
    }
}

#[test]
fn every_answer_fits_its_documented_schema() {
    for (mut server, status) in [(Server::of(PENDULUM), 200), (Server::empty(), 503)] {
        let document = server.get("/sac/openapi.json").1;
        let fits = |path: &str, method: &str, (status, answer): (u16, Value)| {
            let responses = &document["paths"][path][method]["responses"];
            let schema = &responses[status.to_string()]["content"]["application/json"]["schema"];
            assert!(schema.is_object(), "{status} of {path} is not documented");
            check(&document, schema, &answer);
        };
        for path in ["/v2", "/v2/health/live", "/v2/health/ready"] {
            fits(path, "get", server.get(path));
        }
        for rest in ["", "/ready"] {
            let found = server.get(&format!("/v2/models/pendulum{rest}"));
            assert_eq!(found.0, status);
            fits(&format!("/v2/models/{{model_name}}{rest}"), "get", found);
        }
        let mut body = request(&json!([[0, 0, 0]]), &json!({}));
        body["id"] = json!("1");
        body["outputs"] = json!([{"name": "mean", "parameters": {"binary_data": true}}, {"name": "action"}]);
        fits("/v2/models/{model_name}/infer", "post", server.post(INFER, &body));
        fits("/v2/models/{model_name}/infer", "post", server.post(INFER, &json!({})));
    }
}

const MEDIA_TYPES: [&str; 2] = ["application/json", "application/octet-stream"];
const FAILURE: &str = "#/components/schemas/InferenceError";
