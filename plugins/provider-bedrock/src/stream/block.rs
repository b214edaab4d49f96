//! One content block on its way.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use torana_plugin_sdk::{BlockKind, CallError, CallErrorKind, StreamEvent};

use crate::{DIALECT, response};

/// What is held of a block that is given out whole: encrypted reasoning, an image or a block
/// of an unknown kind.
const MAX_GATHERED: usize = 16 * 1024 * 1024;

/// How a block announces itself: `{"toolUse": {…}}` in practice.
pub(super) type Start = Map<String, Value>;

/// More of a block. Converse fills one of these.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Delta {
    text: Option<String>,
    tool_use: Option<ToolUse>,
    reasoning_content: Option<Reasoning>,
    citation: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ToolUse {
    input: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Reasoning {
    text: Option<String>,
    signature: Option<String>,
    redacted_content: Option<String>,
}

/// What a delta is more of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Reasoning,
    Redacted,
    ToolUse,
    Other,
}

impl Delta {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self {
                reasoning_content: Some(Reasoning { redacted_content: Some(_), .. }), ..
            } => Kind::Redacted,
            Self { reasoning_content: Some(_), .. } => Kind::Reasoning,
            Self { text: Some(_), .. } | Self { citation: Some(_), .. } => Kind::Text,
            Self { tool_use: Some(_), .. } => Kind::ToolUse,
            _ => Kind::Other,
        }
    }
}

/// A block that has begun.
#[derive(Debug)]
pub(super) struct Open {
    /// The provider's index.
    pub(super) provider: u64,
    /// The index of the events; of a block that is given out whole, given at its end.
    index: u32,
    state: State,
}

/// Gives out the indices of the events, from 0.
#[derive(Debug, Default)]
pub(super) struct Indices(u32);

impl Indices {
    fn take(&mut self) -> u32 {
        let index = self.0;
        self.0 = index.saturating_add(1);
        index
    }
}

#[derive(Debug)]
enum State {
    Text,
    Reasoning,
    Redacted(String),
    ToolUse {
        /// A piece of arguments has come.
        fed: bool,
    },
    /// Given out whole at its end.
    Other {
        start: Start,
        deltas: Vec<Value>,
        bytes: usize,
    },
}

impl Open {
    pub(super) fn start(
        provider: u64,
        start: Start,
        indices: &mut Indices,
        events: &mut Vec<StreamEvent>,
    ) -> Self {
        // A call with a `type` is one of a tool that Bedrock runs itself.
        let call = start.get("toolUse").filter(|call| call.get("type").is_none());
        let mut index = 0;
        let state = match call {
            Some(call) => {
                index = indices.take();
                let text = |key| call.get(key).and_then(Value::as_str).unwrap_or_default().into();
                let kind = BlockKind::ToolCall { id: text("toolUseId"), name: text("name") };
                events.push(StreamEvent::BlockStart { index, kind });
                State::ToolUse { fed: false }
            }
            None => State::Other { start, deltas: Vec::new(), bytes: 0 },
        };
        Self { provider, index, state }
    }

    /// A block that begins with its first delta.
    pub(super) fn implied(
        provider: u64,
        kind: Kind,
        indices: &mut Indices,
        events: &mut Vec<StreamEvent>,
    ) -> Self {
        let (state, kind) = match kind {
            Kind::Text => (State::Text, Some(BlockKind::Text)),
            Kind::Reasoning => (State::Reasoning, Some(BlockKind::Reasoning)),
            Kind::Redacted => (State::Redacted(String::new()), None),
            Kind::ToolUse | Kind::Other => {
                (State::Other { start: Map::new(), deltas: Vec::new(), bytes: 0 }, None)
            }
        };
        let mut index = 0;
        if let Some(kind) = kind {
            index = indices.take();
            events.push(StreamEvent::BlockStart { index, kind });
        }
        Self { provider, index, state }
    }

    pub(super) fn takes(&self, kind: Kind) -> bool {
        match self.state {
            State::Text => kind == Kind::Text,
            State::Reasoning => kind == Kind::Reasoning,
            State::Redacted(_) => kind == Kind::Redacted,
            State::ToolUse { .. } => kind == Kind::ToolUse,
            State::Other { .. } => true,
        }
    }

    pub(super) fn delta(
        &mut self,
        delta: Delta,
        data: &[u8],
        events: &mut Vec<StreamEvent>,
    ) -> Result<(), CallError> {
        let index = self.index;
        let written = |text: Option<String>| text.filter(|text| !text.is_empty());
        match &mut self.state {
            State::Text => {
                let text = written(delta.text);
                events.extend(text.map(|text| StreamEvent::TextDelta { index, text }));
                events.extend(delta.citation.map(|citation| {
                    let extra = json!({"citations": [citation]});
                    StreamEvent::Other(json!({"index": index, "extra": extra}))
                }));
            }
            State::Reasoning => {
                let content = delta.reasoning_content.unwrap_or_default();
                let text = written(content.text);
                events.extend(text.map(|text| StreamEvent::ReasoningDelta { index, text }));
                let signature = written(content.signature);
                events.extend(signature.map(|signature| {
                    let dialect = DIALECT.into();
                    StreamEvent::ReasoningSignature { index, signature, dialect }
                }));
            }
            State::Redacted(data) => {
                let content = delta.reasoning_content.unwrap_or_default();
                let more = content.redacted_content.unwrap_or_default();
                bounded(data.len(), more.len())?;
                data.push_str(&more);
            }
            State::ToolUse { fed } => {
                let input = written(delta.tool_use.and_then(|call| call.input));
                *fed |= input.is_some();
                events
                    .extend(input.map(|arguments| StreamEvent::ToolCallDelta { index, arguments }));
            }
            State::Other { deltas, bytes, .. } => {
                *bytes = bounded(*bytes, data.len())?;
                let mut event: Value = serde_json::from_slice(data).unwrap_or_default();
                deltas.extend(event.get_mut("delta").map(Value::take));
            }
        }
        Ok(())
    }

    pub(super) fn stop(self, indices: &mut Indices, events: &mut Vec<StreamEvent>) {
        let mut index = self.index;
        let block = match self.state {
            State::ToolUse { fed: false } => {
                events.push(StreamEvent::ToolCallDelta { index, arguments: "{}".into() });
                None
            }
            State::Text | State::Reasoning | State::ToolUse { fed: true } => None,
            State::Redacted(data) => Some(response::redacted(data)),
            State::Other { start, deltas, .. } => {
                let mut value = Value::Object(start);
                if let (Some(fields), false) = (value.as_object_mut(), deltas.is_empty()) {
                    fields.insert("deltas".into(), Value::Array(deltas));
                }
                Some(response::block(value))
            }
        };
        if let Some(block) = block {
            index = indices.take();
            let value = serde_json::to_value(block).unwrap_or_default();
            events.push(StreamEvent::BlockStart { index, kind: BlockKind::Other(value) });
        }
        events.push(StreamEvent::BlockStop { index });
    }
}

fn bounded(held: usize, more: usize) -> Result<usize, CallError> {
    let bytes = held.saturating_add(more);
    if bytes > MAX_GATHERED {
        let message = format!("a content block is larger than {MAX_GATHERED} bytes");
        return Err(CallError::new(CallErrorKind::MalformedResponse, message));
    }
    Ok(bytes)
}
