//! AWS's wires, for scripts: answers and streams of Bedrock's Converse, answers of InvokeModel
//! for embeddings, event-stream messages, errors. SageMaker's streams are such messages too,
//! with the container's own bytes in them.
//!
//! Shapes: "Amazon Bedrock Runtime" and "Event stream encoding" in Amazon's documentation. A
//! stream is made from the whole answer it says, so that both cannot differ.

use serde_json::{Value, json};

use crate::provider::Asked;
use crate::script::Script;

const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";

/// Characters of a delta.
const PIECE: usize = 5;

/// Lengths and checksums around headers and payload.
const FRAME_BYTES: usize = 16;

/// The type of a header whose value is a string.
const STRING: u8 = 7;

/// A whole answer with these content blocks.
pub fn answer(content: &[Value], stop_reason: &str, usage: &Value) -> Value {
    json!({
        "output": { "message": { "role": "assistant", "content": content } },
        "stopReason": stop_reason, "usage": usage, "metrics": { "latencyMs": 12 },
    })
}

/// `answer`, streamed or whole as it was asked for.
pub fn respond(asked: &Asked, answer: &Value) -> Script {
    if asked.path.ends_with("/converse-stream") {
        return stream(&events(answer));
    }
    Script::json(200, answer).header("x-amzn-requestid", "scripted-request")
}

/// A stream of messages, each in a write of its own.
pub fn stream(messages: &[Vec<u8>]) -> Script {
    let head = Script::stream(CONTENT_TYPE).header("x-amzn-requestid", "scripted-request");
    messages.iter().fold(head, |script, message| script.bytes(message.clone()))
}

/// An event of this type.
pub fn event(kind: &str, payload: &[u8]) -> Vec<u8> {
    let headers = [(":event-type", kind), (":message-type", "event")];
    message(&headers, payload)
}

/// A failure of AWS: its name stands in a header.
pub fn error(status: u16, exception: &str, body: &Value) -> Script {
    let name = format!("{exception}:http://internal.amazon.com/");
    Script::json(status, body).header("x-amzn-errortype", &name)
}

/// The messages that say `answer`, in order.
fn events(answer: &Value) -> Vec<Vec<u8>> {
    let event = |kind: &str, payload: Value| event(kind, payload.to_string().as_bytes());
    let mut events = vec![event("messageStart", json!({ "role": "assistant" }))];
    let content = answer["output"]["message"]["content"].as_array();
    for (index, block) in content.into_iter().flatten().enumerate() {
        if let Some(call) = block["toolUse"].as_object() {
            let start =
                json!({ "toolUse": { "toolUseId": call["toolUseId"], "name": call["name"] } });
            let start = json!({ "contentBlockIndex": index, "start": start });
            events.push(event("contentBlockStart", start));
        }
        for delta in deltas(block) {
            let delta = json!({ "contentBlockIndex": index, "delta": delta, "p": "abcdef" });
            events.push(event("contentBlockDelta", delta));
        }
        events.push(event("contentBlockStop", json!({ "contentBlockIndex": index })));
    }
    events.push(event("messageStop", json!({ "stopReason": answer["stopReason"] })));
    let metadata = json!({ "usage": answer["usage"], "metrics": answer["metrics"] });
    events.push(event("metadata", metadata));
    events
}

fn deltas(block: &Value) -> Vec<Value> {
    if let Some(text) = block["text"].as_str() {
        return pieces(text).map(|piece| json!({ "text": piece })).collect();
    }
    if block["toolUse"].is_object() {
        let input = block["toolUse"]["input"].to_string();
        return pieces(&input).map(|piece| json!({ "toolUse": { "input": piece } })).collect();
    }
    let reasoning = &block["reasoningContent"]["reasoningText"];
    let text = reasoning["text"].as_str().unwrap_or_default();
    let delta = |delta: Value| json!({ "reasoningContent": delta });
    let texts = pieces(text).map(|piece| delta(json!({ "text": piece })));
    let signature = reasoning["signature"].as_str();
    texts.chain(signature.map(|signature| delta(json!({ "signature": signature })))).collect()
}

fn pieces(text: &str) -> impl Iterator<Item = String> {
    let characters: Vec<char> = text.chars().collect();
    let pieces: Vec<String> = characters.chunks(PIECE).map(|it| it.iter().collect()).collect();
    pieces.into_iter()
}

fn message(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let length = |bytes: usize| u32::try_from(bytes).expect("small").to_be_bytes();
    let mut head = Vec::new();
    for (name, value) in headers {
        head.push(u8::try_from(name.len()).expect("a short name"));
        head.extend(name.as_bytes());
        head.push(STRING);
        head.extend(u16::try_from(value.len()).expect("a short value").to_be_bytes());
        head.extend(value.as_bytes());
    }
    let mut message = Vec::new();
    message.extend(length(FRAME_BYTES + head.len() + payload.len()));
    message.extend(length(head.len()));
    message.extend(crc32fast::hash(&message).to_be_bytes());
    message.extend(head);
    message.extend(payload);
    message.extend(crc32fast::hash(&message).to_be_bytes());
    message
}
