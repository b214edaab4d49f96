//! Turns of the conversation to items.
//!
//! Content of a turn is one message, divided where an item begins or a call, a result or
//! reasoning stands between. Reasoning goes out if this wire made it: with the blob that
//! proves it, or under the id that the provider gave it. Anything else would be refused as
//! unknown, and there is no place for reasoning of others.

use serde_json::{Map, Value, json};

use super::super::item::is_generated;
use super::super::part::{self, Side};
use super::super::{DIALECT, ITEM_FIELDS, REASONING_TEXT, reasoning};
use crate::chat::{Block, Message, Role};
use crate::encoded::{Dropped, unsupported};
use crate::error::CallError;

/// The items of a conversation.
pub(super) fn encode_all(
    messages: &[Message],
    dropped: &mut Dropped,
) -> Result<Vec<Value>, CallError> {
    let mut items = Vec::with_capacity(messages.len());
    for message in messages {
        dropped.note_if(message.name.is_some(), "name");
        let mut turn =
            Turn { role: message.role, items, fields: None, gathered: Gathered::Nothing };
        for (position, block) in message.blocks.iter().enumerate() {
            turn.block(block, message.blocks.get(position + 1), dropped)?;
        }
        turn.flush();
        items = turn.items;
    }
    Ok(items)
}

type Fields<'a> = Option<&'a Map<String, Value>>;

/// One turn on its way out.
struct Turn<'a> {
    role: Role,
    items: Vec<Value>,
    /// Fields of the item that begins next.
    fields: Fields<'a>,
    gathered: Gathered<'a>,
}

/// The item that further blocks may belong to.
enum Gathered<'a> {
    Nothing,
    Message {
        fields: Fields<'a>,
        parts: Vec<Value>,
    },
    Reasoning {
        fields: Fields<'a>,
        /// Under `summary` and under `content`.
        parts: (Vec<Value>, Vec<Value>),
        /// Parts go under `content` now.
        as_text: bool,
        blob: Option<&'a str>,
    },
}

impl<'a> Turn<'a> {
    fn block(
        &mut self,
        block: &'a Block,
        next: Option<&'a Block>,
        dropped: &mut Dropped,
    ) -> Result<(), CallError> {
        match block {
            Block::Other { dialect, value } if dialect == ITEM_FIELDS => self.mark(value),
            Block::Other { dialect, value } if dialect == DIALECT => {
                self.flush();
                self.fields = None;
                self.items.push(value.clone());
            }
            Block::Reasoning { .. } if self.role == Role::Assistant => self.reasoning(block),
            Block::Reasoning { .. } => {}
            Block::ToolCall { id, name, arguments, cache } => {
                dropped.note_if(cache.is_some(), "cache_control");
                let call = json!({"type": "function_call", "call_id": id, "name": name,
                    "arguments": arguments});
                self.item(call);
            }
            Block::ToolResult { id, blocks, cache, is_error } => {
                dropped.note_if(cache.is_some(), "cache_control");
                dropped.note_if(*is_error, "is_error");
                let output = output(blocks, dropped)?;
                self.item(json!({"type": "function_call_output", "call_id": id, "output": output}));
            }
            block => {
                let side = match self.role {
                    Role::Assistant => Side::Output,
                    _ => Side::Input,
                };
                match part::encode(block, next, side, dropped)? {
                    Some(part) => self.content(part),
                    None => foreign(block, side)?,
                }
            }
        }
        Ok(())
    }

    /// The next block begins an item, unless the marker is that of the other half of the same
    /// reasoning.
    fn mark(&mut self, value: &'a Value) {
        let marker = value.as_object();
        if let Gathered::Reasoning { fields, as_text, blob: None, .. } = &mut self.gathered
            && !*as_text
            && is_text(marker)
            && id(*fields) == id(marker)
        {
            *as_text = true;
            return;
        }
        self.flush();
        self.fields = marker;
    }

    fn content(&mut self, part: Value) {
        if let (Gathered::Message { parts, .. }, None) = (&mut self.gathered, self.fields) {
            parts.push(part);
            return;
        }
        self.flush();
        self.gathered = Gathered::Message { fields: self.fields.take(), parts: vec![part] };
    }

