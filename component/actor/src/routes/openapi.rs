//! The OpenAPI document, generated from the types that bodies are parsed into and responses written from. `inference/` adds
//! its own routes.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::explain::Issue;
use super::inference;

/// The request and the responses of a route.
pub struct Operation {
    /// The name of the function in generated clients.
    pub id: &'static str,
    pub summary: &'static str,
    pub request: Option<Request>,
    pub response: SchemaOf,
    /// The statuses of errors, besides 401.
    pub errors: &'static [u16],
}

/// The body of a request.
pub struct Request {
    pub schema: SchemaOf,
    pub required: bool,
    /// Makes an example for a policy of this state_dim.
    pub example: fn(usize) -> Value,
}

/// Adds the schema of a type to a document.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

pub fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// The body of an error.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes the JSON of an error")]
struct Failure {
    detail: String,
}

/// The body of a 422, which lists all issues of the request.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes the JSON of a 422")]
struct Invalid {
    detail: Vec<Issue>,
}

/// The documents of one policy. Everyone may ask for them, and to make one takes as long as many predictions.
#[derive(Default)]
pub struct Documents {
    kept: Vec<(Audience, Vec<u8>)>,
}

/// The clients that a document is for.
#[derive(Clone, Copy, PartialEq)]
pub struct Audience {
    /// The state_dim of the policy, if there is one and they may know it.
    pub state_dim: Option<usize>,
    /// True if they need a token.
    pub needs_token: bool,
}

pub(super) const DOCUMENT: Operation = Operation {
    id: "openapi",
    summary: "Returns this document",
    request: None,
    response: |_| json_schema!({ "type": "object" }),
    errors: &[],
};

impl Documents {
    /// Returns the document of routes, which is made once for each audience. A policy has at most four.
    pub fn get<'a>(
        &mut self,
        routes: impl Iterator<Item = Described<'a>>,
        audience: Audience,
        max_batch: u32,
    ) -> &[u8] {
        let index = match self.kept.iter().position(|(kept, _)| *kept == audience) {
            Some(index) => index,
            None => {
                self.kept.push((audience, document(routes, audience, max_batch).to_string().into_bytes()));
                self.kept.len() - 1
            }
        };
        &self.kept[index].1
    }
}

/// A route: its path, its method in lowercase, `true` if it answers without a token, and its operation.
pub type Described<'a> = (&'static str, &'static str, bool, &'a Operation);

/// The longest state that a document has examples of. It holds five of them.
const MAX_EXAMPLE: usize = 1024;
/// The state_dim of examples where the policy's own is not known.
const ANY_STATE_DIM: usize = 3;
/// The tag of the routes.
const TAG: &str = "Policy";

/// Returns the OpenAPI 3.1 document of routes. The examples of requests fit a policy of this state_dim, if it is known.
fn document<'a>(routes: impl Iterator<Item = Described<'a>>, audience: Audience, max_batch: u32) -> Value {
    let Audience { state_dim: known, needs_token } = audience;
    let state_dim = Some(known.unwrap_or(ANY_STATE_DIM)).filter(|state_dim| *state_dim <= MAX_EXAMPLE);
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for (path, method, public, operation) in routes {
        paths.insert(path.to_owned(), json!({ method: describe(operation, public, state_dim, &mut generator) }));
    }
    let mut schemas = Value::Object(generator.take_definitions(true));
    tidy(&mut schemas);
    for schema in ["/Predict/properties/state", "/PredictBatch/properties/states/items"] {
        if let Some((schema, state_dim)) = schemas.pointer_mut(schema).zip(known) {
            (schema["minItems"], schema["maxItems"]) = (state_dim.into(), state_dim.into());
        }
    }
    schemas["PredictBatch"]["properties"]["states"]["maxItems"] = max_batch.into();
    schemas["Benchmark"]["properties"]["batch_size"]["maximum"] = max_batch.into();
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "sac-serving",
            "description": "Serves a Soft Actor-Critic policy. Each answer names the checkpoint that it comes from. A new checkpoint answers from the next request on.",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "servers": [{ "url": "/" }],
        "tags": [{ "name": TAG }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } },
        },
    });
    inference::describe(&mut document, state_dim);
    if !needs_token {
        open(&mut document);
    }
    document
}

/// Removes from a document what concerns tokens.
fn open(document: &mut Value) {
    if let Some(components) = document["components"].as_object_mut() {
        components.remove("securitySchemes");
    }
    let paths = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    for operation in paths.filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        if let Some(operation) = operation.as_object_mut() {
            operation.remove("security");
        }
        if let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) {
            responses.remove("401");
        }
    }
}

fn describe(operation: &Operation, public: bool, state_dim: Option<usize>, generator: &mut SchemaGenerator) -> Value {
    let mut responses = Map::new();
    responses.insert("200".to_owned(), response("The answer", (operation.response)(generator)));
    let unauthorised = (!public).then_some(&401);
    for status in unauthorised.into_iter().chain(operation.errors) {
        let (description, schema): (_, SchemaOf) = match status {
            400 => ("A dimension is wrong, or a limit is exceeded", schema_of::<Failure>),
            401 => ("The bearer token is missing or wrong", schema_of::<Failure>),
            413 => ("The body is over the limit", schema_of::<Failure>),
            422 => ("The body does not fit the schema", schema_of::<Invalid>),
            500 => ("The only checkpoint was refused, or an action is not finite", schema_of::<Failure>),
            503 if public => ("No model is loaded", operation.response),
            _ => ("No model is loaded", schema_of::<Failure>),
        };
        responses.insert(status.to_string(), response(description, schema(generator)));
    }
    let mut description = json!({
        "operationId": operation.id,
        "tags": [TAG],
        "summary": operation.summary,
        "responses": responses,
    });
    if let Some(request) = &operation.request {
        let mut content = json!({ "schema": (request.schema)(generator) });
        if let Some(state_dim) = state_dim {
            content["example"] = (request.example)(state_dim);
        }
        description["requestBody"] =
            json!({ "required": request.required, "content": { "application/json": content } });
    }
    if !public {
        description["security"] = json!([{ "bearer": [] }]);
    }
    description
}

/// Changes schemas into a form that generators of clients take. They make a field with a default one that is required, so
/// the default moves into the description, and they do not know the formats of unsigned integers.
fn tidy(schema: &mut Value) {
    if let Some(schema) = schema.as_object_mut() {
        if schema.get("format").is_some_and(|format| format == "uint" || format == "uint64") {
            schema.remove("format");
        }
        if let Some(default) = schema.remove("default").filter(|default| !default.is_null()) {
            let before = schema.get("description").and_then(Value::as_str).unwrap_or_default();
            schema.insert("description".to_owned(), format!("{before} The default is {default}.").trim_start().into());
        }
        schema.values_mut().for_each(tidy);
    }
    schema.as_array_mut().into_iter().flatten().for_each(tidy);
}

fn response(description: &str, schema: Schema) -> Value {
    json!({ "description": description, "content": { "application/json": { "schema": schema } } })
}
