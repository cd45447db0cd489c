//! The OpenAPI document, generated from the types that bodies are parsed into and responses written from. `inference/` adds
//! its own routes.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::explain::Issue;
use super::inference;

/// The request and the responses of a route.
pub struct Operation {
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
    /// For clients that are not authorised, and if there is no policy.
    without_examples: Option<Vec<u8>>,
    with_examples: Option<Vec<u8>>,
}

impl Documents {
    /// Returns the document of routes, which is made once.
    pub fn get<'a>(&mut self, routes: impl Iterator<Item = Described<'a>>, state_dim: Option<usize>) -> &[u8] {
        let kept = if state_dim.is_some() { &mut self.with_examples } else { &mut self.without_examples };
        kept.get_or_insert_with(|| document(routes, state_dim).to_string().into_bytes())
    }
}

/// A route: its path, its method in lowercase, `true` if it answers without a token, and its operation.
pub type Described<'a> = (&'static str, &'static str, bool, &'a Operation);

/// The longest state that a document has examples of. It holds five of them.
const MAX_EXAMPLE: usize = 1024;

/// Returns the OpenAPI 3.1 document of routes. With a state_dim, requests have an example that a policy of this state_dim
/// answers.
fn document<'a>(routes: impl Iterator<Item = Described<'a>>, state_dim: Option<usize>) -> Value {
    let state_dim = state_dim.filter(|state_dim| *state_dim <= MAX_EXAMPLE);
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for (path, method, public, operation) in routes {
        paths.insert(path.to_owned(), json!({ method: describe(operation, public, state_dim, &mut generator) }));
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "sac-serving",
            "description": "Serves a Soft Actor-Critic policy. Each answer names the checkpoint that it comes from. A new checkpoint answers from the next request on.",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } },
        },
    });
    inference::describe(&mut document, state_dim);
    document
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
    let mut description = json!({ "summary": operation.summary, "responses": responses });
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

fn response(description: &str, schema: Schema) -> Value {
    json!({ "description": description, "content": { "application/json": { "schema": schema } } })
}
