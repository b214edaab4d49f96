//! Events to a client's chunks, as SSE bytes.
//!
//! `Finish` only writes the chunk with the finish reason. Usage and `[DONE]` wait for
//! [`Encoder::end`], which the caller holds back until the answer is recorded; a stream that
//! failed or never finished ends without `[DONE]`, whatever is called.

use serde::Serialize;
use serde_json::{Value, json};

use super::super::{Identity, MESSAGE_FIELDS, error, finish};
use crate::chat::{FinishReason, Usage};
use crate::error::CallError;
use crate::event::{BlockKind, StreamEvent};
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
            StreamEvent::ReasoningSignature { .. }
            | StreamEvent::BlockStop { .. }
            | StreamEvent::Usage(_)
            | StreamEvent::Failed(_) => {}
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
        let kind = match kind {
            BlockKind::Text => Kind::Text,
            BlockKind::Reasoning => Kind::Reasoning,
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
            BlockKind::Other(block) => {
                self.message_fields(block, out);
                Kind::Other
            }
        };
        self.blocks.push((index, kind));
    }

    /// Fields of the message are this wire's own; a whole block of any other kind is not.
    fn message_fields(&self, block: &Value, out: &mut Vec<u8>) {
        let is_ours = block.get("dialect").is_some_and(|dialect| dialect == MESSAGE_FIELDS);
        if let Some(fields) = block.get("value").filter(|_| is_ours) {
            self.fields(fields, out);
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
    fn other(&self, value: &Value, out: &mut Vec<u8>) {
        let extra = value.get("extra").filter(|_| value.get("index").is_some());
        if let Some(extra) = extra {
            self.fields(extra, out);
        }
    }

    fn fields(&self, fields: &Value, out: &mut Vec<u8>) {
        let Some(fields) = fields.as_object() else {
            return;
        };
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
        self.state = State::Finished;
        self.chunk(out, |out| {
            out.extend(b"{\"index\":0,\"delta\":{},\"finish_reason\":");
            write_json(&finish::encode(reason), out);
            out.push(b'}');
        });
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
