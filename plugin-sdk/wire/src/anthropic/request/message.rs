//! Turns of the conversation to messages and system blocks.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::media;
use crate::anthropic::field::{carried, is_carrier, with_previous};
use crate::anthropic::{DIALECT, MESSAGE_FIELDS};
use crate::cache::CacheControl;
use crate::chat::{Block, Message, Role};
use crate::encoded::{Dropped, unsupported};
use crate::error::CallError;
use crate::fields::Fields;

/// The conversation as Anthropic wants it.
#[derive(Default)]
pub(super) struct Conversation<'a> {
    pub(super) system: Vec<Content<'a>>,
    pub(super) messages: Vec<WireMessage<'a>>,
}

#[derive(Serialize)]
pub(super) struct WireMessage<'a> {
    role: &'static str,
    content: Vec<Content<'a>>,
    #[serde(flatten)]
    fields: Fields<'a>,
    /// It has fields of its own and takes no other turn's content.
    #[serde(skip)]
    apart: bool,
}

/// A content block.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Content<'a> {
    Known {
        #[serde(flatten)]
        body: Body<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl<'a>>,
        #[serde(flatten)]
        fields: Fields<'a>,
    },
    Other(&'a Value),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Body<'a> {
    Text {
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        citations: Option<&'a Value>,
    },
    Image {
        source: Source<'a>,
    },
    Document {
        source: Source<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<&'a str>,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: &'a str,
        input: Input<'a>,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        content: Vec<Content<'a>>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    RedactedThinking {
        data: &'a str,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Source<'a> {
    Base64 { media_type: &'a str, data: &'a str },
    Url { url: &'a str },
    File { file_id: &'a str },
    Text { media_type: &'static str, data: Cow<'a, str> },
}

/// Arguments of a call, which must be an object here.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Input<'a> {
    Json(&'a RawValue),
    Empty {},
    /// What the model wrote instead of an object.
    Text {
        arguments: &'a str,
    },
}

/// Keys of a block that are written from the payload.
const WRITTEN: &[&str] = &[
    "type",
    "text",
    "source",
    "id",
    "name",
    "input",
    "tool_use_id",
    "content",
    "is_error",
    "thinking",
    "signature",
    "data",
];

/// The same beside a marker for caching.
const WITH_CACHE: &[&str] = &[
    "type",
    "text",
    "source",
    "id",
    "name",
    "input",
    "tool_use_id",
    "content",
    "is_error",
    "thinking",
    "signature",
    "data",
    "cache_control",
];

impl<'a> Conversation<'a> {
    /// # Errors
    /// `Unsupported` for content that Anthropic has no place for and that the question needs.
    pub(super) fn of(messages: &'a [Message], dropped: &mut Dropped) -> Result<Self, CallError> {
        let mut conversation = Self::default();
        for message in messages {
            dropped.note_if(message.name.is_some(), "name");
            let content = encode_all(&message.blocks, message.role)?;
            let fields = Fields::of(message_fields(&message.blocks));
            match message.role {
                Role::System | Role::Developer => {
                    match fields.get("role").and_then(Value::as_str) {
                        Some("system") => conversation.say("system", content, fields),
                        _ => conversation.system.extend(content),
                    }
                }
                Role::User | Role::Tool => conversation.say("user", content, fields),
                Role::Assistant => conversation.say("assistant", content, fields),
            }
        }
        for message in &mut conversation.messages {
            message.content.sort_by_key(|content| !content.is_result());
        }
        Ok(conversation)
    }

    /// The last turn answers calls of an assistant that did not begin with thinking:
    /// with a budget for thinking, Anthropic refuses that.
    pub(super) fn continues_without_thinking(&self) -> bool {
        let mut turns = self.messages.iter().rev();
        let answers = turns.next().is_some_and(|last| last.content.iter().any(Content::is_result));
        let assistant = turns.find(|turn| turn.role == "assistant");
        answers
            && assistant.is_some_and(|turn| !turn.content.first().is_some_and(Content::is_thinking))
    }

    fn say(&mut self, role: &'static str, content: Vec<Content<'a>>, fields: Fields<'a>) {
        let fields = fields.except(&["role", "content"]);
        let apart = role == "system" || fields.iter().next().is_some();
        match self.messages.last_mut() {
            _ if content.is_empty() && !apart => {}
            Some(last) if last.role == role && !last.apart && !apart => {
                last.content.extend(content)
            }
            _ => self.messages.push(WireMessage { role, content, fields, apart }),
        }
    }
}

impl Content<'_> {
    fn is_result(&self) -> bool {
        matches!(self, Self::Known { body: Body::ToolResult { .. }, .. })
    }

    fn is_thinking(&self) -> bool {
        let body =
            |body: &Body<'_>| matches!(body, Body::Thinking { .. } | Body::RedactedThinking { .. });
        matches!(self, Self::Known { body: found, .. } if body(found))
    }
}

fn message_fields(blocks: &[Block]) -> Option<&Value> {
    blocks.iter().find_map(|block| match block {
        Block::Other { dialect, value } if dialect == MESSAGE_FIELDS => Some(value),
        _ => None,
    })
}

fn encode_all(blocks: &[Block], role: Role) -> Result<Vec<Content<'_>>, CallError> {
    let mut contents = Vec::with_capacity(blocks.len());
    for (before, block) in with_previous(blocks) {
        let fields = Fields::of(carried(before));
        let content = match block {
            Block::Other { dialect, value } if dialect == DIALECT => Some(Content::Other(value)),
            Block::Other { dialect, value } => {
                leave_out(dialect, value, role)?;
                None
            }
            block => known(block, fields, role)?,
        };
        contents.extend(content);
    }
    Ok(contents)
}

/// A block of another dialect. A carrier is no content. In an assistant's turn it says what
/// that model did, and the question stays the same without it, unless a result answers it.
fn leave_out(dialect: &str, value: &Value, role: Role) -> Result<(), CallError> {
    let is_call = dialect.ends_with("-tool-call");
    if is_carrier(dialect) || (role == Role::Assistant && !is_call) {
        return Ok(());
    }
    let kind = value.get("type").and_then(Value::as_str).unwrap_or("unknown");
    Err(unsupported(&format!("content of type {kind:?} of the dialect {dialect}")))
}

fn known<'a>(
    block: &'a Block,
    fields: Fields<'a>,
    role: Role,
) -> Result<Option<Content<'a>>, CallError> {
    let (body, cache) = match block {
        Block::Text { text, .. } | Block::Refusal { text } if text.is_empty() => return Ok(None),
        Block::Text { text, cache, .. } if is_document(fields) => {
            let source = Source::Text { media_type: "text/plain", data: Cow::Borrowed(text) };
            (Body::Document { source, title: None }, cache.as_ref())
        }
        Block::Text { text, cache, extra } => {
            (Body::Text { text, citations: extra.get("citations") }, cache.as_ref())
        }
        Block::Refusal { text } => (Body::Text { text, citations: None }, None),
        Block::Media { cache, .. } => (media::encode(block, role)?, cache.as_ref()),
        Block::ToolCall { id, name, arguments, cache } => {
            (Body::ToolUse { id: valid_id(id), name, input: input(arguments) }, cache.as_ref())
        }
        Block::ToolResult { id, blocks, is_error, cache } => {
            let content = encode_all(blocks, Role::User)?;
            let tool_use_id = valid_id(id);
            (Body::ToolResult { tool_use_id, content, is_error: *is_error }, cache.as_ref())
        }
        Block::Reasoning { .. } => match reasoning(block) {
            Some(body) => (body, None),
            None => return Ok(None),
        },
        Block::Other { .. } => return Ok(None),
    };
    // A marker that the payload cannot hold stands among the fields.
    let fields = fields.except(if cache.is_some() { WITH_CACHE } else { WRITTEN });
    Ok(Some(Content::Known { body, cache_control: cache.map(CacheControl::from), fields }))
}

/// What Anthropic itself has signed or encrypted. It has no place for other reasoning.
fn reasoning(block: &Block) -> Option<Body<'_>> {
    let Block::Reasoning { text, signature, encrypted, dialect } = block else {
        return None;
    };
    if dialect.as_ref().is_some_and(|dialect| dialect != DIALECT) {
        return None;
    }
    match (encrypted, signature) {
        (Some(data), _) => Some(Body::RedactedThinking { data }),
        (None, Some(signature)) => Some(Body::Thinking { thinking: text, signature }),
        (None, None) => None,
    }
}

fn is_document(fields: Fields<'_>) -> bool {
    fields.get("type").is_some_and(|kind| kind == "document")
}

fn input(arguments: &str) -> Input<'_> {
    let trimmed = arguments.trim();
    if trimmed.is_empty() {
        return Input::Empty {};
    }
    match serde_json::from_str::<&RawValue>(trimmed) {
        Ok(json) if trimmed.starts_with('{') => Input::Json(json),
        _ => Input::Text { arguments },
    }
}

/// Anthropic takes letters, digits, `_` and `-`; others become `_`, in call and result alike.
fn valid_id(id: &str) -> Cow<'_, str> {
    let is_valid = |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
    match id.chars().all(is_valid) {
        true => Cow::Borrowed(id),
        false => {
            id.chars().map(|character| if is_valid(character) { character } else { '_' }).collect()
        }
    }
}
