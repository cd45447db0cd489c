//! The routes of the protocol in the OpenAPI document. The protocol fixes their schemas, so they are written in JSON, which
//! takes a quarter of the room in the component that code to generate them would.

use serde_json::Value;

use super::state::STATE;

/// The paths, with each path of the model once; what a path with a version has beside it; and the schemas.
const PART: &str = include_str!("openapi.json");
const MODEL: &str = "/v2/models/{model_name}";

/// The tag of the routes.
const TAG: &str = "Open Inference Protocol";

/// Adds the routes to a document. With a state_dim, inference has an example for a policy of this state_dim.
pub fn describe(document: &mut Value, state_dim: Option<usize>) {
    // The tests read the document, so the constant is JSON.
    let Ok(mut part) = serde_json::from_str::<Value>(PART) else { return };
    let [paths, version, schemas] = ["paths", "version", "schemas"].map(|name| part[name].take());
    for (path, mut item) in members(paths) {
        if let Some(state_dim) = state_dim.filter(|_| path.ends_with("/infer")) {
            item["post"]["requestBody"]["content"]["application/json"]["example"] = example(state_dim);
        }
        let method = if path.ends_with("/infer") { "post" } else { "get" };
        item[method]["tags"] = Value::from(vec![TAG]);
        if let Some(rest) = path.strip_prefix(MODEL) {
            let mut item = item.clone();
            let id = item[method]["operationId"].as_str().unwrap_or_default();
            item[method]["operationId"] = [id, "_of_version"].concat().into();
            item["parameters"].as_array_mut().into_iter().for_each(|parameters| parameters.push(version.clone()));
            document["paths"][[MODEL, "/versions/{model_version}", rest].concat()] = item;
        }
        document["paths"][path] = item;
    }
    for (name, schema) in members(schemas) {
        document["components"]["schemas"][name] = schema;
    }
}

fn members(object: Value) -> serde_json::Map<String, Value> {
    if let Value::Object(members) = object { members } else { serde_json::Map::new() }
}

fn example(state_dim: usize) -> Value {
    let data = vec!["0"; state_dim].join(",");
    let input = format!(r#"{{"name":"{STATE}","shape":[1,{state_dim}],"datatype":"FP32","data":[{data}]}}"#);
    serde_json::from_str(&format!(r#"{{"inputs":[{input}]}}"#)).unwrap_or_default()
}
