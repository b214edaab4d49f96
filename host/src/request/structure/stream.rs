//! An answer that was asked for in a roundabout way, as the client expects it: events in,
//! events out.
//!
//! The JSON arrives as the arguments of our tool or in text with remarks around it; it leaves
//! as text. The first JSON is the answer: further calls of our tool, and text after it, are
//! left out. Calls of the client's own tools, reasoning and refusals pass. Blocks are
//! numbered anew, in the order they begin. Any cut of the same answer gives the same text.

use std::collections::BTreeMap;

use serde_json::Value;
use torana_wire::chat::FinishReason;
use torana_wire::event::{BlockKind, StreamEvent};

use super::filter::{Filter, Unwrapper, text_of};

/// Blocks remembered for what comes after their end, such as citations.
const MAX_BLOCKS: usize = 4096;
/// Citations and log probabilities kept for a text that is held back.
const MAX_EXTRAS: usize = 1024;

/// Rewrites one streamed answer.
#[derive(Debug)]
pub struct StreamRewriter {
    /// Nothing is to be changed.
    passing: bool,
    tool: Option<String>,
    wrapped: bool,
    filter: Filter,
    /// By the number the provider gave.
    blocks: BTreeMap<u32, Slot>,
    /// The next number of ours.
    next: u32,
    /// The text block that is open, by the provider's number.
    text: Option<u32>,
    extras: Vec<Value>,
    called_a_tool: bool,
}

/// What becomes of a block.
#[derive(Debug)]
enum Slot {
    /// `out` is absent until something of the text is given.
    Text {
        out: Option<u32>,
    },
    Ours {
        out: u32,
        arguments: Arguments,
    },
    Passed {
        out: u32,
    },
    Dropped,
}

/// The arguments of our tool.
#[derive(Debug)]
struct Arguments {
    unwrapper: Option<Unwrapper>,
    empty: bool,
}

impl StreamRewriter {
    pub(super) fn new(tool: Option<String>, wrapped: bool) -> Self {
        Self {
            passing: false,
            tool,
            wrapped,
            filter: Filter::new(wrapped),
            blocks: BTreeMap::new(),
            next: 0,
            text: None,
            extras: Vec::new(),
            called_a_tool: false,
        }
    }

    pub(super) fn passing() -> Self {
        Self { passing: true, ..Self::new(None, false) }
    }

    /// Takes an event and appends what it becomes.
    pub fn push(&mut self, event: StreamEvent, out: &mut Vec<StreamEvent>) {
        match event {
            event if self.passing => out.push(event),
            StreamEvent::BlockStart { index, kind } => self.start(index, kind, out),
            StreamEvent::TextDelta { index, text } => self.delta(index, text, out),
            StreamEvent::ToolCallDelta { index, arguments } => {
                self.arguments(index, arguments, out);
            }
            StreamEvent::ReasoningDelta { index, text } => {
                if let Some(index) = self.given(index) {
                    out.push(StreamEvent::ReasoningDelta { index, text });
                }
            }
            StreamEvent::ReasoningSignature { index, .. } => {
                if let Some(given) = self.given(index) {
                    out.push(renumbered(event, given));
                }
            }
            StreamEvent::BlockStop { index } => self.stop(index, out),
            StreamEvent::Finish(reason) => {
                self.flush(out);
                out.push(StreamEvent::Finish(self.reason(reason)));
            }
            StreamEvent::Failed(_) => {
                self.flush(out);
                out.push(event);
            }
            StreamEvent::Other(value) => self.other(value, out),
            StreamEvent::Started { .. } | StreamEvent::Usage(_) => out.push(event),
        }
    }

    /// What was held back when the stream ends without a finish.
    pub fn finish(&mut self, out: &mut Vec<StreamEvent>) {
        self.flush(out);
    }

