//! A client's items to turns of the conversation.

use serde_json::{Map, Value};

use super::super::response::output::{
    ReasoningItem, ends_with_content, push_marker, push_reasoning, whole,
};
use super::super::{part, reasoning};
use crate::DecodeError;
use crate::chat::{Block, Message, Role};
use crate::pointer::{Path, object, take_string};

/// The turns that `input` means, after those that stand before it.
pub(super) fn decode_all(
    value: Value,
    path: &Path<'_>,
    before: Vec<Message>,
) -> Result<Vec<Message>, DecodeError> {
    let mut turns = Turns { messages: before, current: None };
    match value {
        Value::String(text) => turns.begin(Role::User).push(Block::text(text)),
        Value::Array(items) => {
            for (index, item) in items.into_iter().enumerate() {
                decode(item, &path.index(index), &mut turns)?;
            }
        }
        other => return Err(path.mismatch("a string or an array of items", &other)),
    }
    turns.end();
    Ok(turns.messages)
}

/// Turns of the conversation, the last of which may go on.
struct Turns {
    messages: Vec<Message>,
    current: Option<Message>,
}

impl Turns {
    fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.current.is_none()
    }

    fn begin(&mut self, role: Role) -> &mut Vec<Block> {
        self.end();
        self.go_on(role)
    }

    /// The turn at hand if it is this role's, or a new one.
    fn go_on(&mut self, role: Role) -> &mut Vec<Block> {
        if self.current.as_ref().is_some_and(|message| message.role != role) {
            self.end();
        }
        let new = || Message { role, blocks: Vec::new(), name: None };
        &mut self.current.get_or_insert_with(new).blocks
    }

    fn end(&mut self) {
        self.messages.extend(self.current.take());
    }
}

fn decode(item: Value, path: &Path<'_>, turns: &mut Turns) -> Result<(), DecodeError> {
    let mut fields = object(item, path)?;
    let kind = match fields.get("type") {
        None | Some(Value::Null) if fields.contains_key("role") => "message".to_owned(),
        None | Some(Value::Null) if fields.contains_key("id") => "item_reference".to_owned(),
        None | Some(Value::Null) => return Err(path.key("type").missing("a string")),
        Some(Value::String(kind)) => kind.clone(),
        Some(other) => return Err(path.key("type").mismatch("a string", other)),
    };
    fields.insert("type".into(), kind.as_str().into());
    match kind.as_str() {
        "message" => message(fields, path, turns),
        "reasoning" => reasoning_item(fields, path, turns.go_on(Role::Assistant)),
        "function_call" => call(fields, path, turns.go_on(Role::Assistant)),
        "function_call_output" => result(fields, path, turns.begin(Role::Tool)),
        kind => {
            turns.go_on(role_of(kind)).push(whole(fields));
            Ok(())
        }
    }
}

/// Whose turn an item belongs to that this dialect alone has. One that says something to the
/// model which cannot be told here, such as a reference, counts as the user's, so that no
/// other wire takes it for something that may be left out.
fn role_of(kind: &str) -> Role {
    const MODELS: [&str; 5] =
        ["compaction", "compaction_summary", "mcp_list_tools", "mcp_approval_request", "program"];
    match kind {
        kind if kind.ends_with("_call") || MODELS.contains(&kind) => Role::Assistant,
        kind if kind.ends_with("_output") => Role::Tool,
        _ => Role::User,
    }
}

fn message(
    mut fields: Map<String, Value>,
    path: &Path<'_>,
    turns: &mut Turns,
) -> Result<(), DecodeError> {
    fields.shift_remove("type");
    let role = match take_string(&mut fields, "role", path)?.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        "developer" => Role::Developer,
        other => {
            let found = Value::String(other.to_owned());
            let expected = "user, assistant, system or developer";
            return Err(path.key("role").mismatch(expected, &found));
        }
    };
    let content = fields.shift_remove("content").unwrap_or_default();
    fields.retain(|_, value| !value.is_null());
    // Without the marker it would be taken for `instructions`.
    let is_first_of_system = role == Role::System && turns.is_empty();
    let blocks = match role {
        Role::Assistant => turns.go_on(role),
        role => turns.begin(role),
    };
    push_marker(fields, is_first_of_system || ends_with_content(blocks), blocks);
    let path = path.key("content");
    match content {
        Value::String(text) => blocks.push(Block::text(text)),
        Value::Array(parts) => {
            for (index, value) in parts.into_iter().enumerate() {
                part::decode(value, &path.index(index), blocks)?;
            }
        }
        Value::Null => return Err(path.missing("a string or an array of parts")),
        other => return Err(path.mismatch("a string or an array of parts", &other)),
    }
    Ok(())
}

fn reasoning_item(
    fields: Map<String, Value>,
    path: &Path<'_>,
    blocks: &mut Vec<Block>,
) -> Result<(), DecodeError> {
    for key in ["summary", "content"] {
        check_texts(fields.get(key), &path.key(key))?;
    }
    if let Some(value) = fields.get("encrypted_content").filter(|blob| !blob.is_null())
        && !value.is_string()
    {
        return Err(path.key("encrypted_content").mismatch("a string", value));
    }
    let mut item = ReasoningItem::of(fields.clone());
    if item.is_empty() {
        blocks.push(whole(fields));
        return Ok(());
    }
    if let Some(status) = fields.get("status").filter(|status| !status.is_null()) {
        item.marker.insert("status".into(), status.clone());
    }
    push_reasoning(item, reasoning::opened, blocks);
    Ok(())
}

fn check_texts(parts: Option<&Value>, path: &Path<'_>) -> Result<(), DecodeError> {
    let items = match parts {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Array(items)) => items,
        Some(other) => return Err(path.mismatch("an array", other)),
    };
    for (index, item) in items.iter().enumerate() {
        let path = path.index(index);
        match item.get("text") {
            Some(Value::String(_)) => {}
            Some(other) => return Err(path.key("text").mismatch("a string", other)),
            None if item.is_object() => return Err(path.key("text").missing("a string")),
            None => return Err(path.mismatch("an object", item)),
        }
    }
    Ok(())
}

fn call(
    mut fields: Map<String, Value>,
    path: &Path<'_>,
    blocks: &mut Vec<Block>,
) -> Result<(), DecodeError> {
    fields.shift_remove("type");
    let id = take_string(&mut fields, "call_id", path)?;
    let name = take_string(&mut fields, "name", path)?;
    let arguments = take_string(&mut fields, "arguments", path)?;
    fields.retain(|_, value| !value.is_null());
    push_marker(fields, false, blocks);
    blocks.push(Block::ToolCall { id, name, arguments, cache: None });
    Ok(())
}

fn result(
    mut fields: Map<String, Value>,
    path: &Path<'_>,
    blocks: &mut Vec<Block>,
) -> Result<(), DecodeError> {
    fields.shift_remove("type");
    let id = take_string(&mut fields, "call_id", path)?;
    let mut content = Vec::new();
    let output_path = path.key("output");
    match fields.shift_remove("output").unwrap_or_default() {
        Value::String(text) => content.push(Block::text(text)),
        Value::Array(parts) => {
            for (index, value) in parts.into_iter().enumerate() {
                part::decode(value, &output_path.index(index), &mut content)?;
            }
        }
        Value::Null => return Err(output_path.missing("a string or an array of parts")),
        other => return Err(output_path.mismatch("a string or an array of parts", &other)),
    }
    fields.retain(|_, value| !value.is_null());
    push_marker(fields, false, blocks);
    blocks.push(Block::ToolResult { id, blocks: content, is_error: false, cache: None });
    Ok(())
}
