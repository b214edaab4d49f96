//! A client's messages and system prompt to turns of the conversation.

use serde_json::{Map, Value};

use super::media::{self, Decoded};
use crate::DecodeError;
use crate::anthropic::field::{carrier, take_cache};
use crate::anthropic::response::take_citations;
use crate::anthropic::{DIALECT, FIELDS, MESSAGE_FIELDS, sealed};
use crate::chat::{Block, MediaKind, Message, Role};
use crate::pointer::{Path, array, boolean, object, string, take_optional_string, take_string};

/// `messages`: at least one.
pub(super) fn decode_all(value: Value, path: &Path<'_>) -> Result<Vec<Message>, DecodeError> {
    let items = array(value, path)?;
    if items.is_empty() {
        return Err(path.error("expected at least one message, found none".into()));
    }
    let mut messages = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        messages.push(message(item, &path.index(index))?);
    }
    Ok(messages)
}

/// `system`: the first turn, unless it says nothing.
pub(super) fn system(value: Value, path: &Path<'_>) -> Result<Option<Message>, DecodeError> {
    let blocks = content(value, path)?;
    Ok((!blocks.is_empty()).then_some(Message { role: Role::System, blocks, name: None }))
}

fn message(value: Value, path: &Path<'_>) -> Result<Message, DecodeError> {
    let mut fields = object(value, path)?;
    let stated = take_string(&mut fields, "role", path)?;
    let role = match stated.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        _ => return Err(path.key("role").mismatch("user or assistant", &Value::String(stated))),
    };
    let mut blocks = match fields.shift_remove("content") {
        // A turn that only changes the output's configuration has none.
        None if role == Role::System => Vec::new(),
        None | Some(Value::Null) => {
            return Err(path.key("content").missing("a string or an array of content blocks"));
        }
        Some(value) => content(value, &path.key("content"))?,
    };
    fields.retain(|_, value| !value.is_null());
    if role == Role::System {
        fields.insert("role".into(), stated.into());
    }
    if !fields.is_empty() {
        blocks.push(Block::Other { dialect: MESSAGE_FIELDS.into(), value: fields.into() });
    }
    Ok(Message { role, blocks, name: None })
}

fn content(value: Value, path: &Path<'_>) -> Result<Vec<Block>, DecodeError> {
    let mut blocks = Vec::new();
    match value {
        Value::String(text) if text.is_empty() => {}
        Value::String(text) => blocks.push(Block::text(text)),
        Value::Array(items) => {
            for (index, item) in items.into_iter().enumerate() {
                block(item, &path.index(index), &mut blocks)?;
            }
        }
        other => return Err(path.mismatch("a string or an array of content blocks", &other)),
    }
    Ok(blocks)
}

/// Appends what a content block means, after what it has beyond that. A block of another type
/// is kept as it stands.
fn block(value: Value, path: &Path<'_>, blocks: &mut Vec<Block>) -> Result<(), DecodeError> {
    let mut fields = object(value, path)?;
    let kind = take_string(&mut fields, "type", path)?;
    let decoded = match kind.as_str() {
        "text" => {
            let text = take_string(&mut fields, "text", path)?;
            let cache = take_cache(&mut fields);
            Block::Text { text, cache, extra: take_citations(&mut fields) }
        }
        "image" => return media_block(MediaKind::Image, kind, fields, path, blocks),
        "document" => return media_block(MediaKind::File, kind, fields, path, blocks),
        // Not Anthropic's: what this gateway gives of other models' answers.
        "audio" => return media_block(MediaKind::Audio, kind, fields, path, blocks),
        "video" => return media_block(MediaKind::Video, kind, fields, path, blocks),
        "tool_use" => tool_use(&mut fields, path)?,
        "tool_result" => tool_result(&mut fields, path)?,
        "thinking" => {
            let text = take_string(&mut fields, "thinking", path)?;
            let signature = take_optional_string(&mut fields, "signature", path)?;
            sealed::thinking(text, &signature.unwrap_or_default())
        }
        "redacted_thinking" => sealed::redacted(&take_string(&mut fields, "data", path)?),
        _ => {
            keep(kind, fields, blocks);
            return Ok(());
        }
    };
    blocks.extend(carrier(fields));
    blocks.push(decoded);
    Ok(())
}

/// A block of Anthropic's own, as it stood.
fn keep(kind: String, fields: Map<String, Value>, blocks: &mut Vec<Block>) {
    let whole: Map<_, _> =
        std::iter::once(("type".to_owned(), Value::String(kind))).chain(fields).collect();
    blocks.push(Block::Other { dialect: DIALECT.into(), value: whole.into() });
}

fn media_block(
    kind: MediaKind,
    name: String,
    mut fields: Map<String, Value>,
    path: &Path<'_>,
    blocks: &mut Vec<Block>,
) -> Result<(), DecodeError> {
    let mut rest = fields.clone();
    let cache = take_cache(&mut rest);
    match media::decode(kind, &mut rest, cache.clone(), path)? {
        Decoded::Media(block) => {
            blocks.extend(carrier(rest));
            blocks.push(block);
        }
        Decoded::Text(text) => {
            rest.retain(|_, value| !value.is_null());
            rest.insert("type".into(), name.into());
            blocks.push(Block::Other { dialect: FIELDS.into(), value: rest.into() });
            blocks.push(Block::Text { text, cache, extra: Map::new() });
        }
        Decoded::Foreign => {
            fields.retain(|_, value| !value.is_null());
            keep(name, fields, blocks);
        }
    }
    Ok(())
}

fn tool_use(fields: &mut Map<String, Value>, path: &Path<'_>) -> Result<Block, DecodeError> {
    let input = match fields.shift_remove("input") {
        None | Some(Value::Null) => return Err(path.key("input").missing("an object")),
        Some(value) => object(value, &path.key("input"))?,
    };
    Ok(Block::ToolCall {
        id: take_string(fields, "id", path)?,
        name: take_string(fields, "name", path)?,
        arguments: Value::Object(input).to_string(),
        cache: take_cache(fields),
    })
}

fn tool_result(fields: &mut Map<String, Value>, path: &Path<'_>) -> Result<Block, DecodeError> {
    let blocks = match fields.shift_remove("content") {
        None | Some(Value::Null) => Vec::new(),
        Some(value) => content(value, &path.key("content"))?,
    };
    let is_error = match fields.shift_remove("is_error") {
        None | Some(Value::Null) => false,
        Some(value) => boolean(&value, &path.key("is_error"))?,
    };
    let id = take_string(fields, "tool_use_id", path)?;
    Ok(Block::ToolResult { id, blocks, is_error, cache: take_cache(fields) })
}

/// `stop_sequences`.
pub(super) fn strings(value: Value, path: &Path<'_>) -> Result<Vec<String>, DecodeError> {
    let items = array(value, path)?.into_iter().enumerate();
    items.map(|(index, item)| string(item, &path.index(index))).collect()
}
