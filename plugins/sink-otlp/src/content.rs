//! What was asked and answered, as the conventions lay it out: messages of parts.
//!
//! `gen_ai.input.messages`, `gen_ai.output.messages` and `gen_ai.system_instructions` are JSON
//! text in the schemas of <https://github.com/open-telemetry/semantic-conventions-genai>
//! (`docs/gen-ai/gen-ai-{input,output}-messages.json`). Bytes of media are never in them, only
//! what they were. A text longer than [`MOST_BYTES`] is left out whole and counted as dropped.

use serde_json::{Value, json};
use torana_plugin_sdk::chat::{Block, MediaKind, MediaSource, Message, Request, Response, Role};
use torana_plugin_sdk::wire::{anthropic, completions, openai, responses};

/// Of one attribute: a batch of 500 stays below the 20 MiB that receivers should take, but for
/// the longest conversations, which then go in smaller batches.
const MOST_BYTES: usize = 256 << 10;

/// The chat payload of a client's body; none for what is no chat, or cannot be read.
pub(crate) fn request(dialect: &str, body: &str) -> Option<Request> {
    let body = body.as_bytes();
    let decoded = match dialect {
        openai::DIALECT => openai::request::decode(body),
        responses::DIALECT => responses::request::decode(body),
        anthropic::DIALECT => anthropic::request::decode(body),
        "openai-completions" => completions::request::decode(body),
        _ => return None,
    };
    decoded.ok()
}

/// Instructions that stand apart from the conversation, and the conversation. Anthropic's
/// dialect alone keeps them apart for certain.
pub(crate) fn split<'a>(dialect: &str, request: &'a Request) -> (&'a [Message], &'a [Message]) {
    let is_system = |message: &&Message| message.role == Role::System;
    let leading = request.messages.iter().take_while(is_system).count();
    let apart = if dialect == anthropic::DIALECT { leading } else { 0 };
    request.messages.split_at_checked(apart).unwrap_or_default()
}

pub(crate) fn instructions(messages: &[Message]) -> Value {
    messages.iter().flat_map(|message| message.blocks.iter().filter_map(part)).collect()
}

pub(crate) fn input(messages: &[Message]) -> Value {
    messages.iter().map(message).collect()
}

/// One message: the gateway asks for one answer at a time.
pub(crate) fn output(response: &Response) -> Value {
    let reason = response.finish_reason.clone().map(String::from);
    let reason = match reason.as_deref() {
        Some("tool_calls") => "tool_call",
        Some(reason) => reason,
        None => "error",
    };
    let parts: Value = response.blocks.iter().filter_map(part).collect();
    json!([{ "role": "assistant", "parts": parts, "finish_reason": reason }])
}

/// The text of an attribute; none where it would be too long.
pub(crate) fn text(value: &Value) -> Option<String> {
    Some(value.to_string()).filter(|text| text.len() <= MOST_BYTES)
}

fn message(message: &Message) -> Value {
    let role = match message.role {
        Role::System | Role::Developer => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let parts: Value = message.blocks.iter().filter_map(part).collect();
    match &message.name {
        Some(name) => json!({ "role": role, "parts": parts, "name": name }),
        None => json!({ "role": role, "parts": parts }),
    }
}

/// None for what carries no content.
fn part(block: &Block) -> Option<Value> {
    Some(match block {
        Block::Text { text, .. } => json!({ "type": "text", "content": text }),
        Block::Refusal { text } => json!({ "type": "refusal", "content": text }),
        Block::Reasoning { text, .. } if text.is_empty() => return None,
        Block::Reasoning { text, .. } => json!({ "type": "reasoning", "content": text }),
        Block::Media { kind, source, mime_type, .. } => media(*kind, source, mime_type.as_deref()),
        Block::ToolCall { id, name, arguments, .. } => json!({
            "type": "tool_call",
            "id": id,
            "name": name,
            "arguments": serde_json::from_str(arguments).unwrap_or_else(|_| json!(arguments)),
        }),
        Block::ToolResult { id, blocks, .. } => {
            json!({ "type": "tool_call_response", "id": id, "response": result(blocks) })
        }
        Block::Other { dialect, .. } => json!({ "type": "other", "dialect": dialect }),
    })
}

/// Text as it stands; anything else as parts.
fn result(blocks: &[Block]) -> Value {
    match blocks {
        [Block::Text { text, .. }] => json!(text),
        blocks => blocks.iter().filter_map(part).collect(),
    }
}

fn media(kind: MediaKind, source: &MediaSource, mime_type: Option<&str>) -> Value {
    let modality = match kind {
        MediaKind::Image => "image",
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
        MediaKind::File => "document",
    };
    match source {
        MediaSource::Url { url } => {
            json!({ "type": "uri", "modality": modality, "mime_type": mime_type, "uri": url })
        }
        MediaSource::Id { id } => {
            json!({ "type": "file", "modality": modality, "mime_type": mime_type, "file_id": id })
        }
        // Not a `blob`, which has to have its bytes.
        MediaSource::Inline { data } => json!({
            "type": "inline_media",
            "modality": modality,
            "mime_type": mime_type,
            "base64_length": data.len(),
        }),
    }
}
