//! One item of a stream while it comes, and the blocks it becomes.
//!
//! Deltas count; what a `done` event repeats is used for what no delta brought, so that a
//! server that leaves out deltas or `added` events is understood as well. The marker of an
//! item comes before its first block. Reasoning keeps its last block open until the item is
//! done, as the blob that belongs to it comes then.

use serde_json::{Map, Value, json};

use super::super::DIALECT;
use super::super::part;
use super::super::reasoning;
use super::super::response::output::{
    ReasoningItem, call, content_part, message_marker, text_marker, whole,
};
use super::blocks::{Blocks, Last};
use crate::chat::Block;
use crate::event::{BlockKind, StreamEvent};

/// An item that has begun.
#[derive(Debug)]
pub(super) struct Open {
    /// Its place in `output`.
    pub(super) place: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Message {
        parts: Vec<Part>,
    },
    Reasoning {
        marker: Map<String, Value>,
        parts: Vec<Thought>,
        index: Option<u32>,
    },
    Call {
        index: u32,
        bytes: usize,
    },
    /// Told by its `done` event alone.
    Whole,
}

/// A part of a message.
#[derive(Debug)]
struct Part {
    place: u64,
    index: u32,
    bytes: usize,
    annotations: usize,
    has_logprobs: bool,
    open: bool,
}

/// A part of reasoning: under `summary` or `content`, its place there, what came of it.
#[derive(Debug)]
struct Thought {
    as_text: bool,
    place: u64,
    bytes: usize,
}

/// Which text a delta is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prose {
    Text,
    Refusal,
    Summary,
    Reasoning,
}

impl Open {
    pub(super) fn start(
        place: u64,
        fields: Map<String, Value>,
        blocks: &mut Blocks,
        events: &mut Vec<StreamEvent>,
    ) -> Self {
        let kind = fields.get("type").and_then(Value::as_str).unwrap_or_default();
        let state = match kind {
            "message" => {
                blocks.marker(message_marker(fields), Last::Content, events);
                State::Message { parts: Vec::new() }
            }
            "reasoning" => {
                let marker = ReasoningItem::of(fields).marker;
                State::Reasoning { marker, parts: Vec::new(), index: None }
            }
            "function_call" if has_name(&fields) => start_call(fields, blocks, events),
            _ => State::Whole,
        };
        Self { place, state }
    }

    /// A content part begins; text that stands in it already counts as a delta.
    pub(super) fn part(
        &mut self,
        place: u64,
        part: &Value,
        blocks: &mut Blocks,
        events: &mut Vec<StreamEvent>,
    ) {
        let text = |key: &str| part.get(key).and_then(Value::as_str).unwrap_or_default();
        let (prose, text) = match part.get("type").and_then(Value::as_str) {
            Some("output_text") => (Prose::Text, text("text")),
            Some("refusal") => (Prose::Refusal, text("refusal")),
            Some("reasoning_text") => (Prose::Reasoning, text("text")),
            _ => return,
        };
        if matches!(self.state, State::Message { .. }) {
            self.message_part(place, prose, blocks, events);
        }
        self.delta(place, prose, text, blocks, events);
    }

    /// More of a text; begins the part if nothing else did.
    pub(super) fn delta(
        &mut self,
        place: u64,
        prose: Prose,
        text: &str,
        blocks: &mut Blocks,
        events: &mut Vec<StreamEvent>,
    ) {
        if text.is_empty() {
            return;
        }
        match prose {
            Prose::Text | Prose::Refusal => {
                if let Some(part) = self.message_part(place, prose, blocks, events) {
                    part.bytes = part.bytes.saturating_add(text.len());
                    let (index, text) = (part.index, text.to_owned());
                    events.push(StreamEvent::TextDelta { index, text });
                }
            }
            Prose::Summary | Prose::Reasoning => {
                self.thought(place, prose == Prose::Reasoning, text, blocks, events);
            }
        }
    }

    /// The whole of a text: whatever no delta brought is one more.
    pub(super) fn text_done(
        &mut self,
        place: u64,
        prose: Prose,
        text: &str,
        blocks: &mut Blocks,
        events: &mut Vec<StreamEvent>,
    ) {
        let seen = match (&self.state, prose) {
            (State::Message { parts }, Prose::Text | Prose::Refusal) => {
                parts.iter().find(|part| part.place == place).map_or(0, |part| part.bytes)
            }
            (State::Reasoning { parts, .. }, Prose::Summary | Prose::Reasoning) => {
                let as_text = prose == Prose::Reasoning;
                let part = parts.iter().find(|part| part.place == place && part.as_text == as_text);
                part.map_or(0, |part| part.bytes)
            }
            _ => return,
        };
        if let Some(rest) = text.get(seen..) {
            self.delta(place, prose, rest, blocks, events);
        }
    }

