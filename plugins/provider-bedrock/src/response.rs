//! Whole answers of Converse.
//!
//! Converse gives neither an id nor the model's name: the id is that of the HTTP exchange,
//! the model the one that was asked. What has no field in the payload (metrics, a guardrail's
//! trace …) is kept under its own name.

use serde_json::{Map, Value};
use torana_plugin_sdk::chat::{Block, MediaKind, MediaSource, Response, Usage};
use torana_plugin_sdk::{CallError, CallErrorKind};

use crate::usage::WireUsage;
use crate::{DIALECT, finish};

/// The response that a body of Converse means.
///
/// # Errors
///
/// `MalformedResponse` for a body that has no message.
pub(crate) fn decode(body: &[u8], id: &str, model: &str) -> Result<Response, CallError> {
    let mut fields: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|error| malformed(format!("the body is not a JSON object: {error}")))?;
    let content = fields
        .shift_remove("output")
        .and_then(|mut output| output.get_mut("message")?.get_mut("content").map(Value::take));
    let Some(Value::Array(content)) = content else {
        return Err(malformed("the body has no message with an array of content".into()));
    };
    let usage = fields.shift_remove("usage").filter(|usage| !usage.is_null());
    let usage: Option<WireUsage> = usage
        .map(serde_json::from_value)
        .transpose()
        .map_err(|error| malformed(format!("usage is not understood: {error}")))?;
    let reason = take_text(&mut fields, "stopReason");
    fields.retain(|_, value| !value.is_null());
    Ok(Response {
        id: id.into(),
        model: model.into(),
        blocks: content.into_iter().map(block).collect(),
        finish_reason: reason.map(|reason| finish::decode(&reason)),
        usage: usage.map(Usage::from),
        extra: fields,
    })
}

/// A content block. One of a kind that the payload does not know is kept as it stands.
pub(crate) fn block(value: Value) -> Block {
    let Value::Object(fields) = &value else {
        return other(value);
    };
    let known = if let Some(text) = fields.get("text").and_then(Value::as_str) {
        Some(Block::text(text))
    } else if let Some(call) = fields.get("toolUse") {
        tool_call(call)
    } else if let Some(content) = fields.get("reasoningContent") {
        reasoning(content)
    } else if let Some(content) = fields.get("citationsContent") {
        Some(cited(content))
    } else if let Some(image) = fields.get("image") {
        media(image)
    } else {
        None
    };
    known.unwrap_or_else(|| other(value))
}

/// Reasoning that only the model can read, as base64.
pub(crate) fn redacted(data: String) -> Block {
    Block::Reasoning {
        text: String::new(),
        signature: None,
        encrypted: Some(data),
        dialect: Some(DIALECT.into()),
    }
}

fn other(value: Value) -> Block {
    Block::Other { dialect: DIALECT.into(), value }
}

/// A call with a `type` is one of a tool that Bedrock runs itself.
fn tool_call(call: &Value) -> Option<Block> {
    if call.get("type").is_some_and(|kind| !kind.is_null()) {
        return None;
    }
    let text = |key: &str| call.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    Some(Block::ToolCall {
        id: text("toolUseId"),
        name: text("name"),
        arguments: match call.get("input") {
            None | Some(Value::Null) => "{}".into(),
            Some(input) => input.to_string(),
        },
        cache: None,
    })
}

fn reasoning(content: &Value) -> Option<Block> {
    if let Some(data) = content.get("redactedContent").and_then(Value::as_str) {
        return Some(redacted(data.into()));
    }
    let inner = content.get("reasoningText")?;
    let signature = inner.get("signature").and_then(Value::as_str);
    Some(Block::Reasoning {
        text: inner.get("text").and_then(Value::as_str).unwrap_or_default().into(),
        signature: signature.filter(|text| !text.is_empty()).map(str::to_owned),
        encrypted: None,
        dialect: Some(DIALECT.into()),
    })
}

/// Text with the places it is taken from.
fn cited(content: &Value) -> Block {
    let parts = content.get("content").and_then(Value::as_array).into_iter().flatten();
    let text = parts.filter_map(|part| part.get("text")?.as_str()).collect();
    let citations = content.get("citations").filter(|citations| !citations.is_null());
    let extra = citations.map(|citations| ("citations".to_owned(), citations.clone()));
    Block::Text { text, cache: None, extra: extra.into_iter().collect() }
}

fn media(image: &Value) -> Option<Block> {
    let data = image.get("source")?.get("bytes")?.as_str()?;
    let format = image.get("format")?.as_str()?;
    Some(Block::Media {
        kind: MediaKind::Image,
        source: MediaSource::Inline { data: data.into() },
        mime_type: Some(format!("image/{format}")),
        filename: None,
        detail: None,
        cache: None,
    })
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
