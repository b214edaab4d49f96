//! Turns of the conversation to messages and system blocks.
//!
//! Nothing that would change the question is left out: it is refused as unsupported.
//! Reasoning is sent back only with Bedrock's signature; for Claude also with Anthropic's, as
//! Anthropic promises that signatures hold on every platform. Unsigned reasoning is left out:
//! models refuse it or have no use for it.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use torana_plugin_sdk::CallError;
use torana_plugin_sdk::chat::{Block, CacheMarker, Message, Role, is_carrier};
use torana_plugin_sdk::wire::anthropic;
use torana_plugin_sdk::wire::encoded::{Dropped, unsupported};

use super::media::{self, Document, Media};
use crate::DIALECT;
use crate::family::Family;

/// Characters that an id of a call may have here.
const MAX_ID: usize = 64;

/// The conversation as Converse wants it.
pub(super) struct Conversation<'a> {
    pub(super) system: Vec<Content<'a>>,
    pub(super) messages: Vec<WireMessage<'a>>,
}

#[derive(Serialize)]
pub(super) struct WireMessage<'a> {
    role: &'static str,
    content: Vec<Content<'a>>,
}

/// A content block, in a message, in a tool's result or in `system`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Content<'a> {
    Text(Cow<'a, str>),
    Image(Media<'a>),
    Video(Media<'a>),
    Audio(Media<'a>),
    Document(Document<'a>),
    #[serde(rename_all = "camelCase")]
    ToolUse {
        tool_use_id: Cow<'a, str>,
        name: &'a str,
        input: Input<'a>,
    },
    #[serde(rename_all = "camelCase")]
    ToolResult {
        tool_use_id: Cow<'a, str>,
        content: Vec<Content<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<&'static str>,
    },
    #[serde(rename = "reasoningContent")]
    Reasoning(Reasoning<'a>),
    CachePoint(CachePoint<'a>),
    #[serde(untagged)]
    Other(&'a Value),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Reasoning<'a> {
    ReasoningText { text: &'a str, signature: &'a str },
    RedactedContent(&'a str),
}

#[derive(Serialize)]
pub(super) struct CachePoint<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<&'a str>,
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

impl<'a> CachePoint<'a> {
    pub(super) fn new(marker: &'a CacheMarker, family: Family) -> Self {
        // Claude alone keeps for more than five minutes.
        let known = |ttl: &&str| family == Family::Claude && matches!(*ttl, "5m" | "1h");
        Self { r#type: "default", ttl: marker.ttl.as_deref().filter(known) }
    }
}

impl<'a> Conversation<'a> {
    pub(super) fn of(
        messages: &'a [Message],
        family: Family,
        dropped: &mut Dropped,
    ) -> Result<Self, CallError> {
        let mut encoder = Encoder { family, dropped, titles: HashSet::new() };
        let mut conversation = Self { system: Vec::new(), messages: Vec::new() };
        for message in messages {
            encoder.dropped.note_if(message.name.is_some(), "name");
            let mut content = Vec::with_capacity(message.blocks.len());
            for block in &message.blocks {
                encoder.push(block, message.role, &mut content)?;
            }
            match message.role {
                Role::System | Role::Developer => conversation.system.extend(content),
                Role::User | Role::Tool => conversation.say("user", content),
                Role::Assistant => conversation.say("assistant", content),
            }
        }
        for message in &mut conversation.messages {
            results_first(&mut message.content);
        }
        conversation.trim_prefill();
        Ok(conversation)
    }

    fn say(&mut self, role: &'static str, content: Vec<Content<'a>>) {
        match self.messages.last_mut() {
            _ if content.is_empty() => {}
            Some(last) if last.role == role => last.content.extend(content),
            _ => self.messages.push(WireMessage { role, content }),
        }
    }

    /// An answer begun by the client may not end in white space.
    fn trim_prefill(&mut self) {
        let last = self.messages.last_mut().filter(|message| message.role == "assistant");
        if let Some(Content::Text(text)) = last.and_then(|message| message.content.last_mut()) {
            *text = Cow::Owned(text.trim_end().to_owned());
        }
    }
}

/// Results answer the turn before, so that models want them first. A cache point stays behind
/// its block.
fn results_first(content: &mut Vec<Content<'_>>) {
    let mut last_was_result = false;
    let mut keyed: Vec<_> = std::mem::take(content)
        .into_iter()
        .map(|content| {
            last_was_result = match content {
                Content::CachePoint(_) => last_was_result,
                _ => matches!(content, Content::ToolResult { .. }),
            };
            (!last_was_result, content)
        })
        .collect();
    keyed.sort_by_key(|(later, _)| *later);
    content.extend(keyed.into_iter().map(|(_, content)| content));
}

struct Encoder<'d> {
    family: Family,
    dropped: &'d mut Dropped,
    /// Names of documents, which must differ within a request.
    titles: HashSet<String>,
}

impl Encoder<'_> {
    fn push<'a>(
        &mut self,
        block: &'a Block,
        role: Role,
        content: &mut Vec<Content<'a>>,
    ) -> Result<(), CallError> {
        let is_system = matches!(role, Role::System | Role::Developer);
        let cache = match block {
            // Converse refuses blank text.
            Block::Text { text, cache, .. } => {
                if !text.trim().is_empty() {
                    content.push(Content::Text(text.into()));
                }
                cache.as_ref()
            }
            Block::Refusal { text } => {
                if !text.trim().is_empty() {
                    content.push(Content::Text(text.into()));
                }
                None
            }
            Block::Media { .. } if is_system => {
                return Err(unsupported("media in a system message"));
            }
            Block::Media { kind, source, mime_type, filename, cache, .. } => {
                let file = media::File { kind: *kind, source, mime_type, filename };
                content.push(file.encode(&mut self.titles)?);
                cache.as_ref()
            }
            Block::ToolCall { id, name, arguments, cache } => {
                let (tool_use_id, input) = (valid_id(id), input(arguments));
                content.push(Content::ToolUse { tool_use_id, name, input });
                cache.as_ref()
            }
            Block::ToolResult { id, blocks, is_error, cache } => {
                self.push_result(id, blocks, *is_error, content)?;
                cache.as_ref().or_else(|| blocks.iter().find_map(text_cache))
            }
            Block::Reasoning { text, signature, encrypted, dialect } => {
                if role == Role::Assistant && self.accepts(dialect.as_deref()) {
                    content.extend(reasoning(text, signature.as_deref(), encrypted.as_deref()));
                }
                None
            }
            Block::Other { dialect, value } => {
                self.push_other(dialect, value, role, content)?;
                None
            }
        };
        if let Some(marker) = cache {
            self.push_cache_point(marker, content);
        }
        Ok(())
    }

    fn push_result<'a>(
        &mut self,
        id: &'a str,
        blocks: &'a [Block],
        is_error: bool,
        content: &mut Vec<Content<'a>>,
    ) -> Result<(), CallError> {
        let mut inner = Vec::with_capacity(blocks.len());
        for block in blocks {
            self.push(block, Role::Tool, &mut inner)?;
        }
        // A result has no cache points of its own: the one after it counts.
        inner.retain(|content| !matches!(content, Content::CachePoint(_)));
        content.push(Content::ToolResult {
            tool_use_id: valid_id(id),
            content: inner,
            status: is_error.then_some("error"),
        });
        Ok(())
    }

    /// A block of another dialect in an answer is that provider's own affair; from anybody
    /// else it is part of the question. `…-fields` are no content, but what a dialect says
    /// beside its blocks.
    fn push_other<'a>(
        &mut self,
        dialect: &str,
        value: &'a Value,
        role: Role,
        content: &mut Vec<Content<'a>>,
    ) -> Result<(), CallError> {
        if dialect == DIALECT {
            content.push(Content::Other(value));
        } else if role != Role::Assistant && !is_carrier(dialect) {
            let kind = value.get("type").and_then(Value::as_str).unwrap_or("other");
            return Err(unsupported(&format!("{dialect} content of type {kind:?}")));
        }
        Ok(())
    }

    fn push_cache_point<'a>(&mut self, marker: &'a CacheMarker, content: &mut Vec<Content<'a>>) {
        match content.last() {
            // There is nothing to cache up to here, or it is said already.
            None | Some(Content::CachePoint(_)) => {}
            Some(_) if self.family.caches() => {
                content.push(Content::CachePoint(CachePoint::new(marker, self.family)));
            }
            Some(_) => self.dropped.note("cache_control"),
        }
    }

    fn accepts(&self, dialect: Option<&str>) -> bool {
        match dialect {
            None | Some(DIALECT) => true,
            Some(dialect) => self.family == Family::Claude && dialect == anthropic::DIALECT,
        }
    }
}

fn reasoning<'a>(
    text: &'a str,
    signature: Option<&'a str>,
    encrypted: Option<&'a str>,
) -> Option<Content<'a>> {
    let reasoning = match (encrypted, signature) {
        (Some(data), _) => Reasoning::RedactedContent(data),
        (None, Some(signature)) => Reasoning::ReasoningText { text, signature },
        (None, None) => return None,
    };
    Some(Content::Reasoning(reasoning))
}

fn text_cache(block: &Block) -> Option<&CacheMarker> {
    match block {
        Block::Text { cache, .. } | Block::Media { cache, .. } => cache.as_ref(),
        _ => None,
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

/// Letters, digits, `_` and `-`, 1 to 64 of them; the same id gives the same in call and
/// result. Of a long one the front stays, and a fingerprint of all of it tells it from others.
fn valid_id(id: &str) -> Cow<'_, str> {
    let is_valid = |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
    if (1..=MAX_ID).contains(&id.len()) && id.chars().all(is_valid) {
        return Cow::Borrowed(id);
    }
    let valid = |character: char| if is_valid(character) { character } else { '_' };
    if (1..=MAX_ID).contains(&id.chars().count()) {
        return id.chars().map(valid).collect();
    }
    // FNV-1a, 64 bits: 16 digits, so that 47 characters and a line remain.
    let fingerprint = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let front: String = id.chars().take(MAX_ID - 17).map(valid).collect();
    Cow::Owned(format!("{front}_{fingerprint:016x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_become_valid_and_stay_apart() {
        assert_eq!(valid_id("toolu_01-a"), "toolu_01-a");
        assert_eq!(valid_id("functions.get:0"), "functions_get_0");
        let (one, two) = (format!("{}1", "x".repeat(99)), format!("{}2", "x".repeat(99)));
        assert_eq!(valid_id(&one).len(), MAX_ID);
        assert_ne!(valid_id(&one), valid_id(&two));
        assert_eq!(valid_id("").len(), 17);
    }
}
