//! Events to what a client gets, as SSE bytes.
//!
//! `message_start` waits for the first usage or content, so that it can name the input's
//! tokens where the provider does so early. `message_delta` and `message_stop` wait for
//! [`Encoder::end`], which the caller holds back until the answer is recorded; a stream that
//! failed or never finished ends without `message_stop`, whatever is called.

use serde_json::{Map, Value, json};

use super::queue::{Kind, Queue, Start};
use super::writer::{self, Piece};
use crate::anthropic::response::{Shape, citations, shape};
use crate::anthropic::{FIELDS, Identity, error, finish, usage};
use crate::chat::{Block, FinishReason, Usage};
use crate::error::CallError;
use crate::event::{BlockKind, StreamEvent};
use crate::fields::accumulate;

/// Fields that stand under `delta` in `message_delta`; others stand beside it.
const IN_DELTA: [&str; 3] = ["container", "stop_details", "stop_sequence"];
/// Keys of `extra` that are written from elsewhere.
const WRITTEN: [&str; 5] = ["delta", "stop_reason", "type", "usage", "stop_sequence"];

/// Writes one stream.
#[derive(Debug)]
pub struct Encoder {
    id: String,
    model: String,
    opened: bool,
    queue: Queue,
    /// What came for the block that begins next.
    fields: Option<Map<String, Value>>,
    usage: Option<Usage>,
    extra: Map<String, Value>,
    state: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Running,
    Finished(FinishReason),
    /// Whatever there was to say has been said.
    Closed,
}

impl Encoder {
    pub fn new(identity: &Identity<'_>) -> Self {
        Self {
            id: identity.id.to_owned(),
            model: identity.model.to_owned(),
            opened: false,
            queue: Queue::default(),
            fields: None,
            usage: None,
            extra: Map::new(),
            state: State::Running,
        }
    }

    /// Appends the bytes that an event means; nothing for many.
    pub fn push(&mut self, event: &StreamEvent, out: &mut Vec<u8>) {
        match event {
            // Usage may come after the finish, a failure too.
            StreamEvent::Usage(usage) => self.usage = Some(*usage),
            StreamEvent::Failed(error) => self.fail(error, out),
            _ => {}
        }
        if self.state != State::Running {
            return;
        }
        if let Err(error) = self.running(event, out) {
            self.fail(&error, out);
        }
    }

