//! The events of one stream as SSE bytes.
//!
//! Each event has its name twice, as Anthropic writes it: clients go by the `event` field.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::anthropic::response::Shape;
use crate::anthropic::sealed;

/// A piece of a block.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece {
    Text(String),
    Thinking(String),
    Signature { text: String, dialect: String },
    Arguments(String),
    Citation(Value),
}

impl Piece {
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Text(text) | Self::Thinking(text) | Self::Arguments(text) => text.len(),
            Self::Signature { text, dialect } => text.len().saturating_add(dialect.len()),
            Self::Citation(value) => value.to_string().len(),
        }
    }
}

/// `event: <name>` with its data.
pub(super) fn event(name: &str, data: &impl Serialize, out: &mut Vec<u8>) {
    out.extend(b"event: ");
    out.extend(name.as_bytes());
    out.extend(b"\ndata: ");
    json_to(data, out);
    out.extend(b"\n\n");
}

/// `content_block_start`. `fields` are written into the block unless it has them.
pub(super) fn start(
    index: u32,
    mut block: Value,
    fields: Option<Map<String, Value>>,
    out: &mut Vec<u8>,
) {
    if let Some(block) = block.as_object_mut() {
        for (key, value) in fields.into_iter().flatten() {
            block.entry(key).or_insert(value);
        }
    }
    let data = json!({"type": "content_block_start", "index": index, "content_block": block});
    event("content_block_start", &data, out);
}

/// `content_block_delta`; nothing for an empty text.
pub(super) fn delta(index: u32, kind: &str, key: &str, value: &impl Serialize, out: &mut Vec<u8>) {
    out.extend(b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":");
    json_to(&index, out);
    out.extend(b",\"delta\":{\"type\":\"");
    out.extend(kind.as_bytes());
    out.extend(b"\",\"");
    out.extend(key.as_bytes());
    out.extend(b"\":");
    json_to(value, out);
    out.extend(b"}}\n\n");
}

pub(super) fn stop(index: u32, out: &mut Vec<u8>) {
    let data = json!({"type": "content_block_stop", "index": index});
    event("content_block_stop", &data, out);
}

/// What a block that is there whole begins with, and the pieces that follow.
pub(super) fn taken_apart(shape: Shape<'_>) -> (Value, Vec<Piece>) {
    match shape {
        Shape::Whole(value) => (value.into_owned(), Vec::new()),
        Shape::Text { text, citations } => {
            let citations = citations.into_iter().cloned().map(Piece::Citation);
            let pieces = std::iter::once(Piece::Text(text.to_owned())).chain(citations).collect();
            (empty_text(), pieces)
        }
        Shape::Thinking { text, signature } => {
            // The shape's signature is sealed already: it counts as Anthropic's.
            let text = Piece::Thinking(text.to_owned());
            let signature = signature.into_owned();
            let pieces = vec![text, Piece::Signature { text: signature, dialect: String::new() }];
            (empty_thinking(), pieces)
        }
        Shape::ToolUse { id, name, arguments } => {
            (empty_tool_use(id, name), vec![Piece::Arguments(arguments.to_owned())])
        }
    }
}

pub(super) fn empty_text() -> Value {
    json!({"type": "text", "text": ""})
}

pub(super) fn empty_thinking() -> Value {
    json!({"type": "thinking", "thinking": "", "signature": ""})
}

pub(super) fn empty_tool_use(id: &str, name: &str) -> Value {
    json!({"type": "tool_use", "id": id, "name": name, "input": {}})
}

/// The signature of a thinking block, in one piece: clients replace, they do not append.
pub(super) fn signature(index: u32, gathered: Option<&(String, String)>, out: &mut Vec<u8>) {
    match gathered {
        Some((text, dialect)) => {
            let dialect = Some(dialect.as_str()).filter(|dialect| !dialect.is_empty());
            let text = sealed::single(dialect, text);
            delta(index, "signature_delta", "signature", &text, out);
        }
        None => delta(index, "signature_delta", "signature", &sealed::unsigned(), out),
    }
}

/// Into memory, and of types that always have a JSON form: there is nothing that can fail.
fn json_to(value: &impl Serialize, out: &mut Vec<u8>) {
    let start = out.len();
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(start);
        out.extend(b"null");
    }
}
