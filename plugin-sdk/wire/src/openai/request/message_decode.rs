//! A client's messages to turns of the conversation.
//!
//! An assistant's turn becomes reasoning, content, refusal and tool calls, in this order.

use serde_json::{Map, Value};

use super::super::{FIELDS, MESSAGE_FIELDS, TOOL_CALL, details};
use super::decode::each;
use crate::DecodeError;
use crate::chat::{Block, Message, Role};
use crate::openai::part;
use crate::pointer::{Path, object, take_optional_string, take_string};

pub(super) fn decode_all(value: Value, path: &Path<'_>) -> Result<Vec<Message>, DecodeError> {
    each(value, path, decode)
}

fn decode(value: Value, path: &Path<'_>) -> Result<Message, DecodeError> {
    let mut fields = object(value, path)?;
    let role = role(take_string(&mut fields, "role", path)?, path)?;
    let name = take_optional_string(&mut fields, "name", path)?;
    let mut blocks = Vec::new();
    if role == Role::Assistant {
        reasoning(&mut fields, path, &mut blocks)?;
    }
    match fields.shift_remove("content") {
        None | Some(Value::Null) if role == Role::Assistant => {}
        None | Some(Value::Null) => {
            return Err(path.key("content").missing("a string or an array of parts"));
        }
        Some(value) => content(value, &path.key("content"), &mut blocks)?,
    }
    match role {
        Role::Assistant => {
            if let Some(text) = take_optional_string(&mut fields, "refusal", path)? {
                blocks.push(Block::Refusal { text });
            }
            if let Some(calls) = fields.shift_remove("tool_calls").filter(|calls| !calls.is_null())
            {
                for call in each(calls, &path.key("tool_calls"), tool_call)? {
                    blocks.extend(call);
                }
            }
        }
        Role::Tool => {
            let id = take_string(&mut fields, "tool_call_id", path)?;
            let result = std::mem::take(&mut blocks);
            blocks.push(Block::ToolResult { id, blocks: result, is_error: false, cache: None });
        }
        Role::System | Role::Developer | Role::User => {}
    }
    fields.retain(|key, value| !value.is_null() || key == "reasoning" || key == details::KEY);
    if !fields.is_empty() {
        let value = Value::Object(fields);
        blocks.push(Block::Other { dialect: MESSAGE_FIELDS.into(), value });
    }
    Ok(Message { role, blocks, name })
}

fn role(role: String, path: &Path<'_>) -> Result<Role, DecodeError> {
    Ok(match role.as_str() {
        "system" => Role::System,
        "developer" => Role::Developer,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        _ => {
            let expected = "system, developer, user, assistant or tool";
            return Err(path.key("role").mismatch(expected, &Value::String(role)));
        }
    })
}

/// Keeps, among the message's fields, under which names the reasoning came: a null
/// `reasoning` says that name and not the more common `reasoning_content`; a null
/// `reasoning_details` says the details alone. Text that says something else than the details
/// stays where it was.
fn reasoning(
    fields: &mut Map<String, Value>,
    path: &Path<'_>,
    blocks: &mut Vec<Block>,
) -> Result<(), DecodeError> {
    for key in ["reasoning", details::KEY] {
        if fields.get(key).is_some_and(Value::is_null) {
            fields.shift_remove(key);
        }
    }
    let (name, text) = match take_optional_string(fields, "reasoning_content", path)? {
        Some(text) => ("reasoning_content", Some(text)),
        None => ("reasoning", take_optional_string(fields, "reasoning", path)?),
    };
    let entries = match fields.get(details::KEY) {
        Some(Value::Array(entries)) if entries.iter().all(Value::is_object) => entries.clone(),
        _ => Vec::new(),
    };
    if entries.is_empty() {
        mark(fields, name, text.is_some());
        blocks.extend(text.map(Block::reasoning));
        return Ok(());
    }
    fields.shift_remove(details::KEY);
    let mut detailed = details::decode_all(entries);
    match text {
        None => {
            fields.insert(details::KEY.into(), Value::Null);
        }
        Some(text) if details::merge_text(&mut detailed, &text) => mark(fields, name, true),
        Some(text) => {
            fields.insert(name.into(), Value::String(text));
        }
    }
    blocks.extend(detailed);
    Ok(())
}

fn mark(fields: &mut Map<String, Value>, name: &str, is_used: bool) {
    if is_used && name == "reasoning" {
        fields.insert(name.into(), Value::Null);
    }
}

fn content(value: Value, path: &Path<'_>, blocks: &mut Vec<Block>) -> Result<(), DecodeError> {
    match value {
        Value::String(text) => blocks.push(Block::text(text)),
        Value::Array(parts) => {
            for (index, item) in parts.into_iter().enumerate() {
                part::decode(item, &path.index(index), blocks)?;
            }
        }
        other => return Err(path.mismatch("a string or an array of parts", &other)),
    }
    Ok(())
}

/// One block, or two when the call has fields of its own.
fn tool_call(value: Value, path: &Path<'_>) -> Result<Vec<Block>, DecodeError> {
    let mut call = object(value, path)?;
    if call.get("type").is_some_and(|kind| kind != "function" && !kind.is_null()) {
        let value = Value::Object(call);
        return Ok(vec![Block::Other { dialect: TOOL_CALL.into(), value }]);
    }
    call.shift_remove("type");
    let id = take_string(&mut call, "id", path)?;
    let inner_path = path.key("function");
    let mut function = match call.shift_remove("function") {
        None => return Err(inner_path.missing("an object")),
        Some(value) => object(value, &inner_path)?,
    };
    let name = take_string(&mut function, "name", &inner_path)?;
    let arguments = take_string(&mut function, "arguments", &inner_path)?;
    if !function.is_empty() {
        call.insert("function".into(), Value::Object(function));
    }
    let mut blocks = vec![Block::ToolCall { id, name, arguments, cache: None }];
    if !call.is_empty() {
        blocks.push(Block::Other { dialect: FIELDS.into(), value: Value::Object(call) });
    }
    Ok(blocks)
}
