//! Events to a client's chunks, as SSE bytes.
//!
//! `Finish` only writes the chunk with the finish reason. Usage and `[DONE]` wait for
//! [`Encoder::end`], which the caller holds back until the answer is recorded; a stream that
//! failed or never finished ends without `[DONE]`, whatever is called.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::super::{Identity, MESSAGE_FIELDS, error, finish};
use super::details::Outgoing;
use crate::chat::{Block, FinishReason, Usage};
use crate::error::CallError;
use crate::event::{BlockKind, StreamEvent};
use crate::fields::accumulate;
use crate::openai::usage::UsageBody;

/// Writes one stream.
#[derive(Debug)]
pub struct Encoder {
    /// Everything of a chunk up to its choices: the same in each.
    head: Vec<u8>,
    include_usage: bool,
    opened: bool,
    blocks: Vec<(u32, Kind)>,
    tool_calls: u32,
    details: Outgoing,
    /// Fields of the response as a whole, for the chunk with the finish reason.
    extra: Map<String, Value>,
    usage: Option<Usage>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Finished,
    /// Whatever there was to say has been said.
    Closed,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Reasoning,
    Refusal,
    /// Number among the tool calls.
    ToolCall(u32),
    Other,
}

/// Keys that a chunk has anyway.
const RESERVED: [&str; 6] = ["id", "object", "created", "model", "choices", "usage"];

impl Encoder {
    /// With `include_usage`, usage comes in a chunk of its own at the end.
    pub fn new(identity: &Identity<'_>, include_usage: bool) -> Self {
        let mut head = b"data: {\"id\":".to_vec();
        write_json(&identity.id, &mut head);
        head.extend(b",\"object\":\"chat.completion.chunk\",\"created\":");
        write_json(&identity.created, &mut head);
        head.extend(b",\"model\":");
        write_json(&identity.model, &mut head);
        Self {
            head,
            include_usage,
            opened: false,
            blocks: Vec::new(),
            tool_calls: 0,
            details: Outgoing::default(),
            extra: Map::new(),
            usage: None,
            state: State::Running,
        }
    }

    /// Appends the bytes that an event means; nothing for many.
    pub fn push(&mut self, event: &StreamEvent, out: &mut Vec<u8>) {
        if let StreamEvent::Usage(usage) = event {
            self.usage = Some(*usage);
        }
        if let StreamEvent::Failed(error) = event {
            self.fail(error, out);
        }
        if self.state != State::Running {
            return;
        }
        match event {
            StreamEvent::Started { .. } => self.open(out),
            StreamEvent::BlockStart { index, kind } => self.start(*index, kind, out),
            StreamEvent::TextDelta { index, text } => {
                let key: &[u8] = match self.kind(*index) {
                    Some(Kind::Text) => b"content",
                    Some(Kind::Refusal) => b"refusal",
                    _ => return,
                };
                self.text(key, text, out);
            }
            StreamEvent::ReasoningDelta { index, text } => {
                if let Some(Kind::Reasoning) = self.kind(*index) {
                    self.details.text(text);
                    self.text(b"reasoning_content", text, out);
                }
            }
            StreamEvent::ToolCallDelta { index, arguments } => {
                if let Some(Kind::ToolCall(number)) = self.kind(*index) {
                    self.arguments(number, arguments, out);
                }
            }
            StreamEvent::Finish(reason) => self.finish(reason, out),
            StreamEvent::Other(value) => self.other(value, out),
            StreamEvent::ReasoningSignature { signature, dialect, .. } => {
                self.details.sign(signature, dialect);
            }
            StreamEvent::BlockStop { .. } | StreamEvent::Usage(_) | StreamEvent::Failed(_) => {}
        }
    }

