//! Answers, streams and errors of Google's `generateContent`, for scripts.
//!
//! Shapes: <https://ai.google.dev/api/generate-content>. A stream is made from the whole
//! answer it says: text comes in pieces, everything else whole, as Google sends it.

use serde_json::{Value, json};

use crate::provider::Asked;
use crate::script::Script;

/// Characters of a piece of text.
const PIECE: usize = 5;

/// A whole answer with these parts.
pub fn answer(parts: &[Value], finish_reason: &str, usage: &Value) -> Value {
    json!({
        "candidates": [{ "content": { "role": "model", "parts": parts },
                         "finishReason": finish_reason, "index": 0 }],
        "usageMetadata": usage, "modelVersion": "scripted-gemini", "responseId": "scripted",
    })
}

/// `answer`, streamed or whole as it was asked for.
pub fn respond(asked: &Asked, answer: &Value) -> Script {
    if !asked.path.contains(":streamGenerateContent") {
        return Script::json(200, answer);
    }
    let head = Script::sse();
    let event = |chunk: Value| format!("data: {chunk}\r\n\r\n");
    chunks(answer).into_iter().fold(head, |script, chunk| script.bytes(event(chunk)))
}

/// Google's error body.
pub fn error(code: u16, status: &str, message: &str) -> Value {
    json!({ "error": { "code": code, "message": message, "status": status } })
}

/// The last one says why it ended.
fn chunks(answer: &Value) -> Vec<Value> {
    let candidate = &answer["candidates"][0];
    let parts = candidate["content"]["parts"].as_array().into_iter().flatten();
    let mut chunks: Vec<Value> = parts
        .flat_map(split)
        .map(|part| {
            let mut chunk = answer.clone();
            chunk["candidates"] =
                json!([{ "content": { "role": "model", "parts": [part] }, "index": 0 }]);
            chunk
        })
        .collect();
    let mut last = answer.clone();
    last["candidates"] = json!([{ "content": { "role": "model", "parts": [{ "text": "" }] },
                                  "finishReason": candidate["finishReason"], "index": 0 }]);
    chunks.push(last);
    chunks
}

fn split(part: &Value) -> Vec<Value> {
    let Some(text) = part["text"].as_str() else { return vec![part.clone()] };
    let characters: Vec<char> = text.chars().collect();
    let piece = |piece: &[char]| {
        let mut part = part.clone();
        part["text"] = json!(piece.iter().collect::<String>());
        part
    };
    characters.chunks(PIECE).map(piece).collect()
}