    /// Appends `message_delta` and `message_stop`, once, and only after `Finish`.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        let State::Finished(reason) = self.state.clone() else {
            return;
        };
        self.state = State::Closed;
        let kept = self.extra.get("stop_reason").and_then(Value::as_str);
        let mut delta = Map::new();
        delta.insert("stop_reason".into(), finish::word(&reason, kept).into());
        let stop_sequence = self.extra.get("stop_sequence").cloned().unwrap_or_default();
        delta.insert("stop_sequence".into(), stop_sequence);
        let mut event = Map::new();
        event.insert("type".into(), "message_delta".into());
        let rest = self.extra.get("usage").and_then(Value::as_object);
        let usage = usage::encode(&self.usage.unwrap_or_default(), rest);
        for (key, value) in &self.extra {
            match key.as_str() {
                key if WRITTEN.contains(&key) => {}
                key if IN_DELTA.contains(&key) => {
                    delta.insert(key.to_owned(), value.clone());
                }
                key => {
                    event.insert(key.to_owned(), value.clone());
                }
            }
        }
        event.insert("delta".into(), delta.into());
        event.insert("usage".into(), usage.into());
        writer::event("message_delta", &event, out);
        writer::event("message_stop", &json!({"type": "message_stop"}), out);
    }

    /// Appends an error event, once. The stream will not look complete.
    pub fn fail(&mut self, error: &CallError, out: &mut Vec<u8>) {
        if self.state == State::Closed {
            return;
        }
        self.state = State::Closed;
        out.extend(b"event: error\ndata: ");
        error::write(error, out);
        out.extend(b"\n\n");
    }

    fn running(&mut self, event: &StreamEvent, out: &mut Vec<u8>) -> Result<(), CallError> {
        let (index, piece) = match event {
            StreamEvent::Started { .. } | StreamEvent::Failed(_) => return Ok(()),
            StreamEvent::Usage(_) => {
                self.open(out);
                return Ok(());
            }
            StreamEvent::BlockStart { index, kind } => {
                self.open(out);
                return self.start(*index, kind, out);
            }
            StreamEvent::BlockStop { index } => {
                self.queue.stop(*index, out);
                return Ok(());
            }
            StreamEvent::Finish(reason) => {
                self.open(out);
                self.queue.stop_all(out);
                self.state = State::Finished(reason.clone());
                return Ok(());
            }
            StreamEvent::Other(value) => return self.other(value, out),
            StreamEvent::TextDelta { index, text } => (index, Piece::Text(text.clone())),
            StreamEvent::ReasoningDelta { index, text } => (index, Piece::Thinking(text.clone())),
            StreamEvent::ToolCallDelta { index, arguments } => {
                (index, Piece::Arguments(arguments.clone()))
            }
            StreamEvent::ReasoningSignature { index, signature, dialect } => {
                let (text, dialect) = (signature.clone(), dialect.clone());
                (index, Piece::Signature { text, dialect })
            }
        };
        self.queue.piece(*index, piece, out)
    }

    fn start(&mut self, index: u32, kind: &BlockKind, out: &mut Vec<u8>) -> Result<(), CallError> {
        let (kind, block) = match kind {
            BlockKind::Text | BlockKind::Refusal => (Kind::Text, writer::empty_text()),
            BlockKind::Reasoning => (Kind::Thinking, writer::empty_thinking()),
            BlockKind::ToolCall { id, name } => (Kind::ToolUse, writer::empty_tool_use(id, name)),
            BlockKind::Other(value) => return self.whole(index, value, out),
        };
        let fields = self.fields.take();
        self.queue.start(Start { index, kind, block, fields }, out)
    }

    /// A block that comes whole; or fields of the next, which are no block of their own.
    fn whole(&mut self, index: u32, value: &Value, out: &mut Vec<u8>) -> Result<(), CallError> {
        let Ok(block) = serde_json::from_value::<Block>(value.clone()) else {
            return Ok(());
        };
        if let Block::Other { dialect, value: Value::Object(fields) } = &block
            && dialect == FIELDS
        {
            self.fields = Some(fields.clone());
            return Ok(());
        }
        let fields = self.fields.take();
        let Some(shape) = shape(&block) else {
            return Ok(());
        };
        let kind = match shape {
            Shape::Text { .. } => Kind::Text,
            Shape::Thinking { .. } => Kind::Thinking,
            Shape::ToolUse { .. } => Kind::ToolUse,
            Shape::Whole(_) => Kind::Whole,
        };
        let (block, pieces) = writer::taken_apart(shape);
        self.queue.start(Start { index, kind, block, fields }, out)?;
        for piece in pieces {
            self.queue.piece(index, piece, out)?;
        }
        Ok(())
    }

    /// See [`StreamEvent::Other`]: citations of a text, or fields of the message.
    fn other(&mut self, value: &Value, out: &mut Vec<u8>) -> Result<(), CallError> {
        let Some(extra) = value.get("extra").and_then(Value::as_object) else {
            return Ok(());
        };
        let Some(index) = value.get("index") else {
            accumulate(&mut self.extra, extra.clone());
            return Ok(());
        };
        let index = index.as_u64().and_then(|index| u32::try_from(index).ok());
        let (Some(index), Some(list)) = (index, extra.get("citations")) else {
            return Ok(());
        };
        for citation in citations(list) {
            self.queue.piece(index, Piece::Citation(citation.clone()), out)?;
        }
        Ok(())
    }

    /// `message_start`, once.
    fn open(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.opened, true) {
            return;
        }
        let usage = usage::encode(&self.usage.unwrap_or_default(), None);
        let message = json!({
            "id": self.id, "type": "message", "role": "assistant", "model": self.model,
            "content": [], "stop_reason": null, "stop_sequence": null, "usage": usage,
        });
        let event = json!({"type": "message_start", "message": message});
        writer::event("message_start", &event, out);
    }
}
