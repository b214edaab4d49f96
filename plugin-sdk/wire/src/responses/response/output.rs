//! Items of a provider's answer to blocks.

use serde_json::{Map, Value, json};

use super::super::{DIALECT, ITEM_FIELDS, PART, REASONING_TEXT, part, reasoning};
use crate::chat::Block;

/// Appends what an item means. One that is no object says nothing.
pub(in crate::responses) fn item(item: Value, blocks: &mut Vec<Block>) {
    let Value::Object(fields) = item else {
        return;
    };
    match fields.get("type").and_then(Value::as_str).unwrap_or_default() {
        "message" => message(fields, blocks),
        "reasoning" => reasoning_item(fields, blocks),
        "function_call" => {
            let (marker, call) = call(fields);
            push_marker(marker, false, blocks);
            blocks.push(call);
        }
        _ => blocks.push(whole(fields)),
    }
}

/// An item as it stood.
pub(in crate::responses) fn whole(fields: Map<String, Value>) -> Block {
    Block::Other { dialect: DIALECT.into(), value: Value::Object(fields) }
}

/// What is to be said of a message before its content.
pub(in crate::responses) fn message_marker(mut fields: Map<String, Value>) -> Map<String, Value> {
    for known in ["type", "role", "content", "status"] {
        fields.shift_remove(known);
    }
    without_nulls(fields)
}

/// What is to be said of a function call before it, and the call.
pub(in crate::responses) fn call(mut fields: Map<String, Value>) -> (Map<String, Value>, Block) {
    let name = take_text(&mut fields, "name");
    let id = take_text(&mut fields, "call_id");
    let own_id = || fields.get("id").and_then(Value::as_str).map(str::to_owned);
    let id = if id.is_empty() { own_id().unwrap_or_default() } else { id };
    let arguments = match fields.shift_remove("arguments") {
        Some(Value::String(text)) => text,
        None | Some(Value::Null) => String::new(),
        Some(value) => value.to_string(),
    };
    for known in ["type", "status"] {
        fields.shift_remove(known);
    }
    (without_nulls(fields), Block::ToolCall { id, name, arguments, cache: None })
}

/// What is to be said of reasoning before it, with the parts of it and the blob.
pub(in crate::responses) struct ReasoningItem {
    pub(in crate::responses) marker: Map<String, Value>,
    pub(in crate::responses) summary: Vec<String>,
    pub(in crate::responses) text: Vec<String>,
    pub(in crate::responses) blob: Option<String>,
}

impl ReasoningItem {
    pub(in crate::responses) fn of(mut fields: Map<String, Value>) -> Self {
        let summary = texts(fields.shift_remove("summary"));
        let text = texts(fields.shift_remove("content"));
        let blob = Some(take_text(&mut fields, "encrypted_content"));
        for known in ["type", "status", "encrypted_content"] {
            fields.shift_remove(known);
        }
        let blob = blob.filter(|blob| !blob.is_empty());
        Self { marker: without_nulls(fields), summary, text, blob }
    }

    /// There is nothing to be read and nothing to be sent back but the id.
    pub(in crate::responses) fn is_empty(&self) -> bool {
        self.summary.is_empty() && self.text.is_empty() && self.blob.is_none()
    }
}

/// The marker of reasoning that stands under `content`.
pub(in crate::responses) fn text_marker(marker: &Map<String, Value>) -> Map<String, Value> {
    let mut marker = marker.clone();
    marker.insert(REASONING_TEXT.into(), true.into());
    marker
}

/// A marker of an item's fields, if there are any or a boundary is to be seen.
pub(in crate::responses) fn push_marker(
    fields: Map<String, Value>,
    is_boundary: bool,
    blocks: &mut Vec<Block>,
) {
    if !fields.is_empty() || is_boundary {
        blocks.push(Block::Other { dialect: ITEM_FIELDS.into(), value: Value::Object(fields) });
    }
}

