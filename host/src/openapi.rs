//! The OpenAPI description of the data plane, as `torana openapi` prints it.
//!
//! Schemas and the words about each route are JSON beside this file; parameters, answers,
//! headers and failures follow from how the routes are parsed (`request/paths.rs`). It
//! promises what the gateway does, not what providers should: bodies are open, and request
//! schemas have the types that the codecs check. Tests hold it against the routes, the codecs,
//! the headers and the codes.

mod failure;

use std::collections::BTreeMap;

use http::{HeaderName, Method};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::dialect::Dialect;
use crate::error::Cause;
use crate::request::paths::{self, Object, Route};
use crate::request::reply::header;
use failure::Family;

/// Everything but paths, schemas and failures.
const DOCUMENT: &str = include_str!("openapi/document.json");
/// By path and method: an [`Operation`].
const PATHS: &str = include_str!("openapi/paths.json");
const SCHEMAS: [&str; 6] = [
    include_str!("openapi/chat.json"),
    include_str!("openapi/completions.json"),
    include_str!("openapi/responses.json"),
    include_str!("openapi/messages.json"),
    include_str!("openapi/gateway.json"),
    include_str!("openapi/routing.json"),
];

const JSON: &str = "application/json";

/// Headers of an answer from a model.
const SERVED: [HeaderName; 13] = [
    header::INFERENCE_ID,
    header::EPISODE_ID,
    header::ENDPOINT,
    header::VARIANT,
    header::GENERATION,
    header::ATTEMPTS,
    header::OVERHEAD_US,
    header::EXPLAIN,
    header::DROPPED_PARAMS,
    header::ESTIMATED,
    header::INVALID_OUTPUT,
    header::INVALID_TOOL_CALLS,
    header::REQUEST_ID,
];

/// A description that does not fit the gateway. Tests see to it that there is none.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("a part of the description is not as it should be")]
    Asset(#[from] serde_json::Error),
    #[error("the description has a route that the gateway does not have: {0}")]
    Route(Cause),
    #[error("the description has no place for {0}")]
    Place(&'static str),
}

/// The document: OpenAPI 3.1.
///
/// # Errors
/// Its parts do not fit together.
pub fn document() -> Result<Value, Error> {
    let mut document: Value = serde_json::from_str(DOCUMENT)?;
    let mut responses = Map::new();
    *place(&mut document, "/info/version")? = env!("CARGO_PKG_VERSION").into();
    *place(&mut document, "/paths")? = described(&mut responses)?;
    let components = place(&mut document, "/components")?;
    let components = components.as_object_mut().ok_or(Error::Place("/components"))?;
    components.insert("responses".into(), responses.into());
    components.insert("schemas".into(), schemas()?);
    Ok(document)
}

fn place<'a>(document: &'a mut Value, pointer: &'static str) -> Result<&'a mut Value, Error> {
    document.pointer_mut(pointer).ok_or(Error::Place(pointer))
}

fn schemas() -> Result<Value, Error> {
    let mut schemas = Map::new();
    for asset in SCHEMAS {
        schemas.extend(serde_json::from_str::<Map<String, Value>>(asset)?);
    }
    let mut schemas = Value::Object(schemas);
    *place(&mut schemas, "/ErrorCode/anyOf/0/enum")? = failure::codes().into();
    Ok(schemas)
}

/// What is said of a route beside what follows from it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Operation {
    operation_id: String,
    tags: Vec<String>,
    summary: String,
    description: Option<String>,
    #[serde(default)]
    parameters: Vec<Value>,
    /// Schema of the body.
    request: Option<String>,
    /// Schemas of the answer: it has one of them.
    #[serde(default)]
    answer: Vec<String>,
    /// What a streamed answer looks like.
    stream: Option<String>,
}