    fn reasoning(&mut self, block: &'a Block) {
        let Block::Reasoning { text, signature, encrypted, dialect } = block else {
            return;
        };
        let is_open = matches!(self.gathered, Gathered::Reasoning { blob: None, .. });
        if !is_open || self.fields.is_some() {
            self.flush();
            let fields = self.fields.take();
            let (parts, as_text) = ((Vec::new(), Vec::new()), is_text(fields));
            self.gathered = Gathered::Reasoning { fields, parts, as_text, blob: None };
        }
        if !reasoning::is_own(dialect.as_deref()) {
            self.gathered = Gathered::Nothing;
            return;
        }
        let Gathered::Reasoning { parts, as_text, blob, .. } = &mut self.gathered else {
            return;
        };
        match *as_text {
            _ if text.is_empty() => {}
            true => parts.1.push(json!({"type": "reasoning_text", "text": text})),
            false => parts.0.push(json!({"type": "summary_text", "text": text})),
        }
        *blob = encrypted.as_deref().or(signature.as_deref());
    }

    fn item(&mut self, item: Value) {
        self.flush();
        let item = with_fields(item, self.fields.take());
        self.items.push(item);
    }

    fn flush(&mut self) {
        match std::mem::replace(&mut self.gathered, Gathered::Nothing) {
            Gathered::Nothing => {}
            Gathered::Message { fields, parts } => {
                let content = content(parts, self.role, fields);
                let role = match self.role {
                    Role::System => "system",
                    Role::Developer => "developer",
                    Role::Assistant => "assistant",
                    // Anything but a result in a tool's turn can only be said by the user.
                    Role::User | Role::Tool => "user",
                };
                let item = json!({"type": "message", "role": role, "content": content});
                self.items.push(with_fields(item, fields));
            }
            Gathered::Reasoning { fields, parts: (summary, text), blob, .. } => {
                let is_providers = fields.is_some() && !id(fields).is_some_and(is_generated);
                if blob.is_none() && !is_providers {
                    return;
                }
                let mut item = json!({"type": "reasoning", "summary": summary});
                if let Some(item) = item.as_object_mut() {
                    if !text.is_empty() {
                        item.insert("content".into(), text.into());
                    }
                    if let Some(blob) = blob {
                        item.insert("encrypted_content".into(), blob.into());
                    }
                }
                self.items.push(with_fields(item, fields));
            }
        }
    }
}

fn id<'a>(fields: Fields<'a>) -> Option<&'a str> {
    fields.and_then(|fields| fields.get("id")).and_then(Value::as_str)
}

fn is_text(fields: Fields<'_>) -> bool {
    fields.is_some_and(|fields| fields.get(REASONING_TEXT) == Some(&Value::Bool(true)))
}

/// Adds what the item has beyond its content. Ids that the gateway made up stay here.
fn with_fields(mut item: Value, fields: Fields<'_>) -> Value {
    if let Value::Object(item) = &mut item {
        for (key, value) in fields.into_iter().flatten() {
            let is_ours = key == "id" && value.as_str().is_some_and(is_generated);
            if !is_ours && key != REASONING_TEXT {
                item.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
    }
    item
}

/// A single plain text as a string, unless it stands in a message of the model with an id,
/// which has parts.
fn content(mut parts: Vec<Value>, role: Role, fields: Fields<'_>) -> Value {
    let keys = if role == Role::Assistant { 3 } else { 2 };
    let is_plain = |part: &Value| {
        let annotations = part.get("annotations").and_then(Value::as_array);
        part.get("text").is_some()
            && part.as_object().is_some_and(|part| part.len() == keys)
            && annotations.is_none_or(Vec::is_empty)
    };
    let has_id = role == Role::Assistant && id(fields).is_some_and(|id| !is_generated(id));
    match parts.as_mut_slice() {
        [part] if !has_id && is_plain(part) => {
            part.get_mut("text").map(Value::take).unwrap_or_default()
        }
        _ => parts.into(),
    }
}

/// `output` of a result: text, or parts.
fn output(blocks: &[Block], dropped: &mut Dropped) -> Result<Value, CallError> {
    let mut parts = Vec::with_capacity(blocks.len());
    for (position, block) in blocks.iter().enumerate() {
        match part::encode(block, blocks.get(position + 1), Side::Input, dropped)? {
            Some(part) => parts.push(part),
            None => foreign(block, Side::Input)?,
        }
    }
    if parts.is_empty() {
        return Ok("".into());
    }
    Ok(content(parts, Role::Tool, None))
}

/// What no part can be made of. Of the model's own turn it may be left out: it is what a
/// provider's tools did, told in the text as well. Of what it is asked it may not.
fn foreign(block: &Block, side: Side) -> Result<(), CallError> {
    match block {
        Block::Other { dialect, .. } if side == Side::Input && !dialect.ends_with("-fields") => {
            Err(unsupported(&format!("a content block of {dialect}")))
        }
        _ => Ok(()),
    }
}
