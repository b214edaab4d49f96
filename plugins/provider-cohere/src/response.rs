//! Whole answers of `/v2/chat`.
//!
//! `tool_plan` is reasoning, and comes before what it plans. Citations belong to the text that
//! they cite; where there is none they are kept beside the answer. Cohere does not name the
//! model: it is the one that was asked.

use serde_json::{Map, Value};
use torana_plugin_sdk::chat::{Block, Response, Usage};
use torana_plugin_sdk::{CallError, CallErrorKind};

use crate::usage::WireUsage;
use crate::{DIALECT, finish};

/// The response that a body means.
///
/// # Errors
///
/// `MalformedResponse` for a body that has no message; the failure that the finish reason
/// stands for.
pub(crate) fn decode(body: &[u8], model: &str) -> Result<Response, CallError> {
    let mut fields: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|error| malformed(format!("the body is not a JSON object: {error}")))?;
    let Some(Value::Object(message)) = fields.shift_remove("message") else {
        return Err(malformed("the body has no message".into()));
    };
    let usage = fields.shift_remove("usage").filter(|usage| !usage.is_null());
    let usage: Option<WireUsage> = usage
        .map(serde_json::from_value)
        .transpose()
        .map_err(|error| malformed(format!("usage is not understood: {error}")))?;
    let reason = take_text(&mut fields, "finish_reason");
    let words = take_text(&mut fields, "error");
    let finish_reason =
        reason.map(|reason| finish::decode(&reason, words.as_deref())).transpose()?;
    let id = take_text(&mut fields, "id").unwrap_or_default();
    fields.retain(|_, value| !value.is_null());
    fields.extend(usage.iter().flat_map(WireUsage::extra));
    let blocks = blocks(message, &mut fields);
    Ok(Response {
        id,
        model: model.into(),
        blocks,
        finish_reason,
        usage: usage.as_ref().map(Usage::from),
        extra: fields,
    })
}

/// The arguments of a call, which of a function without parameters are empty or `null`.
pub(crate) fn arguments(text: &str) -> &str {
    match text.trim() {
        "" | "null" => "{}",
        _ => text,
    }
}

fn blocks(mut message: Map<String, Value>, fields: &mut Map<String, Value>) -> Vec<Block> {
    let mut blocks = Vec::new();
    if let Some(plan) = take_text(&mut message, "tool_plan").filter(|plan| !plan.is_empty()) {
        blocks.push(Block::reasoning(plan));
    }
    let first = blocks.len();
    match message.shift_remove("content") {
        Some(Value::Array(parts)) => blocks.extend(parts.into_iter().map(part)),
        Some(Value::String(text)) if !text.is_empty() => blocks.push(Block::text(text)),
        _ => {}
    }
    if let Some(Value::Array(citations)) = message.shift_remove("citations") {
        let content = blocks.get_mut(first..).unwrap_or_default();
        citations.into_iter().for_each(|citation| cite(citation, content, fields));
    }
    if let Some(Value::Array(calls)) = message.shift_remove("tool_calls") {
        blocks.extend(calls.into_iter().map(call));
    }
    blocks
}

fn part(value: Value) -> Block {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    match text("type") {
        "text" => Block::text(text("text")),
        "thinking" => Block::reasoning(text("thinking")),
        _ => Block::Other { dialect: DIALECT.into(), value },
    }
}

/// `content_index` counts parts of the content.
fn cite(citation: Value, content: &mut [Block], fields: &mut Map<String, Value>) {
    let index = citation.get("content_index").and_then(Value::as_u64);
    let index = index.and_then(|index| usize::try_from(index).ok());
    let is_text = |block: &Block| matches!(block, Block::Text { .. });
    let position = index
        .filter(|index| content.get(*index).is_some_and(is_text))
        .or_else(|| content.iter().position(is_text));
    let extra = match position.and_then(|position| content.get_mut(position)) {
        Some(Block::Text { extra, .. }) => extra,
        _ => fields,
    };
    let citations = extra.entry("citations").or_insert_with(|| Value::Array(Vec::new()));
    if let Some(citations) = citations.as_array_mut() {
        citations.push(citation);
    }
}

fn call(value: Value) -> Block {
    let Some(function) = value.get("function") else {
        return Block::Other { dialect: DIALECT.into(), value };
    };
    let text = |value: &Value, key: &str| {
        value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    Block::ToolCall {
        id: text(&value, "id"),
        name: text(function, "name"),
        arguments: arguments(&text(function, "arguments")).to_owned(),
        cache: None,
    }
}

fn take_text(fields: &mut Map<String, Value>, key: &str) -> Option<String> {
    match fields.shift_remove(key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

fn malformed(message: String) -> CallError {
    CallError::new(CallErrorKind::MalformedResponse, message)
}