    pub(super) fn arguments(&mut self, more: &str, events: &mut Vec<StreamEvent>) {
        if let State::Call { index, bytes } = &mut self.state
            && !more.is_empty()
        {
            *bytes = bytes.saturating_add(more.len());
            let arguments = more.to_owned();
            events.push(StreamEvent::ToolCallDelta { index: *index, arguments });
        }
    }

    pub(super) fn arguments_done(&mut self, all: &str, events: &mut Vec<StreamEvent>) {
        if let State::Call { bytes, .. } = self.state
            && let Some(rest) = all.get(bytes..)
        {
            self.arguments(rest, events);
        }
    }

    /// What is said of a text besides the text.
    pub(super) fn annotate(
        &mut self,
        place: u64,
        annotations: Vec<Value>,
        logprobs: Option<Value>,
        events: &mut Vec<StreamEvent>,
    ) {
        let logprobs = logprobs.filter(|list| list.as_array().is_some_and(|list| !list.is_empty()));
        if annotations.is_empty() && logprobs.is_none() {
            return;
        }
        let State::Message { parts } = &mut self.state else {
            return;
        };
        let Some(part) = parts.iter_mut().find(|part| part.place == place) else {
            return;
        };
        part.annotations = part.annotations.saturating_add(annotations.len());
        let mut fields = Map::new();
        fields.insert("annotations".into(), annotations.into());
        if let Some(logprobs) = logprobs {
            part.has_logprobs = true;
            fields.insert("logprobs".into(), logprobs);
        }
        let extra = part::text_extra(fields);
        if !extra.is_empty() {
            events.push(StreamEvent::Other(json!({"index": part.index, "extra": extra})));
        }
    }

    /// A content part is done: what it repeats completes what came of it.
    pub(super) fn part_done(
        &mut self,
        place: u64,
        value: Value,
        blocks: &mut Blocks,
        events: &mut Vec<StreamEvent>,
    ) {
        let State::Message { parts } = &mut self.state else {
            return;
        };
        let known = parts.iter().find(|part| part.place == place);
        if known.is_some_and(|part| !part.open) {
            return;
        }
        let kind = value.get("type").and_then(Value::as_str).unwrap_or_default();
        let prose = match kind {
            "output_text" => Prose::Text,
            "refusal" => Prose::Refusal,
            _ => {
                blocks.whole(&content_part(value), events);
                let (index, bytes) = (blocks.next.saturating_sub(1), 0);
                let (annotations, has_logprobs, open) = (0, false, false);
                parts.push(Part { place, index, bytes, annotations, has_logprobs, open });
                return;
            }
        };
        self.message_part(place, prose, blocks, events);
        let key = if prose == Prose::Text { "text" } else { "refusal" };
        let text = value.get(key).and_then(Value::as_str).unwrap_or_default();
        self.text_done(place, prose, text, blocks, events);
        self.complete_part(place, &value, events);
    }

    /// The item is done: what it repeats completes what came of it.
    pub(super) fn done(
        mut self,
        mut fields: Map<String, Value>,
        blocks: &mut Blocks,
        events: &mut Vec<StreamEvent>,
    ) {
        if matches!(self.state, State::Whole) {
            if fields.get("type").is_some_and(|kind| kind == "function_call") {
                self.state = start_call(fields, blocks, events);
            } else {
                blocks.whole(&whole(fields), events);
            }
            self.stop(events);
            return;
        }
        match &self.state {
            State::Message { .. } => {
                if let Some(Value::Array(content)) = fields.shift_remove("content") {
                    for (place, part) in (0..).zip(content) {
                        self.part_done(place, part, blocks, events);
                    }
                }
            }
            State::Call { .. } => {
                if let Some(Value::String(arguments)) = fields.get("arguments") {
                    let arguments = arguments.clone();
                    self.arguments_done(&arguments, events);
                }
            }
            State::Reasoning { .. } => self.reasoning_done(fields, blocks, events),
            State::Whole => {}
        }
        self.stop(events);
    }

    /// Ends whatever is open.
    pub(super) fn stop(self, events: &mut Vec<StreamEvent>) {
        let open = |index| StreamEvent::BlockStop { index };
        match self.state {
            State::Message { parts } => {
                events.extend(parts.iter().filter(|part| part.open).map(|part| open(part.index)));
            }
            State::Reasoning { index, .. } => events.extend(index.map(open)),
            State::Call { index, .. } => events.push(open(index)),
            State::Whole => {}
        }
    }

