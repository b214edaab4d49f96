//! Turns of the conversation to Cohere's messages.
//!
//! Nothing that would change the question is left out: it is refused as unsupported. Of
//! reasoning only the text has a place: Cohere signs none.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;
use torana_plugin_sdk::CallError;
use torana_plugin_sdk::chat::{Block, MediaKind, MediaSource, Message, Role, is_carrier};
use torana_plugin_sdk::wire::encoded::{Dropped, unsupported};

use crate::DIALECT;

#[derive(Default, Serialize)]
pub(super) struct WireMessage<'a> {
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_plan: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(&'a str),
    Parts(Vec<Part<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    Text {
        text: &'a str,
    },
    Thinking {
        thinking: &'a str,
    },
    ImageUrl {
        image_url: ImageUrl<'a>,
    },
    #[serde(untagged)]
    Other(&'a Value),
}

#[derive(Serialize)]
struct ImageUrl<'a> {
    url: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: &'a str,
}

/// `reasons`: the model takes `thinking` parts.
pub(super) fn encode_all<'a>(
    messages: &'a [Message],
    reasons: bool,
    dropped: &mut Dropped,
) -> Result<Vec<WireMessage<'a>>, CallError> {
    let mut encoded = Vec::with_capacity(messages.len());
    for message in messages {
        dropped.note_if(message.name.is_some(), "name");
        let mut turn = Turn { role: message.role, reasons, ..Turn::default() };
        for block in &message.blocks {
            dropped.note_if(has_cache(block), "cache_control");
            turn.push(block, dropped)?;
        }
        turn.finish(&mut encoded);
    }
    Ok(encoded)
}

fn has_cache(block: &Block) -> bool {
    match block {
        Block::Text { cache, .. }
        | Block::Media { cache, .. }
        | Block::ToolCall { cache, .. }
        | Block::ToolResult { cache, .. } => cache.is_some(),
        Block::Reasoning { .. } | Block::Refusal { .. } | Block::Other { .. } => false,
    }
}

/// One turn, which may be several messages: each tool result is one.
struct Turn<'a> {
    role: Role,
    reasons: bool,
    results: Vec<WireMessage<'a>>,
    parts: Vec<Part<'a>>,
    plan: String,
    calls: Vec<Call<'a>>,
}

impl Default for Turn<'_> {
    fn default() -> Self {
        Self {
            role: Role::User,
            reasons: false,
            results: Vec::new(),
            parts: Vec::new(),
            plan: String::new(),
            calls: Vec::new(),
        }
    }
}

impl<'a> Turn<'a> {
    fn push(&mut self, block: &'a Block, dropped: &mut Dropped) -> Result<(), CallError> {
        match block {
            Block::Text { text, .. } | Block::Refusal { text } => {
                if !text.is_empty() {
                    self.parts.push(Part::Text { text });
                }
            }
            Block::Media { kind, source, mime_type, detail, .. } => {
                let url = self.image(*kind, source, mime_type.as_deref())?;
                let image_url = ImageUrl { url, detail: detail.as_deref() };
                self.parts.push(Part::ImageUrl { image_url });
            }
            Block::ToolCall { id, name, arguments, .. } => {
                let arguments = if arguments.trim().is_empty() { "{}" } else { arguments };
                let function = Function { name, arguments };
                self.calls.push(Call { id, r#type: "function", function });
            }
            Block::ToolResult { id, blocks, is_error, .. } => {
                dropped.note_if(*is_error, "is_error");
                self.push_result(id, blocks, dropped)?;
            }
            Block::Reasoning { text, .. } if self.role == Role::Assistant && !text.is_empty() => {
                match self.reasons {
                    true => self.parts.push(Part::Thinking { thinking: text }),
                    false => self.plan.push_str(text),
                }
            }
            Block::Reasoning { .. } => {}
            Block::Other { dialect, value } => {
                if dialect == DIALECT {
                    self.parts.push(Part::Other(value));
                } else if self.role != Role::Assistant && !is_carrier(dialect) {
                    // `…-fields` are no content, but what a dialect says beside its blocks.
                    let kind = value.get("type").and_then(Value::as_str).unwrap_or("other");
                    return Err(unsupported(&format!("{dialect} content of type {kind:?}")));
                }
            }
        }
        Ok(())
    }

    fn image(
        &self,
        kind: MediaKind,
        source: &'a MediaSource,
        mime_type: Option<&str>,
    ) -> Result<Cow<'a, str>, CallError> {
        match kind {
            MediaKind::Image => {}
            MediaKind::Audio => return Err(unsupported("audio input")),
            MediaKind::Video => return Err(unsupported("video input")),
            MediaKind::File => return Err(unsupported("file input")),
        }
        if self.role != Role::User {
            return Err(unsupported("an image outside of a user message"));
        }
        match source {
            MediaSource::Url { url } => Ok(Cow::Borrowed(url)),
            MediaSource::Inline { data } => {
                let mime_type = mime_type.unwrap_or_else(|| guess(data));
                Ok(Cow::Owned(format!("data:{mime_type};base64,{data}")))
            }
            MediaSource::Id { .. } => Err(unsupported("image input by the id of an uploaded file")),
        }
    }

    fn push_result(
        &mut self,
        id: &'a str,
        blocks: &'a [Block],
        dropped: &mut Dropped,
    ) -> Result<(), CallError> {
        let mut inner = Turn { role: Role::Tool, ..Turn::default() };
        for block in blocks {
            dropped.note_if(has_cache(block), "cache_control");
            inner.push(block, dropped)?;
        }
        let content = content(inner.parts).unwrap_or(Content::Text(""));
        self.results.push(WireMessage {
            role: "tool",
            tool_call_id: Some(id),
            content: Some(content),
            ..WireMessage::default()
        });
        Ok(())
    }

    /// Results answer the turn before, so that they come first.
    fn finish(self, messages: &mut Vec<WireMessage<'a>>) {
        messages.extend(self.results);
        let role = match self.role {
            Role::System | Role::Developer => "system",
            Role::User | Role::Tool => "user",
            Role::Assistant => "assistant",
        };
        // A plan without calls has no place.
        let has_plan = !self.plan.is_empty() && !self.calls.is_empty();
        let message = WireMessage {
            role,
            tool_call_id: None,
            tool_plan: has_plan.then_some(self.plan),
            content: content(self.parts),
            tool_calls: self.calls,
        };
        if message.content.is_some() || !message.tool_calls.is_empty() {
            messages.push(message);
        }
    }
}

fn content(mut parts: Vec<Part<'_>>) -> Option<Content<'_>> {
    match parts.as_mut_slice() {
        [] => None,
        [Part::Text { text }] => Some(Content::Text(text)),
        _ => Some(Content::Parts(parts)),
    }
}

/// From the first bytes, as they look in base64: a data URL names its type.
fn guess(data: &str) -> &'static str {
    let signatures = [
        ("iVBORw0KGgo", "image/png"),
        ("/9j/", "image/jpeg"),
        ("R0lGOD", "image/gif"),
        ("UklGR", "image/webp"),
    ];
    let known = signatures.iter().find(|(signature, _)| data.starts_with(signature));
    known.map_or("image/png", |(_, mime_type)| mime_type)
}
