//! Answers, streams and errors in Anthropic's Messages dialect, for scripts.
//!
//! Shapes: <https://docs.anthropic.com/en/api/messages> and `…/messages-streaming`. A stream is
//! made from the whole message it says, so that both cannot differ.

use serde_json::{Value, json};

use crate::provider::Asked;
use crate::script::Script;

/// What proves to Anthropic that a thinking block is its own.
pub const SIGNATURE: &str = "EqQBCgIYAhIkc2NyaXB0ZWQrc2lnbmF0dXJlL2Zvci10ZXN0cz09";

/// Characters of a delta; JSON of a tool's input is cut where it comes.
const PIECE: usize = 5;

/// A whole answer with these content blocks, from the model that was asked.
pub fn message(asked: &Asked, blocks: &[Value]) -> Value {
    let calls = blocks.iter().any(|block| block["type"] == "tool_use");
    json!({
        "id": "msg_scripted", "type": "message", "role": "assistant",
        "model": asked.json()["model"], "content": blocks,
        "stop_reason": if calls { "tool_use" } else { "end_turn" }, "stop_sequence": null,
        "usage": { "input_tokens": 11, "cache_creation_input_tokens": 0,
                   "cache_read_input_tokens": 0, "output_tokens": 7 },
    })
}

pub fn text(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

pub fn thinking(text: &str) -> Value {
    json!({ "type": "thinking", "thinking": text, "signature": SIGNATURE })
}

pub fn tool_use(id: &str, name: &str, input: &Value) -> Value {
    json!({ "type": "tool_use", "id": id, "name": name, "input": input })
}

/// The answer, streamed or whole as it was asked for.
pub fn respond(asked: &Asked, blocks: &[Value]) -> Script {
    let message = message(asked, blocks);
    if asked.streams() {
        Script::sse().bytes(sse(&events(&message)))
    } else {
        Script::json(200, &message)
    }
}

/// The events that say `message`, in order.
pub fn events(message: &Value) -> Vec<Value> {
    let mut begun = message.clone();
    begun["content"] = json!([]);
    begun["stop_reason"] = Value::Null;
    begun["usage"]["output_tokens"] = json!(1);
    let mut events = vec![json!({ "type": "message_start", "message": begun })];
    for (index, block) in message["content"].as_array().into_iter().flatten().enumerate() {
        events.push(json!({ "type": "content_block_start", "index": index,
                            "content_block": emptied(block) }));
        // Anthropic sends one early in every stream.
        if index == 0 {
            events.push(json!({ "type": "ping" }));
        }
        for delta in deltas(block) {
            events.push(json!({ "type": "content_block_delta", "index": index, "delta": delta }));
        }
        events.push(json!({ "type": "content_block_stop", "index": index }));
    }
    let delta = json!({ "stop_reason": message["stop_reason"], "stop_sequence": null });
    let usage = json!({ "output_tokens": message["usage"]["output_tokens"] });
    events.push(json!({ "type": "message_delta", "delta": delta, "usage": usage }));
    events.push(json!({ "type": "message_stop" }));
    events
}

/// Events as the bytes of a stream of server-sent events.
pub fn sse(events: &[Value]) -> Vec<u8> {
    let line = |event: &Value| {
        let name = event["type"].as_str().unwrap_or_default();
        format!("event: {name}\ndata: {event}\n\n").into_bytes()
    };
    events.iter().flat_map(line).collect()
}

/// Anthropic's error body, which is also its error event.
pub fn error(kind: &str, message: &str) -> Value {
    json!({ "type": "error", "error": { "type": kind, "message": message },
            "request_id": "req_scripted" })
}

/// A block as its stream begins with it.
fn emptied(block: &Value) -> Value {
    let mut emptied = block.clone();
    match block["type"].as_str() {
        Some("text") => emptied["text"] = json!(""),
        Some("thinking") => {
            emptied["thinking"] = json!("");
            emptied["signature"] = json!("");
        }
        Some("tool_use") => emptied["input"] = json!({}),
        _ => {}
    }
    emptied
}

fn deltas(block: &Value) -> Vec<Value> {
    let pieces = |text: &str, kind: &str, key: &str| -> Vec<Value> {
        let characters: Vec<char> = text.chars().collect();
        let delta = |it: &[char]| json!({ "type": kind, key: it.iter().collect::<String>() });
        characters.chunks(PIECE).map(delta).collect()
    };
    let text = |key: &str| block[key].as_str().unwrap_or_default().to_owned();
    match block["type"].as_str() {
        Some("text") => pieces(&text("text"), "text_delta", "text"),
        Some("thinking") => {
            let mut deltas = pieces(&text("thinking"), "thinking_delta", "thinking");
            deltas.push(json!({ "type": "signature_delta", "signature": block["signature"] }));
            deltas
        }
        Some("tool_use") => {
            let mut deltas = vec![json!({ "type": "input_json_delta", "partial_json": "" })];
            // A tool without arguments gets no more than that.
            if block["input"].as_object().is_some_and(|input| !input.is_empty()) {
                let input = block["input"].to_string();
                deltas.extend(pieces(&input, "input_json_delta", "partial_json"));
            }
            deltas
        }
        _ => Vec::new(),
    }
}