/// All paths. The responses that they refer to go into `responses`.
fn described(responses: &mut Map<String, Value>) -> Result<Value, Error> {
    let paths: BTreeMap<String, BTreeMap<String, Operation>> = serde_json::from_str(PATHS)?;
    let mut described = Map::new();
    for (path, operations) in paths {
        let mut item = Map::new();
        for (name, operation) in operations {
            let method = Method::from_bytes(name.to_uppercase().as_bytes());
            let method = method.unwrap_or_default();
            // Parameters stand for themselves.
            let route = paths::parse(&method, &path).map_err(Error::Route)?;
            let family = Family::of(&route);
            responses.extend(family.components());
            item.insert(name, operation.described(&method, &path, &route, &family));
        }
        described.insert(path, item.into());
    }
    Ok(described.into())
}

impl Operation {
    fn described(self, method: &Method, path: &str, route: &Route, family: &Family) -> Value {
        let mut parameters = parameters(path, route);
        parameters.extend(self.parameters);
        let mut responses = Map::new();
        if !self.answer.is_empty() {
            let good = good(&self.answer, self.stream.as_deref(), route);
            responses.insert("200".into(), good);
        }
        responses.extend(family.references());
        let mut fields = Map::new();
        let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
        put("operationId", self.operation_id.into());
        put("tags", self.tags.into());
        put("summary", self.summary.into());
        if let Some(description) = self.description {
            put("description", description.into());
        }
        if !parameters.is_empty() {
            put("parameters", parameters.into());
        }
        match (&self.request, route) {
            (Some(name), _) => {
                let content = json!({ JSON: { "schema": schema(name) } });
                put("requestBody", json!({ "required": true, "content": content }));
            }
            (None, Route::Object(Object::Resource(_))) if method == Method::POST => {
                let content = json!({ JSON: {} });
                let description = "As the provider takes it.";
                put("requestBody", json!({ "description": description, "content": content }));
            }
            (None, _) => {}
        }
        put("responses", responses.into());
        Value::Object(fields)
    }
}

fn parameters(path: &str, route: &Route) -> Vec<Value> {
    let mut names = Vec::new();
    names.extend(path.contains("{model}").then_some("Model"));
    names.extend(path.contains("{id}").then_some("Id"));
    match route {
        Route::Infer(dialect) => {
            names.extend(["EpisodeId", "SessionId", "Tags"]);
            names.extend(["UnsupportedParams", "Content", "Explain"]);
            if dialect.is_anthropic() {
                names.extend(["AnthropicVersion", "AnthropicBeta"]);
            }
        }
        _ => names.push("AnthropicShape"),
    }
    names.iter().map(|name| reference("parameters", name)).collect()
}

fn good(answer: &[String], stream: Option<&str>, route: &Route) -> Value {
    let schema = match answer {
        [only] => schema(only),
        several => {
            json!({ "anyOf": several.iter().map(|name| schema(name)).collect::<Vec<_>>() })
        }
    };
    let mut content = json!({ JSON: { "schema": schema } });
    if let (Some(example), Some(content)) = (stream, content.as_object_mut()) {
        content.insert("text/event-stream".into(), json!({ "example": example }));
    }
    let description = match stream {
        Some(_) => {
            "A JSON body, or server-sent events where the body says `\"stream\": true`. A stream \
             that breaks ends with an error event and without its end marker."
        }
        None => "The answer.",
    };
    let mut good = json!({ "description": description, "content": content });
    if let (Route::Infer(dialect), Some(good)) = (route, good.as_object_mut()) {
        good.insert("headers".into(), references("headers", &served(*dialect)));
    }
    good
}

fn served(dialect: Dialect) -> Vec<HeaderName> {
    let own = dialect.is_anthropic().then_some(header::ANTHROPIC_REQUEST_ID);
    SERVED.into_iter().chain(own).collect()
}

fn schema(name: &str) -> Value {
    reference("schemas", name)
}

/// To components of one kind, by their names.
fn references(kind: &str, names: &[HeaderName]) -> Value {
    let reference = |name: &HeaderName| (name.to_string(), reference(kind, name.as_str()));
    names.iter().map(reference).collect()
}

fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

#[cfg(test)]
mod tests;
