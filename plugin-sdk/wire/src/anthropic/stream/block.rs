//! One content block on its way.

use serde_json::{Map, Value, json};

use super::wire::{AnyDelta, Delta};
use crate::anthropic::field::carrier;
use crate::anthropic::{DIALECT, response};
use crate::chat::Block;
use crate::error::{CallError, CallErrorKind};
use crate::event::{BlockKind, StreamEvent};
use crate::fields::accumulate;

/// What is held of a block that is given out whole. The largest seen are results of server
/// tools with a fetched document in them.
const MAX_GATHERED: usize = 16 * 1024 * 1024;

/// A block that has begun.
#[derive(Debug)]
pub(super) struct Open {
    /// The provider's index.
    pub(super) provider: u64,
    /// The index of the events.
    index: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    Text,
    Thinking,
    /// `input` as it came with the start; it counts if no piece comes after it.
    ToolUse {
        input: Option<Value>,
    },
    Gathered {
        fields: Map<String, Value>,
        partial_json: String,
        bytes: usize,
    },
}

impl Open {
    /// Takes the next index, or two where the block has fields without a place: those come
    /// before it, as a block of their own.
    pub(super) fn start(
        provider: u64,
        next_index: &mut u32,
        mut fields: Map<String, Value>,
        events: &mut Vec<StreamEvent>,
    ) -> Self {
        let kind = text(&fields, "type");
        let known: &[&str] = match kind.as_str() {
            "text" => &["type", "text", "citations"],
            "thinking" => &["type", "thinking", "signature"],
            "tool_use" => &["type", "id", "name", "input"],
            _ => {
                let index = take_index(next_index);
                let state = State::Gathered { fields, partial_json: String::new(), bytes: 0 };
                return Self { provider, index, state };
            }
        };
        let further: Map<_, _> =
            fields.iter().filter(|(key, _)| !known.contains(&key.as_str())).map(owned).collect();
        if let Some(block) = carrier(further) {
            push_whole(take_index(next_index), &block, events);
        }
        let index = take_index(next_index);
        let state = match kind.as_str() {
            "text" => {
                events.push(StreamEvent::BlockStart { index, kind: BlockKind::Text });
                let citations = fields.get("citations").filter(|list| !response::is_nothing(list));
                if let Some(citations) = citations {
                    events.push(extra(index, "citations", citations.clone()));
                }
                push_text(index, &text(&fields, "text"), events);
                State::Text
            }
            "thinking" => {
                events.push(StreamEvent::BlockStart { index, kind: BlockKind::Reasoning });
                push_thinking(index, &text(&fields, "thinking"), events);
                push_signature(index, &text(&fields, "signature"), events);
                State::Thinking
            }
            _ => {
                let (id, name) = (text(&fields, "id"), text(&fields, "name"));
                let kind = BlockKind::ToolCall { id, name };
                events.push(StreamEvent::BlockStart { index, kind });
                State::ToolUse { input: fields.shift_remove("input") }
            }
        };
        Self { provider, index, state }
    }

    /// `data` is the whole event, for a delta of a kind that has no type of its own.
    pub(super) fn delta(
        &mut self,
        delta: Delta<'_>,
        data: &[u8],
        events: &mut Vec<StreamEvent>,
    ) -> Result<(), CallError> {
        let index = self.index;
        match &mut self.state {
            State::Text => {
                push_text(index, &delta.text.0, events);
                if let Some(citation) = delta.citation {
                    events.push(extra(index, "citations", json!([citation])));
                }
            }
            State::Thinking => {
                push_thinking(index, &delta.thinking.0, events);
                push_signature(index, &delta.signature.0, events);
            }
            State::ToolUse { input } if !delta.partial_json.0.is_empty() => {
                *input = None;
                let arguments = delta.partial_json.0.into_owned();
                events.push(StreamEvent::ToolCallDelta { index, arguments });
            }
            State::ToolUse { .. } => {}
            State::Gathered { fields, partial_json, bytes } => {
                *bytes = bytes.saturating_add(data.len());
                if *bytes > MAX_GATHERED {
                    let message = format!("a content block is larger than {MAX_GATHERED} bytes");
                    return Err(CallError::new(CallErrorKind::MalformedResponse, message));
                }
                let any: AnyDelta = serde_json::from_slice(data).unwrap_or_default();
                gather(fields, partial_json, any.delta);
            }
        }
        Ok(())
    }

    pub(super) fn stop(self, events: &mut Vec<StreamEvent>) {
        let index = self.index;
        match self.state {
            State::Text | State::Thinking => {}
            State::ToolUse { input: None } => {}
            State::ToolUse { input: Some(input) } => {
                let arguments = input.to_string();
                events.push(StreamEvent::ToolCallDelta { index, arguments });
            }
            State::Gathered { mut fields, partial_json, .. } => {
                if !partial_json.is_empty() {
                    let input = serde_json::from_str(&partial_json);
                    fields.insert("input".into(), input.unwrap_or(Value::String(partial_json)));
                }
                let (_, block) = response::block(Value::Object(fields));
                push_whole(index, &block, events);
                return;
            }
        }
        events.push(StreamEvent::BlockStop { index });
    }
}

/// Pieces of `input` add up to JSON text; any other text adds up under its own name, any
/// other value is set.
fn gather(fields: &mut Map<String, Value>, partial_json: &mut String, delta: Map<String, Value>) {
    for (key, value) in delta {
        match (key.as_str(), fields.get_mut(&key), value) {
            ("type", _, _) => {}
            ("partial_json", _, Value::String(piece)) => partial_json.push_str(&piece),
            (_, Some(Value::String(text)), Value::String(more)) => text.push_str(&more),
            (_, _, value) => accumulate(fields, Map::from_iter([(key, value)])),
        }
    }
}

fn take_index(next_index: &mut u32) -> u32 {
    let index = *next_index;
    *next_index += 1;
    index
}

fn owned((key, value): (&String, &Value)) -> (String, Value) {
    (key.clone(), value.clone())
}

fn push_whole(index: u32, block: &Block, events: &mut Vec<StreamEvent>) {
    let value = serde_json::to_value(block).unwrap_or_default();
    events.push(StreamEvent::BlockStart { index, kind: BlockKind::Other(value) });
    events.push(StreamEvent::BlockStop { index });
}

fn push_text(index: u32, text: &str, events: &mut Vec<StreamEvent>) {
    if !text.is_empty() {
        events.push(StreamEvent::TextDelta { index, text: text.to_owned() });
    }
}

fn push_thinking(index: u32, text: &str, events: &mut Vec<StreamEvent>) {
    if !text.is_empty() {
        events.push(StreamEvent::ReasoningDelta { index, text: text.to_owned() });
    }
}

fn push_signature(index: u32, signature: &str, events: &mut Vec<StreamEvent>) {
    if !signature.is_empty() {
        let signature = signature.to_owned();
        events.push(StreamEvent::ReasoningSignature { index, signature, dialect: DIALECT.into() });
    }
}

fn extra(index: u32, key: &str, value: Value) -> StreamEvent {
    StreamEvent::Other(json!({"index": index, "extra": {key: value}}))
}

fn text(fields: &Map<String, Value>, key: &str) -> String {
    fields.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}
