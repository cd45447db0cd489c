//! The routes in OpenAPI's words, out of the types that their bodies are parsed into and their answers written from.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::routes::schema::Issue;

/// What a route takes and gives.
pub struct Operation {
    pub summary: &'static str,
    pub request: Option<Request>,
    pub answer: SchemaOf,
    /// Statuses of errors, besides those of all routes.
    pub errors: &'static [u16],
}

pub struct Request {
    pub schema: SchemaOf,
    pub required: bool,
    /// By the policy's state_dim.
    pub example: fn(usize) -> Value,
}

pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

pub fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// The body of an error.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "stands for what the errors are written as")]
struct Failure {
    detail: String,
}

/// The body of a 422: all that is wrong with the request's.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "stands for what the issues are written as")]
struct Invalid {
    detail: Vec<Issue>,
}

/// OpenAPI 3.1 of these routes: path, method in lowercase, whether it is answered without a token, and the rest. With a
/// state_dim, requests have an example that a policy of it answers.
pub fn document<'a>(
    routes: impl Iterator<Item = (&'static str, &'static str, bool, &'a Operation)>,
    state_dim: Option<usize>,
) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for (path, method, public, operation) in routes {
        paths.insert(path.to_owned(), json!({ method: described(operation, public, state_dim, &mut generator) }));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "sac-serving",
            "description": "A Soft Actor-Critic policy. The answer names the checkpoint that it comes from: the newest, from the next request on.",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn described(operation: &Operation, public: bool, state_dim: Option<usize>, generator: &mut SchemaGenerator) -> Value {
    let mut responses = Map::new();
    responses.insert("200".to_owned(), response("The answer", (operation.answer)(generator)));
    let unauthorised = (!public).then_some(&401);
    for status in unauthorised.into_iter().chain(operation.errors) {
        let (description, schema): (_, SchemaOf) = match status {
            400 => ("A wrong dimension, or over a limit", schema_of::<Failure>),
            401 => ("The bearer token is missing or wrong", schema_of::<Failure>),
            413 => ("The body is over the limit", schema_of::<Failure>),
            422 => ("The body is not of the schema", schema_of::<Invalid>),
            500 => ("There is nothing but a broken checkpoint, or its action is not finite", schema_of::<Failure>),
            503 if public => ("No model is loaded", operation.answer),
            _ => ("No model is loaded", schema_of::<Failure>),
        };
        responses.insert(status.to_string(), response(description, schema(generator)));
    }
    let mut described = json!({ "summary": operation.summary, "responses": responses });
    if let Some(request) = &operation.request {
        let mut content = json!({ "schema": (request.schema)(generator) });
        if let Some(state_dim) = state_dim {
            content["example"] = (request.example)(state_dim);
        }
        described["requestBody"] = json!({ "required": request.required, "content": { "application/json": content } });
    }
    if !public {
        described["security"] = json!([{ "bearer": [] }]);
    }
    described
}

fn response(description: &str, schema: Schema) -> Value {
    json!({ "description": description, "content": { "application/json": { "schema": schema } } })
}
