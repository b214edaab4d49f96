//! The schemas against the codecs: what one takes the other takes, and what the codecs write
//! fits.

use jsonschema::Validator;
use serde_json::{Value, json};
use torana_wire::chat::{Block, FinishReason, Response, Usage};
use torana_wire::openai::Identity;
use torana_wire::{anthropic, completions, embeddings, openai};

use super::document;
use crate::dialect::{Dialect, head};

const DIALECTS: [(Dialect, &str); 6] = [
    (Dialect::OpenaiChat, "ChatCompletionRequest"),
    (Dialect::OpenaiCompletions, "CompletionRequest"),
    (Dialect::OpenaiResponses, "ResponsesRequest"),
    (Dialect::OpenaiEmbeddings, "EmbeddingsRequest"),
    (Dialect::AnthropicMessages, "MessagesRequest"),
    (Dialect::AnthropicCountTokens, "CountTokensRequest"),
];

pub(super) fn validator(schema: &str) -> Validator {
    let root = json!({
        "$ref": format!("#/components/schemas/{schema}"),
        "components": document().unwrap()["components"],
    });
    jsonschema::draft202012::new(&root).unwrap()
}

/// The gateway takes the body for an endpoint of another dialect.
fn is_taken(dialect: Dialect, body: &Value) -> bool {
    let bytes = body.to_string().into_bytes();
    let decoded = match dialect {
        Dialect::OpenaiEmbeddings => embeddings::request::decode(&bytes).map(drop),
        Dialect::AnthropicCountTokens => anthropic::request::decode_to_count(&bytes).map(drop),
        dialect => dialect.decode(&bytes).map(drop),
    };
    decoded.is_ok() && head::read(dialect, &bytes).is_ok_and(|head| head.empty.is_none())
}

