//! Answers and streams of Cohere's `/v2/chat`, for scripts.
//!
//! Shapes: <https://docs.cohere.com/reference/chat> and `…/chat-stream`. A stream is made from
//! the whole answer it says, so that both cannot differ.

use serde_json::{Value, json};

use crate::provider::Asked;
use crate::script::Script;

/// Characters of a delta.
const PIECE: usize = 5;

/// A whole answer of these content parts and tool calls.
pub fn answer(content: &[Value], calls: &[Value], finish_reason: &str, usage: &Value) -> Value {
    let mut message = json!({ "role": "assistant", "content": content });
    if !calls.is_empty() {
        message["tool_calls"] = json!(calls);
    }
    json!({ "id": "scripted", "message": message, "finish_reason": finish_reason, "usage": usage })
}

/// `answer`, streamed or whole as it was asked for.
pub fn respond(asked: &Asked, answer: &Value) -> Script {
    if !asked.streams() {
        return Script::json(200, answer);
    }
    let line = |event: &Value| {
        let name = event["type"].as_str().unwrap_or_default();
        format!("event: {name}\ndata: {event}\n\n")
    };
    let script = Script::sse();
    events(answer).iter().fold(script, |script, event| script.bytes(line(event)))
}

/// The events that say `answer`, in order.
fn events(answer: &Value) -> Vec<Value> {
    let event = |kind: &str, index: usize, message: Value| json!({ "type": kind, "index": index, "delta": { "message": message } });
    let message = &answer["message"];
    let begun = json!({ "role": "assistant", "content": [], "tool_plan": "", "tool_calls": [],
                        "citations": [] });
    let mut events = vec![json!({ "type": "message-start", "id": answer["id"],
                                  "delta": { "message": begun } })];
    for (index, part) in message["content"].as_array().into_iter().flatten().enumerate() {
        let kind = part["type"].as_str().unwrap_or_default();
        let begun = json!({ "content": { "type": kind, kind: "" } });
        events.push(event("content-start", index, begun));
        for piece in pieces(&part[kind]) {
            let more = json!({ "content": { kind: piece } });
            events.push(event("content-delta", index, more));
        }
        events.push(json!({ "type": "content-end", "index": index }));
    }
    for (index, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
        let mut begun = call.clone();
        begun["function"]["arguments"] = json!("");
        events.push(event("tool-call-start", index, json!({ "tool_calls": begun })));
        for piece in pieces(&call["function"]["arguments"]) {
            let more = json!({ "tool_calls": { "function": { "arguments": piece } } });
            events.push(event("tool-call-delta", index, more));
        }
        events.push(json!({ "type": "tool-call-end", "index": index }));
    }
    let end = json!({ "finish_reason": answer["finish_reason"], "usage": answer["usage"] });
    events.push(json!({ "type": "message-end", "delta": end }));
    events
}

fn pieces(text: &Value) -> Vec<String> {
    let characters: Vec<char> = text.as_str().unwrap_or_default().chars().collect();
    characters.chunks(PIECE).map(|piece| piece.iter().collect()).collect()
}
