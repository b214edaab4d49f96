//! A response to the `response` object that a client gets.

use serde_json::{Map, Value, json};

use super::super::item::{Items, status_of};
use super::super::{Identity, usage};
use super::Echo;
use crate::chat::{Response, Usage};

/// The body of a whole answer. `echo` repeats the request it answers.
///
/// Images that the model made come as an `image_generation_call`; other media and blocks of
/// other dialects have no place in an answer on this wire and are left out.
pub fn encode(response: &Response, identity: &Identity<'_>, echo: &Echo) -> Vec<u8> {
    let mut items = Items::new(identity.id);
    for block in &response.blocks {
        items.block(block);
    }
    let (status, reason) = status_of(response.finish_reason.as_ref());
    let state = State {
        status,
        reason,
        error: Value::Null,
        output: items.values(status),
        usage: response.usage.as_ref(),
        extra: &response.extra,
    };
    serde_json::to_vec(&body(identity, echo, state)).unwrap_or_default()
}

/// What a response object says beyond who it is and what was asked.
pub(in crate::responses) struct State<'a> {
    pub(in crate::responses) status: &'a str,
    /// Why it is incomplete.
    pub(in crate::responses) reason: Option<&'a str>,
    pub(in crate::responses) error: Value,
    pub(in crate::responses) output: Vec<Value>,
    pub(in crate::responses) usage: Option<&'a Usage>,
    pub(in crate::responses) extra: &'a Map<String, Value>,
}

/// The response object.
pub(in crate::responses) fn body(identity: &Identity<'_>, echo: &Echo, state: State<'_>) -> Value {
    let mut body = Map::new();
    let mut put = |key: &str, value: Value| {
        body.insert(key.into(), value);
    };
    put("id", identity.id.into());
    put("object", "response".into());
    put("created_at", identity.created.into());
    put("status", state.status.into());
    put("error", state.error);
    let details = state.reason.map(|reason| json!({"reason": reason}));
    put("incomplete_details", details.unwrap_or_default());
    put("model", identity.model.into());
    put("output", state.output.into());
    put("usage", state.usage.map(usage::encode).unwrap_or_default());
    for (key, value) in echo.fields() {
        put(key, value.clone());
    }
    for (key, value) in state.extra {
        match key.as_str() {
            // The tier that answered, where the request only wished for one.
            "service_tier" => put(key, value.clone()),
            key if body_has(echo, key) => {}
            key => put(key, value.clone()),
        }
    }
    Value::Object(body)
}

fn body_has(echo: &Echo, key: &str) -> bool {
    const OWN: [&str; 9] = [
        "id",
        "object",
        "created_at",
        "status",
        "error",
        "incomplete_details",
        "model",
        "output",
        "usage",
    ];
    OWN.contains(&key) || echo.fields().contains_key(key)
}