/// A body with nearly everything that its schema names.
fn full(dialect: Dialect) -> Value {
    let schema = json!({"type": "object"});
    match dialect {
        Dialect::OpenaiChat => json!({
            "model": "m", "stream": false, "stream_options": {"include_usage": true},
            "max_tokens": 1, "max_completion_tokens": 2, "temperature": 0.5, "top_p": 0.5,
            "presence_penalty": 0.1, "frequency_penalty": 0.1, "seed": -1, "stop": ["a"],
            "tools": [
                {"type": "function", "function": {"name": "f", "description": "d",
                    "parameters": schema, "strict": true}},
                {"function": {"name": "g"}},
                {"type": "custom"}],
            "tool_choice": "auto", "parallel_tool_calls": true, "reasoning_effort": "low",
            "response_format": {"type": "json_schema", "json_schema":
                {"name": "n", "description": "d", "schema": schema, "strict": true}},
            "user": "u", "prompt_cache_key": "k", "metadata": {"a": 1}, "else": 1,
            "messages": [
                {"role": "system", "content": "s", "name": "n"},
                {"role": "user", "content": [
                    {"type": "text", "text": "t"},
                    {"type": "image_url", "image_url": {"url": "u", "detail": "low"}},
                    {"type": "video_url", "video_url": "u"},
                    {"type": "input_audio", "input_audio": {"data": "d", "format": "mp3"}},
                    {"type": "file", "file": {"file_data": "d", "filename": "f"}},
                    {"type": "file", "file": {"file_id": "i"}},
                    {"type": "other"}]},
                {"role": "assistant", "content": null, "refusal": "r", "reasoning_content": "r",
                    "tool_calls": [
                        {"id": "c", "type": "function",
                            "function": {"name": "f", "arguments": "{}"}},
                        {"type": "custom"}]},
                {"role": "tool", "tool_call_id": "c", "content": "t"}],
        }),
        Dialect::OpenaiCompletions => json!({
            "model": "m", "prompt": "p", "stream": false, "stream_options": {}, "max_tokens": 1,
            "temperature": 0.5, "top_p": 0.5, "presence_penalty": 0.1, "frequency_penalty": 0.1,
            "seed": 1, "stop": "a", "user": "u",
        }),
        Dialect::OpenaiResponses => json!({
            "model": "m", "instructions": "i", "previous_response_id": "r", "stream": true,
            "max_output_tokens": 1, "temperature": 0.5, "top_p": 0.5, "tool_choice": "auto",
            "tools": [
                {"type": "function", "name": "f", "description": "d", "parameters": schema,
                    "strict": false},
                {"type": "web_search"}],
            "parallel_tool_calls": false, "reasoning": {"effort": "low"}, "user": "u",
            "prompt_cache_key": "k", "metadata": {}, "store": false,
            "text": {"format": {"type": "json_schema", "name": "n", "description": "d",
                "schema": schema, "strict": true}},
            "input": [
                {"role": "user", "content": "c"},
                {"type": "message", "role": "user", "content": [
                    {"type": "input_text", "text": "t"},
                    {"type": "refusal", "refusal": "r"},
                    {"type": "input_image", "image_url": "u", "detail": "low"},
                    {"type": "input_file", "file_url": "u", "filename": "f"},
                    {"type": "input_file", "file_id": "i"},
                    {"type": "input_audio", "input_audio": {"data": "d", "format": "mp3"}},
                    {"type": "other"}]},
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "t"}],
                    "encrypted_content": "e"},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "o"},
                {"type": "web_search_call"},
                {"id": "i"}],
        }),
        Dialect::OpenaiEmbeddings => json!({
            "model": "m", "input": ["a", "b"], "dimensions": 3, "encoding_format": "base64",
            "user": "u",
        }),
        Dialect::AnthropicMessages | Dialect::AnthropicCountTokens => json!({
            "model": "m", "max_tokens": 1, "stream": false, "temperature": 0.5, "top_p": 0.5,
            "top_k": 1, "stop_sequences": ["a"], "metadata": {"user_id": "u"},
            "service_tier": "auto", "thinking": {"type": "enabled", "budget_tokens": 1},
            "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": schema}},
            "tools": [
                {"name": "f", "description": "d", "input_schema": schema, "strict": true},
                {"type": "bash_20250124", "name": "bash"}],
            "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": true},
            "system": [{"type": "text", "text": "t"}],
            "messages": [
                {"role": "user", "content": "c"},
                {"role": "user", "content": [
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png",
                        "data": "d"}},
                    {"type": "image", "source": {"type": "url", "url": "u"}},
                    {"type": "document", "source": {"type": "text", "data": "d"}},
                    {"type": "document", "source": {"type": "file", "file_id": "i"}},
                    {"type": "tool_result", "tool_use_id": "c", "content": "t",
                        "is_error": true},
                    {"type": "other"}]},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "t", "signature": "s"},
                    {"type": "redacted_thinking", "data": "d"},
                    {"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
                {"role": "system"}],
        }),
    }
}

/// Pointers to every value inside.
pub(super) fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    let mut each = |key: &str, value: &Value| {
        let at = format!("{at}/{key}");
        pointers(value, &at, found);
        found.push(at);
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| each(key, value)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(key, value)| each(&key.to_string(), value));
        }
        _ => {}
    }
}

/// The body without one value, and with every kind of value in its place.
pub(super) fn mutations(body: &Value, pointer: &str) -> Vec<Value> {
    let replace = |value: Value| {
        let mut body = body.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    let mut mutations: Vec<Value> = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!("x"),
        json!(""),
        json!([]),
        json!([7]),
        json!(["x"]),
        json!([[1]]),
        json!({}),
        json!({"x": 1}),
        json!(u64::MAX),
        json!(1e300),
    ]
    .into_iter()
    .map(replace)
    .collect();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let mut without = body.clone();
    if let Some(fields) = without.pointer_mut(parent).unwrap().as_object_mut() {
        fields.shift_remove(key);
        mutations.push(without);
    }
    mutations
}

