//! Requests, answers and streams in OpenAI's chat dialect, for tests and scripts.
//!
//! Shapes: <https://platform.openai.com/docs/api-reference/chat>.

use serde_json::{Value, json};

use crate::chat::DONE;
use crate::client::Request;
use crate::provider::Asked;
use crate::script::Script;

/// What the ordinary answer says. Not ASCII alone, so that bytes and characters differ.
pub const TEXT: &str = "Bonjour, ça va\u{202f}? Grüße 👋 aus dem \"Gateway\"\n";

/// A chat request.
pub fn chat(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "hello" }] })
}

/// The same, streamed, with usage at the end.
pub fn streaming_chat(model: &str) -> Value {
    let mut body = chat(model);
    body["stream"] = json!(true);
    body["stream_options"] = json!({ "include_usage": true });
    body
}

/// `POST /v1/chat/completions`.
pub fn completion(body: &Value) -> Request {
    Request::post("/v1/chat/completions", body)
}

/// The ordinary whole answer.
pub fn answer(text: &str) -> Value {
    answer_of(json!({ "role": "assistant", "content": text }), "stop")
}

/// A whole answer that calls two tools.
pub fn tool_answer() -> Value {
    let call = |id: &str, city: &str| {
        let arguments = json!({ "city": city }).to_string();
        json!({ "id": id, "type": "function",
                "function": { "name": "weather", "arguments": arguments } })
    };
    let calls = [call("call_1", "Zürich"), call("call_2", "Paris")];
    let message = json!({ "role": "assistant", "content": null, "tool_calls": calls });
    answer_of(message, "tool_calls")
}

fn answer_of(message: Value, finish: &str) -> Value {
    json!({
        "id": "chatcmpl-scripted", "object": "chat.completion", "created": 1_700_000_000,
        "model": "scripted-2024", "system_fingerprint": "fp_scripted",
        "choices": [{ "index": 0, "message": message, "finish_reason": finish, "logprobs": null }],
        "usage": usage(),
    })
}

fn usage() -> Value {
    json!({ "prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18 })
}

/// Data of the events of the ordinary streamed answer, [`DONE`] excluded.
pub fn events(text: &str) -> Vec<String> {
    let mut events = vec![delta(json!({ "role": "assistant", "content": "" }), None)];
    let characters: Vec<char> = text.chars().collect();
    for piece in characters.chunks(4) {
        let piece: String = piece.iter().collect();
        events.push(delta(json!({ "content": piece }), None));
    }
    events.push(delta(json!({}), Some("stop")));
    events.push(usage_event());
    events
}

/// Data of the events of a streamed answer that calls two tools.
pub fn tool_events() -> Vec<String> {
    let mut events = vec![delta(json!({ "role": "assistant", "content": null }), None)];
    for (index, id, city) in [(0, "call_1", "Zürich"), (1, "call_2", "Paris")] {
        let start = json!([{ "index": index, "id": id, "type": "function",
                             "function": { "name": "weather", "arguments": "" } }]);
        events.push(delta(json!({ "tool_calls": start }), None));
        let arguments = json!({ "city": city }).to_string();
        let characters: Vec<char> = arguments.chars().collect();
        for piece in characters.chunks(5) {
            let piece: String = piece.iter().collect();
            let more = json!([{ "index": index, "function": { "arguments": piece } }]);
            events.push(delta(json!({ "tool_calls": more }), None));
        }
    }
    events.push(delta(json!({}), Some("tool_calls")));
    events.push(usage_event());
    events
}

fn delta(delta: Value, finish: Option<&str>) -> String {
    let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish, "logprobs": null });
    chunk(json!([choice]), &Value::Null)
}

fn usage_event() -> String {
    chunk(json!([]), &usage())
}

fn chunk(choices: Value, usage: &Value) -> String {
    json!({
        "id": "chatcmpl-scripted", "object": "chat.completion.chunk", "created": 1_700_000_000,
        "model": "scripted-2024", "choices": choices, "usage": usage,
    })
    .to_string()
}

/// Events as the bytes of a stream of server-sent events, without its end.
pub fn sse(events: &[String]) -> Vec<u8> {
    events.iter().flat_map(|data| format!("data: {data}\n\n").into_bytes()).collect()
}

/// The same with its end.
pub fn sse_done(events: &[String]) -> Vec<u8> {
    let mut bytes = sse(events);
    bytes.extend_from_slice(format!("data: {DONE}\n\n").as_bytes());
    bytes
}

/// The ordinary answer, streamed or whole as it was asked for.
pub fn respond(asked: &Asked) -> Script {
    respond_with(asked, TEXT)
}

pub fn respond_with(asked: &Asked, text: &str) -> Script {
    if asked.streams() {
        Script::sse().bytes(sse_done(&events(text)))
    } else {
        Script::json(200, &answer(text))
    }
}

/// The answer that calls tools, streamed or whole as it was asked for.
pub fn respond_with_tools(asked: &Asked) -> Script {
    if asked.streams() {
        Script::sse().bytes(sse_done(&tool_events()))
    } else {
        Script::json(200, &tool_answer())
    }
}

/// OpenAI's error body.
pub fn error(message: &str, kind: &str, code: &str) -> Value {
    json!({ "error": { "message": message, "type": kind, "param": null, "code": code } })
}
