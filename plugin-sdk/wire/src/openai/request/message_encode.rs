//! Turns of the conversation to messages on the OpenAI wire.
//!
//! One turn gives one message, and one more for each tool result in it, which come first:
//! a result must follow the call at once. Signatures and encrypted reasoning have no place
//! on this wire and are left out, as are blocks of other dialects.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

use super::super::{MESSAGE_FIELDS, TOOL_CALL};
use crate::chat::{Block, Message, Role};
use crate::fields::Fields;
use crate::openai::part::{self, Part};
use crate::openai::text::joined;

#[derive(Serialize)]
pub(super) struct WireMessage<'a> {
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
    content: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<WireCall<'a>>,
    #[serde(flatten)]
    fields: Fields<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Null,
    Text(&'a str),
    Parts(Vec<Part<'a>>),
}

impl<'a> Content<'a> {
    fn of(blocks: &'a [Block]) -> Self {
        let mut parts: Vec<Part<'a>> = blocks
            .iter()
            .enumerate()
            .filter_map(|(position, block)| Part::of(block, blocks.get(position + 1)))
            .collect();
        match (parts.pop(), parts.is_empty()) {
            (None, _) => Self::Null,
            (Some(only), true) => match only.plain_text() {
                Some(text) => Self::Text(text),
                None => Self::Parts(vec![only]),
            },
            (Some(last), false) => {
                parts.push(last);
                Self::Parts(parts)
            }
        }
    }

    /// Where null is not allowed.
    fn or_empty(self) -> Self {
        match self {
            Self::Null => Self::Text(""),
            content => content,
        }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum WireCall<'a> {
    Function {
        id: &'a str,
        r#type: &'static str,
        function: WireCallFunction<'a>,
        #[serde(flatten)]
        fields: Fields<'a>,
    },
    Other(&'a Value),
}

#[derive(Serialize)]
struct WireCallFunction<'a> {
    name: &'a str,
    arguments: &'a str,
    #[serde(flatten)]
    fields: Fields<'a>,
}

pub(super) fn encode_all(messages: &[Message]) -> Vec<WireMessage<'_>> {
    let mut wire = Vec::with_capacity(messages.len());
    for message in messages {
        encode(message, &mut wire);
    }
    wire
}

fn encode<'a>(message: &'a Message, wire: &mut Vec<WireMessage<'a>>) {
    let blocks = &message.blocks;
    let fields = blocks.iter().rev().find_map(|block| match block {
        Block::Other { dialect, value } if dialect == MESSAGE_FIELDS => Some(value),
        _ => None,
    });
    let fields = Fields::of(fields);
    let start = wire.len();
    for block in blocks {
        if let Block::ToolResult { id, blocks, .. } = block {
            wire.push(WireMessage {
                tool_call_id: Some(id),
                name: message.name.as_deref(),
                ..WireMessage::new("tool", Content::of(blocks).or_empty())
            });
        }
    }
    let content = Content::of(blocks);
    let has_results = wire.len() > start;
    match message.role {
        Role::Assistant => wire.push(assistant(message, content, fields)),
        _ if has_results && matches!(content, Content::Null) => {
            if let Some(last) = wire.last_mut() {
                last.fields = fields;
            }
        }
        role => wire.push(WireMessage {
            name: message.name.as_deref(),
            fields,
            ..WireMessage::new(name_of(role), content.or_empty())
        }),
    }
}

const REASONING: &[&str] = &["reasoning"];
const NONE: &[&str] = &[];

fn name_of(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::Developer => "developer",
        Role::Assistant => "assistant",
        // Anything but a result in a tool's turn can only be said by the user.
        Role::User | Role::Tool => "user",
    }
}

fn assistant<'a>(
    message: &'a Message,
    content: Content<'a>,
    fields: Fields<'a>,
) -> WireMessage<'a> {
    let blocks = &message.blocks;
    let reasoning = joined(blocks, |block| match block {
        Block::Reasoning { text, .. } => Some(text),
        _ => None,
    });
    let refusal = joined(blocks, |block| match block {
        Block::Refusal { text } => Some(text),
        _ => None,
    });
    let tool_calls: Vec<WireCall<'a>> = blocks
        .iter()
        .enumerate()
        .filter_map(|(position, block)| WireCall::of(block, blocks.get(position + 1)))
        .collect();
    let content = match tool_calls.is_empty() && refusal.is_none() {
        true => content.or_empty(),
        false => content,
    };
    let (reasoning_content, reasoning, written) = match fields.get("reasoning") {
        Some(Value::Null) => (None, reasoning, REASONING),
        _ => (reasoning, None, NONE),
    };
    WireMessage {
        name: message.name.as_deref(),
        reasoning_content,
        reasoning,
        refusal,
        tool_calls,
        fields: fields.except(written),
        ..WireMessage::new("assistant", content)
    }
}

impl<'a> WireMessage<'a> {
    fn new(role: &'static str, content: Content<'a>) -> Self {
        Self {
            role,
            tool_call_id: None,
            content,
            name: None,
            reasoning_content: None,
            reasoning: None,
            refusal: None,
            tool_calls: Vec::new(),
            fields: Fields::default(),
        }
    }
}

impl<'a> WireCall<'a> {
    fn of(block: &'a Block, next: Option<&'a Block>) -> Option<Self> {
        match block {
            Block::ToolCall { id, name, arguments, .. } => {
                let fields = part::fields_of(next);
                let function =
                    WireCallFunction { name, arguments, fields: fields.nested("function") };
                let fields = fields.except(&["function"]);
                Some(Self::Function { id, r#type: "function", function, fields })
            }
            Block::Other { dialect, value } if dialect == TOOL_CALL => Some(Self::Other(value)),
            _ => None,
        }
    }
}