/// Where codec and schema differ for a reason: a schema within a body is compiled later, a
/// model without a name is unknown, and a prompt in tokens needs an endpoint that has the route.
fn is_settled_elsewhere(body: &Value, pointer: &str) -> bool {
    pointer.ends_with("/schema")
        || pointer == "/model" && body["model"] == ""
        || pointer == "/prompt" && body["prompt"].is_array()
}

#[test]
fn schemas_take_what_the_codecs_take_and_refuse_what_they_refuse() {
    let mut disagreements = Vec::new();
    for (dialect, name) in DIALECTS {
        let validator = validator(name);
        let full = full(dialect);
        assert!(is_taken(dialect, &full) && validator.is_valid(&full), "{name}");
        let mut places = Vec::new();
        pointers(&full, "", &mut places);
        for pointer in places {
            for body in mutations(&full, &pointer) {
                let taken = is_taken(dialect, &body);
                if taken != validator.is_valid(&body) && !is_settled_elsewhere(&body, &pointer) {
                    let value = body.pointer(&pointer);
                    disagreements.push(format!("{name}{pointer} = {value:?}, codec: {taken}"));
                }
            }
        }
    }
    assert!(disagreements.is_empty(), "{}", disagreements.join("\n"));
}

#[test]
fn examples_are_taken() {
    let document = document().unwrap();
    for (dialect, name) in DIALECTS {
        let example = &document["components"]["schemas"][name]["examples"][0];
        assert!(is_taken(dialect, example) && validator(name).is_valid(example), "{name}");
    }
}

/// Answers with everything in them, and with nothing.
fn answers() -> [Response; 2] {
    let call =
        Block::ToolCall { id: "c".into(), name: "f".into(), arguments: "{}".into(), cache: None };
    let reasoning = Block::Reasoning {
        text: "r".into(),
        signature: Some("s".into()),
        encrypted: None,
        dialect: Some("gemini".into()),
    };
    let refusal = Block::Refusal { text: "no".into() };
    let usage =
        Usage { input: 3, output: 2, cost_usd: Some(0.5), estimated: true, ..Usage::default() };
    let everything = Response {
        id: "i".into(),
        model: "m".into(),
        blocks: vec![reasoning, Block::text("t"), refusal, call],
        finish_reason: Some(FinishReason::Length),
        usage: Some(usage),
        ..Response::default()
    };
    [everything, Response::default()]
}

#[test]
fn answers_that_the_gateway_writes_fit() {
    let identity = Identity { id: "i", model: "m", created: 7 };
    for answer in answers() {
        for (name, body) in [
            ("ChatCompletion", openai::response::encode(&answer, &identity)),
            ("Completion", completions::response::encode(&answer, &identity)),
            ("Message", anthropic::response::encode(&answer, &identity)),
            ("Response", response_body(&answer, &identity)),
        ] {
            let body: Value = serde_json::from_slice(&body).unwrap();
            if let Err(error) = validator(name).validate(&body) {
                unreachable!("{name}: {error} at {} in {body}", error.instance_path());
            }
        }
    }
}

fn response_body(answer: &Response, identity: &Identity<'_>) -> Vec<u8> {
    let asked = json!({"model": "m", "input": "i"}).to_string();
    crate::dialect::encode::whole(Dialect::OpenaiResponses, answer, identity, asked.as_bytes())
}

#[test]
fn errors_that_the_gateway_writes_fit() {
    let statuses = [400, 401, 403, 404, 405, 408, 413, 418, 429, 500, 501, 502, 503, 504, 529];
    for status in statuses {
        for code in ["model_not_found", "a provider's own", "api_error"] {
            for (name, body) in [
                ("OpenaiError", openai::error::encode(status, "m", code, None)),
                ("OpenaiError", openai::error::encode(status, "m", code, Some("model"))),
                ("AnthropicError", anthropic::error::encode(status, "m", code)),
            ] {
                let body: Value = serde_json::from_slice(&body).unwrap();
                assert!(validator(name).is_valid(&body), "{body}");
            }
        }
    }
}
