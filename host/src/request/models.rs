//! `GET /v1/models`: what a client may name, in OpenAI's shape.

use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::assign::FUNCTION_PREFIX;
use super::reply::{self, ReplyBody};
use crate::error::Cause;
use crate::snapshot::{Model, Snapshot};

/// All models and functions.
pub fn list(snapshot: &Snapshot) -> Response<ReplyBody> {
    let models = snapshot.models.values().map(|model| entry(model));
    let functions = snapshot.functions.keys().map(|name| function(name));
    let data: Vec<Value> = models.chain(functions).collect();
    reply::json(StatusCode::OK, json!({ "object": "list", "data": data }).to_string())
}

/// One of them.
pub fn one(snapshot: &Snapshot, name: &str) -> Response<ReplyBody> {
    let function_name = name.strip_prefix(FUNCTION_PREFIX);
    let entry = match (snapshot.models.get(name), function_name) {
        (Some(model), _) => entry(model),
        (None, Some(name)) if snapshot.functions.contains_key(name) => function(name),
        _ => {
            let known = snapshot.models.keys().cloned().collect::<Vec<_>>().join(", ");
            return reply::error(&Cause::UnknownModel { name: name.to_owned(), known });
        }
    };
    reply::json(StatusCode::OK, entry.to_string())
}

fn entry(model: &Model) -> Value {
    let endpoints: Vec<&str> = model.endpoints.iter().map(|endpoint| &*endpoint.name).collect();
    json!({
        "id": model.name,
        "object": "model",
        // OpenAI's shape asks for a time of creation; a configured model has none.
        "created": 0,
        "owned_by": "torana",
        "torana": {
            "endpoints": endpoints,
            "router": model.policy.as_ref().map(|policy| policy.router.as_str()),
        },
    })
}

fn function(name: &str) -> Value {
    let id = format!("{FUNCTION_PREFIX}{name}");
    json!({ "id": id, "object": "model", "created": 0, "owned_by": "torana" })
}