    fn start(&mut self, index: u32, kind: BlockKind, out: &mut Vec<StreamEvent>) {
        let slot = match kind {
            BlockKind::Text => {
                self.text = Some(index);
                Slot::Text { out: None }
            }
            BlockKind::ToolCall { name, .. } if self.tool.as_deref() == Some(&*name) => {
                self.ours(out)
            }
            BlockKind::Other(value) => self.whole(value, out),
            kind => {
                if matches!(kind, BlockKind::ToolCall { .. }) {
                    self.called_a_tool = true;
                }
                self.pass(kind, out)
            }
        };
        if self.blocks.len() >= MAX_BLOCKS {
            self.blocks.pop_first();
        }
        self.blocks.insert(index, slot);
    }

    /// A block that came whole: rarely, a call of our tool.
    fn whole(&mut self, value: Value, out: &mut Vec<StreamEvent>) -> Slot {
        let call = self.tool.as_deref().and_then(|tool| called(&value, tool));
        match call {
            None => {
                self.called_a_tool |= value.get("type").is_some_and(|kind| kind == "tool_call");
                self.pass(BlockKind::Other(value), out)
            }
            Some(arguments) => {
                let mut slot = self.ours(out);
                if let Slot::Ours { out: index, arguments: state } = &mut slot {
                    give(*index, state.push(arguments), out);
                }
                slot
            }
        }
    }

    fn ours(&mut self, out: &mut Vec<StreamEvent>) -> Slot {
        if self.filter.has_begun() {
            return Slot::Dropped;
        }
        self.filter.discard();
        self.filter.conclude();
        self.extras.clear();
        let index = self.number();
        out.push(StreamEvent::BlockStart { index, kind: BlockKind::Text });
        let unwrapper = self.wrapped.then(Unwrapper::default);
        Slot::Ours { out: index, arguments: Arguments { unwrapper, empty: true } }
    }

    fn pass(&mut self, kind: BlockKind, out: &mut Vec<StreamEvent>) -> Slot {
        // What was said before a block stays before it. Reasoning is no answer: the JSON may
        // still follow the remark.
        if !matches!(kind, BlockKind::Reasoning) {
            self.flush(out);
        }
        let index = self.number();
        out.push(StreamEvent::BlockStart { index, kind });
        Slot::Passed { out: index }
    }

    fn delta(&mut self, index: u32, text: String, out: &mut Vec<StreamEvent>) {
        match self.blocks.get(&index) {
            Some(Slot::Text { .. }) => {
                let given = self.filter.push(&text);
                self.say(index, given, out);
            }
            Some(Slot::Passed { out: given }) => {
                out.push(StreamEvent::TextDelta { index: *given, text });
            }
            Some(Slot::Ours { .. } | Slot::Dropped) | None => {}
        }
    }

    fn arguments(&mut self, index: u32, arguments: String, out: &mut Vec<StreamEvent>) {
        match self.blocks.get_mut(&index) {
            Some(Slot::Ours { out: given, arguments: state }) => {
                give(*given, state.push(&arguments), out);
            }
            Some(Slot::Passed { out: given }) => {
                out.push(StreamEvent::ToolCallDelta { index: *given, arguments });
            }
            Some(Slot::Text { .. } | Slot::Dropped) | None => {}
        }
    }

    fn stop(&mut self, index: u32, out: &mut Vec<StreamEvent>) {
        let stopped = match self.blocks.get_mut(&index) {
            Some(Slot::Text { out: given }) => {
                self.text = self.text.filter(|open| *open != index);
                *given
            }
            Some(Slot::Ours { out: given, arguments }) => {
                give(*given, arguments.finish(), out);
                Some(*given)
            }
            Some(Slot::Passed { out: given }) => Some(*given),
            Some(Slot::Dropped) | None => None,
        };
        out.extend(stopped.map(|index| StreamEvent::BlockStop { index }));
    }

