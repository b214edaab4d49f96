//! Content blocks of an answer as a client gets them.
//!
//! A block has a [`Shape`], from which both the whole block and the events of a stream follow.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::anthropic::field::{carried, with_previous};
use crate::anthropic::{DIALECT, sealed};
use crate::chat::{Block, MediaKind, MediaSource};

/// What a block is on this wire.
pub(in crate::anthropic) enum Shape<'a> {
    Text {
        text: &'a str,
        citations: Vec<&'a Value>,
    },
    Thinking {
        text: &'a str,
        signature: Cow<'a, str>,
    },
    ToolUse {
        id: &'a str,
        name: &'a str,
        arguments: &'a str,
    },
    /// It has no deltas.
    Whole(Cow<'a, Value>),
}

pub(super) fn encode_all(blocks: &[Block]) -> Vec<Value> {
    with_previous(blocks)
        .filter_map(|(before, block)| {
            let mut value = shape(block)?.into_value();
            if let (Some(Value::Object(more)), Some(fields)) =
                (carried(before), value.as_object_mut())
            {
                for (key, value) in more {
                    fields.entry(key.clone()).or_insert_with(|| value.clone());
                }
            }
            Some(value)
        })
        .collect()
}

/// Nothing for what has no place here.
pub(in crate::anthropic) fn shape(block: &Block) -> Option<Shape<'_>> {
    Some(match block {
        Block::Text { text, extra, .. } => Shape::Text {
            text,
            citations: extra.get("citations").map(citations).unwrap_or_default(),
        },
        Block::Refusal { text } => Shape::Text { text, citations: Vec::new() },
        Block::ToolCall { id, name, arguments, .. } => Shape::ToolUse { id, name, arguments },
        Block::Reasoning { text, signature: None, encrypted: Some(data), dialect }
            if text.is_empty() =>
        {
            let data = sealed::single(dialect.as_deref(), data);
            Shape::Whole(Cow::Owned(json!({"type": "redacted_thinking", "data": data})))
        }
        Block::Reasoning { text, signature, encrypted, dialect } => {
            let dialect = dialect.as_deref();
            let signature = match (encrypted, signature) {
                (Some(encrypted), _) => {
                    Cow::Owned(sealed::pair(dialect, signature.as_deref(), encrypted))
                }
                (None, Some(signature)) => sealed::single(dialect, signature),
                (None, None) => Cow::Owned(sealed::unsigned()),
            };
            Shape::Thinking { text, signature }
        }
        Block::Media { kind, source, mime_type, filename, .. } => Shape::Whole(Cow::Owned(media(
            *kind,
            source,
            mime_type.as_deref(),
            filename.as_deref(),
        ))),
        Block::Other { dialect, value } if dialect == DIALECT => Shape::Whole(Cow::Borrowed(value)),
        Block::Other { .. } | Block::ToolResult { .. } => return None,
    })
}

/// Those of Anthropic's kind: clients know no others.
pub(in crate::anthropic) fn citations(list: &Value) -> Vec<&Value> {
    let is_known = |citation: &&Value| {
        citation.get("type").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("_location"))
    };
    list.as_array().into_iter().flatten().filter(is_known).collect()
}

impl Shape<'_> {
    /// The whole block.
    fn into_value(self) -> Value {
        match self {
            Self::Text { text, citations } => {
                let mut value = json!({"type": "text", "text": text});
                if let (false, Some(fields)) = (citations.is_empty(), value.as_object_mut()) {
                    fields.insert("citations".into(), citations.into_iter().cloned().collect());
                }
                value
            }
            Self::Thinking { text, signature } => {
                json!({"type": "thinking", "thinking": text, "signature": signature})
            }
            Self::ToolUse { id, name, arguments } => {
                json!({"type": "tool_use", "id": id, "name": name, "input": input(arguments)})
            }
            Self::Whole(value) => value.into_owned(),
        }
    }
}

/// Clients' types demand an object.
fn input(arguments: &str) -> Value {
    if arguments.trim().is_empty() {
        return Value::Object(Map::new());
    }
    match serde_json::from_str(arguments) {
        Ok(Value::Object(fields)) => Value::Object(fields),
        _ => json!({"arguments": arguments}),
    }
}

/// Models of other providers answer with media; Anthropic has a form for it in requests.
fn media(
    kind: MediaKind,
    source: &MediaSource,
    mime_type: Option<&str>,
    filename: Option<&str>,
) -> Value {
    let kind = match kind {
        MediaKind::Image => "image",
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
        MediaKind::File => "document",
    };
    let source = match source {
        MediaSource::Url { url } => json!({"type": "url", "url": url}),
        MediaSource::Id { id } => json!({"type": "file", "file_id": id}),
        MediaSource::Inline { data } => {
            let media_type = mime_type.unwrap_or("application/octet-stream");
            json!({"type": "base64", "media_type": media_type, "data": data})
        }
    };
    match filename {
        Some(title) => json!({"type": kind, "source": source, "title": title}),
        None => json!({"type": kind, "source": source}),
    }
}
