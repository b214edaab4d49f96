//! Turns of the conversation to messages and system blocks.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::DIALECT;
use crate::cache::CacheControl;
use crate::chat::{Block, MediaKind, MediaSource, Message, Role};

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
    Audio {
        source: Source<'a>,
    },
    Video {
        source: Source<'a>,
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

impl<'a> Conversation<'a> {
    pub(super) fn of(messages: &'a [Message]) -> Self {
        let mut conversation = Self::default();
        for message in messages {
            let content = message.blocks.iter().filter_map(encode);
            match message.role {
                Role::System | Role::Developer => conversation.system.extend(content),
                Role::User | Role::Tool => conversation.say("user", content.collect()),
                Role::Assistant => conversation.say("assistant", content.collect()),
            }
        }
        for message in &mut conversation.messages {
            let is_result = |content: &Content<'_>| {
                matches!(content, Content::Known { body: Body::ToolResult { .. }, .. })
            };
            message.content.sort_by_key(|content| !is_result(content));
        }
        conversation
    }

    fn say(&mut self, role: &'static str, content: Vec<Content<'a>>) {
        match self.messages.last_mut() {
            _ if content.is_empty() => {}
            Some(last) if last.role == role => last.content.extend(content),
            _ => self.messages.push(WireMessage { role, content }),
        }
    }
}

fn encode(block: &Block) -> Option<Content<'_>> {
    let (body, cache) = match block {
        Block::Text { text, .. } if text.is_empty() => return None,
        Block::Text { text, cache, extra } => {
            (Body::Text { text, citations: extra.get("citations") }, cache.as_ref())
        }
        Block::Media { kind, source, mime_type, filename, cache, .. } => {
            let source = encode_source(*kind, source, mime_type.as_deref());
            let body = match kind {
                MediaKind::Image => Body::Image { source },
                MediaKind::File => Body::Document { source, title: filename.as_deref() },
                MediaKind::Audio => Body::Audio { source },
                MediaKind::Video => Body::Video { source },
            };
            (body, cache.as_ref())
        }
        Block::ToolCall { id, name, arguments, cache } => {
            (Body::ToolUse { id: valid_id(id), name, input: input(arguments) }, cache.as_ref())
        }
        Block::ToolResult { id, blocks, is_error, cache } => {
            let content = blocks.iter().filter_map(encode).collect();
            let tool_use_id = valid_id(id);
            (Body::ToolResult { tool_use_id, content, is_error: *is_error }, cache.as_ref())
        }
        Block::Reasoning { encrypted: Some(data), .. } => (Body::RedactedThinking { data }, None),
        Block::Reasoning { text, signature: Some(signature), .. } => {
            (Body::Thinking { thinking: text, signature }, None)
        }
        Block::Reasoning { .. } => return None,
        Block::Refusal { text } if text.is_empty() => return None,
        Block::Refusal { text } => (Body::Text { text, citations: None }, None),
        Block::Other { dialect, value } if dialect == DIALECT => {
            return Some(Content::Other(value));
        }
        Block::Other { .. } => return None,
    };
    Some(Content::Known { body, cache_control: cache.map(CacheControl::from) })
}

fn encode_source<'a>(
    kind: MediaKind,
    source: &'a MediaSource,
    mime_type: Option<&'a str>,
) -> Source<'a> {
    match source {
        MediaSource::Url { url } => Source::Url { url },
        MediaSource::Id { id } => Source::File { file_id: id },
        MediaSource::Inline { data } => {
            let media_type = mime_type.unwrap_or_else(|| guess_mime_type(kind, data));
            Source::Base64 { media_type, data }
        }
    }
}

/// From the first bytes, as they look in base64: Anthropic insists on a type.
fn guess_mime_type(kind: MediaKind, data: &str) -> &'static str {
    let signatures = [
        ("iVBORw0KGgo", "image/png"),
        ("/9j/", "image/jpeg"),
        ("R0lGOD", "image/gif"),
        ("UklGR", "image/webp"),
        ("JVBERi0", "application/pdf"),
    ];
    let known = signatures.iter().find(|(signature, _)| data.starts_with(signature));
    match (known, kind) {
        (Some((_, mime_type)), _) => mime_type,
        (None, MediaKind::File) => "application/pdf",
        (None, _) => "application/octet-stream",
    }
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