    /// Gives what was held back, in the open text block or in one of its own.
    fn flush(&mut self, out: &mut Vec<StreamEvent>) {
        let text = self.filter.finish();
        if text.is_empty() {
            return;
        }
        match self.text {
            Some(index) => self.say(index, text, out),
            None => {
                let index = self.number();
                out.push(StreamEvent::BlockStart { index, kind: BlockKind::Text });
                give(index, text, out);
                let extras = std::mem::take(&mut self.extras);
                out.extend(extras.into_iter().map(|value| numbered(value, index)));
                out.push(StreamEvent::BlockStop { index });
            }
        }
    }

    /// Text of a block that begins with its first text.
    fn say(&mut self, index: u32, text: String, out: &mut Vec<StreamEvent>) {
        if text.is_empty() {
            return;
        }
        let next = self.next;
        let Some(Slot::Text { out: given }) = self.blocks.get_mut(&index) else { return };
        let begins = given.is_none();
        let number = *given.get_or_insert(next);
        if begins {
            self.next = next.saturating_add(1);
            out.push(StreamEvent::BlockStart { index: number, kind: BlockKind::Text });
        }
        give(number, text, out);
        if begins {
            let extras = std::mem::take(&mut self.extras);
            out.extend(extras.into_iter().map(|value| numbered(value, number)));
        }
    }

    /// Fields of a block go where its text went.
    fn other(&mut self, value: Value, out: &mut Vec<StreamEvent>) {
        let index = value.get("index").and_then(Value::as_u64);
        let Some(index) = index.and_then(|index| u32::try_from(index).ok()) else {
            return out.push(StreamEvent::Other(value));
        };
        match self.given(index) {
            Some(given) => out.push(numbered(value, given)),
            // The text is held back; or it was a remark, and its fields go with it.
            None => {
                let held = matches!(self.blocks.get(&index), Some(Slot::Text { .. }));
                if held && self.extras.len() < MAX_EXTRAS && !self.filter.has_begun() {
                    self.extras.push(value);
                }
            }
        }
    }

    /// Our number of a block that the client was told of.
    fn given(&self, index: u32) -> Option<u32> {
        match self.blocks.get(&index)? {
            Slot::Text { out } => *out,
            Slot::Ours { out, .. } | Slot::Passed { out } => Some(*out),
            Slot::Dropped => None,
        }
    }

    fn number(&mut self) -> u32 {
        let number = self.next;
        self.next = number.saturating_add(1);
        number
    }

    /// To call our tool is to answer.
    fn reason(&self, reason: FinishReason) -> FinishReason {
        match reason {
            FinishReason::ToolCalls if self.tool.is_some() && !self.called_a_tool => {
                FinishReason::Stop
            }
            reason => reason,
        }
    }
}

impl Arguments {
    fn push(&mut self, text: &str) -> String {
        self.empty &= text.trim().is_empty();
        match &mut self.unwrapper {
            None => text.to_owned(),
            Some(unwrapper) => {
                let mut out = Vec::with_capacity(text.len());
                unwrapper.push(text.as_bytes(), &mut out);
                text_of(out)
            }
        }
    }

    fn finish(&mut self) -> String {
        if std::mem::take(&mut self.empty) {
            // Some providers say so for an empty object.
            return "{}".into();
        }
        self.unwrapper.as_mut().map(|unwrapper| text_of(unwrapper.finish())).unwrap_or_default()
    }
}

fn give(index: u32, text: String, out: &mut Vec<StreamEvent>) {
    if !text.is_empty() {
        out.push(StreamEvent::TextDelta { index, text });
    }
}

/// The arguments, if the block is a call of `tool`.
fn called<'a>(block: &'a Value, tool: &str) -> Option<&'a str> {
    let is_call = block.get("type")? == "tool_call" && block.get("name")? == tool;
    block.get("arguments")?.as_str().filter(|_| is_call)
}

fn numbered(mut value: Value, number: u32) -> StreamEvent {
    if let Some(index) = value.get_mut("index") {
        *index = number.into();
    }
    StreamEvent::Other(value)
}

fn renumbered(mut event: StreamEvent, number: u32) -> StreamEvent {
    if let StreamEvent::ReasoningSignature { index, .. } = &mut event {
        *index = number;
    }
    event
}
