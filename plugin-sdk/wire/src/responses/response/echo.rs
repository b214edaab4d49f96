//! What a response repeats of the request it answers.
//!
//! Clients rely on it: OpenAI's packages demand `tools`, `tool_choice` and
//! `parallel_tool_calls`, and some read `text.format` to parse the answer. Only what the
//! client itself said is repeated, with OpenAI's defaults where every provider has them;
//! sampling that was left to the provider is null, as nobody knows it.

use serde_json::{Map, Value, json};

use super::super::{request, tool};
use crate::chat::Request;
use crate::encoded::Dropped;

/// Keys of `extra` that a response repeats as they are.
const PLAIN: [&str; 12] = [
    "background",
    "max_tool_calls",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "top_logprobs",
    "truncation",
];

/// The fields that a response repeats.
#[derive(Debug, Clone)]
pub struct Echo {
    fields: Map<String, Value>,
}

impl Echo {
    /// Of the client's request.
    pub fn of(request: &Request) -> Self {
        let mut fields = defaults();
        for key in PLAIN {
            if let Some(value) = request.extra.get(key) {
                fields.insert(key.into(), value.clone());
            }
        }
        let mut put = |key: &str, value: Value| {
            fields.insert(key.into(), value);
        };
        // What cannot be said on this wire is not repeated; that is reported elsewhere.
        let mut unheeded = Dropped::default();
        if let Some(text) = request::instructions(request) {
            put("instructions", text.into());
        }
        put("max_output_tokens", json!(request.sampling.max_output_tokens));
        put("temperature", json!(request.sampling.temperature));
        put("top_p", json!(request.sampling.top_p));
        put("parallel_tool_calls", request.parallel_tool_calls.unwrap_or(true).into());
        put("tools", tool::encode_all(&request.tools, &mut unheeded).into());
        let choice = request.tool_choice.as_ref();
        let choice = choice.and_then(|choice| tool::encode_choice(choice, &mut unheeded));
        put("tool_choice", choice.unwrap_or_else(|| "auto".into()));
        put("text", request::text_or_default(request));
        put("metadata", Value::Object(request.metadata.clone()));
        put("user", json!(request.user));
        put("reasoning", reasoning(request));
        if let Some(conversation) = conversation(request) {
            put("conversation", conversation);
        }
        Self { fields }
    }

    /// Says whether the gateway keeps the response, so that it can be referred to.
    #[must_use]
    pub fn stored(mut self, stored: bool) -> Self {
        self.fields.insert("store".into(), stored.into());
        self
    }

    pub(in crate::responses) fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }
}

/// In the order of OpenAI's own responses.
fn defaults() -> Map<String, Value> {
    let null = || Value::Null;
    let fields = [
        ("background", Value::Bool(false)),
        ("instructions", null()),
        ("max_output_tokens", null()),
        ("max_tool_calls", null()),
        ("parallel_tool_calls", Value::Bool(true)),
        ("previous_response_id", null()),
        ("reasoning", null()),
        ("temperature", null()),
        ("text", null()),
        ("tool_choice", null()),
        ("tools", null()),
        ("top_p", null()),
        ("truncation", "disabled".into()),
        ("user", null()),
        ("metadata", null()),
    ];
    fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn reasoning(request: &Request) -> Value {
    let mut fields = request::reasoning(request).unwrap_or_default();
    for key in ["effort", "summary"] {
        fields.entry(key).or_insert(Value::Null);
    }
    Value::Object(fields)
}

/// A request may give the id alone.
fn conversation(request: &Request) -> Option<Value> {
    match request.extra.get("conversation")? {
        Value::String(id) => Some(json!({"id": id})),
        value @ Value::Object(_) => Some(value.clone()),
        _ => None,
    }
}