/// Content of a message would run together with what is there.
pub(in crate::responses) fn ends_with_content(blocks: &[Block]) -> bool {
    match blocks.last() {
        Some(Block::Text { .. } | Block::Refusal { .. } | Block::Media { .. }) => true,
        Some(Block::Other { dialect, .. }) => dialect == PART || dialect == super::super::FIELDS,
        _ => false,
    }
}

/// Reasoning would run together with what is there.
pub(in crate::responses) fn ends_with_reasoning(blocks: &[Block]) -> bool {
    matches!(blocks.last(), Some(Block::Reasoning { .. }))
}

/// One part of a message.
pub(in crate::responses) fn content_part(value: Value) -> Block {
    let Value::Object(mut fields) = value else {
        return Block::Other { dialect: PART.into(), value };
    };
    match fields.get("type").and_then(Value::as_str) {
        Some("output_text" | "text" | "input_text") => {
            fields.shift_remove("type");
            let text = take_text(&mut fields, "text");
            part::text_block(text, fields)
        }
        Some("refusal") => Block::Refusal { text: take_text(&mut fields, "refusal") },
        _ => Block::Other { dialect: PART.into(), value: Value::Object(fields) },
    }
}

fn message(mut fields: Map<String, Value>, blocks: &mut Vec<Block>) {
    let content = fields.shift_remove("content");
    push_marker(message_marker(fields), ends_with_content(blocks), blocks);
    match content {
        Some(Value::String(text)) => blocks.push(Block::text(text)),
        Some(Value::Array(parts)) => blocks.extend(parts.into_iter().map(content_part)),
        _ => {}
    }
}

fn reasoning_item(fields: Map<String, Value>, blocks: &mut Vec<Block>) {
    let item = ReasoningItem::of(fields.clone());
    if item.is_empty() {
        blocks.push(whole(fields));
        return;
    }
    push_reasoning(item, reasoning::own, blocks);
}

/// The blocks of one item: its summary, then its text, the last of them with the blob.
pub(in crate::responses) fn push_reasoning(
    item: ReasoningItem,
    block: impl Fn(String, Option<String>) -> Block,
    blocks: &mut Vec<Block>,
) {
    let ReasoningItem { marker, mut summary, mut text, mut blob } = item;
    // Nothing that can be read would not tell a signature from a blob.
    summary.retain(|part| !part.is_empty());
    text.retain(|part| !part.is_empty());
    if !text.is_empty() && !summary.is_empty() {
        push_marker(marker.clone(), ends_with_reasoning(blocks), blocks);
        blocks.extend(summary.drain(..).map(|part| block(part, None)));
        push_marker(text_marker(&marker), true, blocks);
    } else if !text.is_empty() {
        push_marker(text_marker(&marker), true, blocks);
    } else {
        push_marker(marker, ends_with_reasoning(blocks), blocks);
    }
    let mut parts: Vec<String> = summary.into_iter().chain(text).collect();
    let last = parts.pop().unwrap_or_default();
    blocks.extend(parts.into_iter().map(|part| block(part, None)));
    blocks.push(block(last, blob.take()));
}

fn texts(parts: Option<Value>) -> Vec<String> {
    let Some(Value::Array(parts)) = parts else {
        return Vec::new();
    };
    let text = |part: &Value| part.get("text").and_then(Value::as_str).map(str::to_owned);
    parts.iter().filter_map(text).filter(|text| !text.is_empty()).collect()
}

/// Removes a string; anything else stays where it is.
fn take_text(fields: &mut Map<String, Value>, key: &str) -> String {
    match fields.get_mut(key) {
        Some(Value::String(text)) => {
            let text = std::mem::take(text);
            fields.shift_remove(key);
            text
        }
        _ => String::new(),
    }
}

fn without_nulls(mut fields: Map<String, Value>) -> Map<String, Value> {
    fields.retain(|_, value| !value.is_null() && *value != json!(""));
    fields
}