    fn message_part(
        &mut self,
        place: u64,
        prose: Prose,
        blocks: &mut Blocks,
        events: &mut Vec<StreamEvent>,
    ) -> Option<&mut Part> {
        let State::Message { parts } = &mut self.state else {
            return None;
        };
        let position = match parts.iter().position(|part| part.place == place) {
            Some(position) => position,
            None => {
                let is_refusal = prose == Prose::Refusal;
                let kind = if is_refusal { BlockKind::Refusal } else { BlockKind::Text };
                let index = blocks.start(kind, events);
                let (bytes, annotations, has_logprobs, open) = (0, 0, false, true);
                parts.push(Part { place, index, bytes, annotations, has_logprobs, open });
                parts.len() - 1
            }
        };
        parts.get_mut(position).filter(|part| part.open)
    }

    fn complete_part(&mut self, place: u64, value: &Value, events: &mut Vec<StreamEvent>) {
        let State::Message { parts } = &self.state else {
            return;
        };
        let Some(part) = parts.iter().find(|part| part.place == place) else {
            return;
        };
        let annotations = value.get("annotations").and_then(Value::as_array);
        let missing = annotations.and_then(|all| all.get(part.annotations..)).unwrap_or_default();
        let logprobs = value.get("logprobs").filter(|_| !part.has_logprobs).cloned();
        self.annotate(place, missing.to_vec(), logprobs, events);
        if let State::Message { parts } = &mut self.state
            && let Some(part) = parts.iter_mut().find(|part| part.place == place)
        {
            part.open = false;
            events.push(StreamEvent::BlockStop { index: part.index });
        }
    }

    fn thought(
        &mut self,
        place: u64,
        as_text: bool,
        text: &str,
        blocks: &mut Blocks,
        events: &mut Vec<StreamEvent>,
    ) {
        let State::Reasoning { marker, parts, index } = &mut self.state else {
            return;
        };
        let is_last = |part: &&mut Thought| part.place == place && part.as_text == as_text;
        let last = parts.last_mut().filter(is_last);
        let target = match (last, *index) {
            (Some(part), Some(open)) => {
                part.bytes = part.bytes.saturating_add(text.len());
                open
            }
            _ => {
                events.extend(index.take().map(|index| StreamEvent::BlockStop { index }));
                let goes_on = parts.last().is_some_and(|last| last.as_text == as_text);
                match (goes_on, as_text) {
                    (true, _) => {}
                    (false, true) => blocks.marker(text_marker(marker), Last::Item, events),
                    (false, false) => blocks.marker(marker.clone(), Last::Reasoning, events),
                }
                parts.push(Thought { as_text, place, bytes: text.len() });
                let started = blocks.start(BlockKind::Reasoning, events);
                *index = Some(started);
                started
            }
        };
        events.push(StreamEvent::ReasoningDelta { index: target, text: text.to_owned() });
    }

    fn reasoning_done(
        &mut self,
        fields: Map<String, Value>,
        blocks: &mut Blocks,
        events: &mut Vec<StreamEvent>,
    ) {
        let item = ReasoningItem::of(fields.clone());
        let nothing_came =
            matches!(&self.state, State::Reasoning { parts, .. } if parts.is_empty());
        if nothing_came && item.is_empty() {
            blocks.whole(&whole(fields), events);
            return;
        }
        // Parts of a `done` item have lost their places if an empty one was among them, so
        // they are only read where no delta came at all.
        if nothing_came {
            for (prose, texts) in [(Prose::Summary, &item.summary), (Prose::Reasoning, &item.text)]
            {
                for (place, text) in (0..).zip(texts) {
                    self.delta(place, prose, text, blocks, events);
                }
            }
        }
        let State::Reasoning { marker, index, .. } = &self.state else {
            return;
        };
        let (Some(blob), index) = (item.blob, *index) else {
            return;
        };
        match index {
            Some(index) => {
                let dialect = DIALECT.to_owned();
                events.push(StreamEvent::ReasoningSignature { index, signature: blob, dialect });
            }
            None => {
                blocks.marker(marker.clone(), Last::Reasoning, events);
                blocks.whole(&reasoning::own(String::new(), Some(blob)), events);
            }
        }
    }
}

fn has_name(fields: &Map<String, Value>) -> bool {
    let is_set = |key: &str| fields.get(key).and_then(Value::as_str).is_some_and(|s| !s.is_empty());
    is_set("name") && (is_set("call_id") || is_set("id"))
}

fn start_call(
    fields: Map<String, Value>,
    blocks: &mut Blocks,
    events: &mut Vec<StreamEvent>,
) -> State {
    let (marker, block) = call(fields);
    let Block::ToolCall { id, name, arguments, .. } = block else {
        return State::Whole;
    };
    blocks.marker(marker, Last::Item, events);
    let index = blocks.start(BlockKind::ToolCall { id, name }, events);
    let bytes = arguments.len();
    if bytes > 0 {
        events.push(StreamEvent::ToolCallDelta { index, arguments });
    }
    State::Call { index, bytes }
}