    /// Appends usage and `[DONE]`, once, and only after `Finish`.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        if self.state != State::Finished {
            return;
        }
        self.state = State::Closed;
        if let Some(usage) = self.usage.as_ref().filter(|_| self.include_usage) {
            out.extend(&self.head);
            out.extend(b",\"choices\":[],\"usage\":");
            write_json(&UsageBody::from(usage), out);
            out.extend(b"}\n\n");
        }
        out.extend(b"data: [DONE]\n\n");
    }

    /// Appends an error event, once. The stream will not look complete.
    pub fn fail(&mut self, error: &CallError, out: &mut Vec<u8>) {
        if self.state == State::Closed {
            return;
        }
        self.state = State::Closed;
        out.extend(b"data: ");
        error::write(error, out);
        out.extend(b"\n\n");
    }

    fn kind(&self, index: u32) -> Option<Kind> {
        self.blocks.iter().rev().find(|(block, _)| *block == index).map(|(_, kind)| *kind)
    }

    /// The first chunk, that says who speaks.
    fn open(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.opened, true) {
            self.delta(out, |out| out.extend(b"\"role\":\"assistant\",\"content\":\"\""));
        }
    }

    fn start(&mut self, index: u32, kind: &BlockKind, out: &mut Vec<u8>) {
        self.open(out);
        let whole = match kind {
            BlockKind::Other(block) => serde_json::from_value(block.clone()).ok(),
            _ => None,
        };
        if !whole.as_ref().is_some_and(|block| self.details.fields(block)) {
            self.tell_details(out);
        }
        if whole.is_none() && *kind != BlockKind::Reasoning {
            self.details.leave_item();
        }
        let kind = match kind {
            BlockKind::Text => Kind::Text,
            BlockKind::Reasoning => {
                self.details.start();
                Kind::Reasoning
            }
            BlockKind::Refusal => Kind::Refusal,
            BlockKind::ToolCall { id, name } => {
                let number = self.tool_calls;
                self.tool_calls += 1;
                self.delta(out, |out| {
                    out.extend(b"\"tool_calls\":[{\"index\":");
                    write_json(&number, out);
                    out.extend(b",\"id\":");
                    write_json(id, out);
                    out.extend(b",\"type\":\"function\",\"function\":{\"name\":");
                    write_json(name, out);
                    out.extend(b",\"arguments\":\"\"}}]");
                });
                Kind::ToolCall(number)
            }
            BlockKind::Other(_) => {
                if let Some(block) = whole {
                    self.whole(block, out);
                }
                Kind::Other
            }
        };
        self.blocks.push((index, kind));
    }

    /// Reasoning and fields of the message have a place here; a block of any other kind that
    /// comes whole has none.
    fn whole(&mut self, block: Block, out: &mut Vec<u8>) {
        match block {
            Block::Other { dialect, value } if dialect == MESSAGE_FIELDS => {
                if let Some(fields) = value.as_object() {
                    self.fields(fields, out);
                }
            }
            Block::Reasoning { ref text, .. } => {
                if !text.is_empty() {
                    self.text(b"reasoning_content", text, out);
                }
                self.details.whole(block);
            }
            block => {
                self.details.whole(block);
            }
        }
    }

    /// What is known of the latest reasoning besides its words.
    fn tell_details(&mut self, out: &mut Vec<u8>) {
        let entries = self.details.finish();
        if !entries.is_empty() {
            self.delta(out, |out| {
                out.extend(b"\"reasoning_details\":");
                write_json(&entries, out);
            });
        }
    }

    fn text(&self, key: &[u8], text: &str, out: &mut Vec<u8>) {
        self.delta(out, |out| {
            out.push(b'"');
            out.extend(key);
            out.extend(b"\":");
            write_json(&text, out);
        });
    }

    fn arguments(&self, number: u32, arguments: &str, out: &mut Vec<u8>) {
        self.delta(out, |out| {
            out.extend(b"\"tool_calls\":[{\"index\":");
            write_json(&number, out);
            out.extend(b",\"function\":{\"arguments\":");
            write_json(&arguments, out);
            out.extend(b"}}]");
        });
    }

    /// What was said about the text besides the text.
    fn other(&mut self, value: &Value, out: &mut Vec<u8>) {
        match (value.get("extra").and_then(Value::as_object), value.get("index")) {
            (Some(extra), Some(_)) => self.fields(extra, out),
            (Some(extra), None) => accumulate(&mut self.extra, extra.clone()),
            (None, _) => {}
        }
    }

    fn fields(&self, fields: &Map<String, Value>, out: &mut Vec<u8>) {
        let mut delta = fields.clone();
        let logprobs = delta.shift_remove("logprobs");
        for known in ["role", "content", "reasoning_content", "refusal", "tool_calls"] {
            delta.shift_remove(known);
        }
        let mut choice = json!({"index": 0, "delta": delta, "finish_reason": null});
        if let (Some(logprobs), Some(choice)) = (logprobs, choice.as_object_mut()) {
            choice.insert("logprobs".into(), logprobs);
        }
        self.chunk(out, |out| write_json(&choice, out));
    }

    fn finish(&mut self, reason: &FinishReason, out: &mut Vec<u8>) {
        self.open(out);
        self.tell_details(out);
        self.state = State::Finished;
        let head = self.head.len();
        for (key, value) in std::mem::take(&mut self.extra) {
            if !RESERVED.contains(&key.as_str()) {
                self.head.push(b',');
                write_json(&key, &mut self.head);
                self.head.push(b':');
                write_json(&value, &mut self.head);
            }
        }
        self.chunk(out, |out| {
            out.extend(b"{\"index\":0,\"delta\":{},\"finish_reason\":");
            write_json(&finish::encode(reason), out);
            out.push(b'}');
        });
        self.head.truncate(head);
    }

    fn delta(&self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        self.chunk(out, |out| {
            out.extend(b"{\"index\":0,\"delta\":{");
            write(out);
            out.extend(b"},\"finish_reason\":null}");
        });
    }

    fn chunk(&self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        out.extend(&self.head);
        out.extend(b",\"choices\":[");
        write(out);
        out.extend(if self.include_usage { &b"],\"usage\":null}\n\n"[..] } else { &b"]}\n\n"[..] });
    }
}

/// Into memory, and of types that always have a JSON form: there is nothing that can fail.
fn write_json(value: &impl Serialize, out: &mut Vec<u8>) {
    let start = out.len();
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(start);
        out.extend(b"null");
    }
}
