//! Events to a client's events, as SSE bytes.
//!
//! Every item is told as OpenAI tells it: added, its parts with their deltas, done; at last
//! the whole response once more. That takes the text of the answer in memory, of which there
//! may be [`MAX_BYTES`]; a longer answer fails rather than end incomplete. `Finish` ends what
//! is open; the last event waits for [`Encoder::end`], which the caller holds back until the
//! answer is recorded. A stream that failed or never finished ends without it, whatever is
//! called.

use serde_json::{Map, Value, json};

use super::super::item::{Content, Items, Part, status_of};
use super::super::reasoning::sealed;
use super::super::response::{State as Body, body};
use super::super::{Echo, Identity, failure, part};
use super::sse::Sse;
use crate::assemble::MAX_BYTES;
use crate::chat::{Block, FinishReason, Usage};
use crate::error::{CallError, CallErrorKind};
use crate::event::{BlockKind, StreamEvent};
use crate::fields::accumulate;

mod parts;

/// Writes one stream.
#[derive(Debug)]
pub struct Encoder {
    id: String,
    model: String,
    created: u64,
    echo: Echo,
    sse: Sse,
    opened: bool,
    items: Items,
    /// Blocks that are open.
    blocks: Vec<Open>,
    /// Items that are done, by their place.
    done: Vec<bool>,
    usage: Option<Usage>,
    extra: Map<String, Value>,
    reason: Option<FinishReason>,
    bytes: usize,
    /// Nothing more may be written.
    closed: bool,
}

/// A block that is open, and the part of an item that it is.
#[derive(Debug, Clone, Copy)]
struct Open {
    index: u32,
    item: usize,
    part: usize,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Refusal,
    Summary,
    /// Reasoning under `content`.
    Reasoning,
    Call,
}

impl Encoder {
    /// A stream of the answer that `identity` names, to the request that `echo` repeats.
    pub fn new(identity: &Identity<'_>, echo: Echo) -> Self {
        Self {
            id: identity.id.to_owned(),
            model: identity.model.to_owned(),
            created: identity.created,
            echo,
            sse: Sse::default(),
            opened: false,
            items: Items::new(identity.id),
            blocks: Vec::new(),
            done: Vec::new(),
            usage: None,
            extra: Map::new(),
            reason: None,
            bytes: 0,
            closed: false,
        }
    }

    /// Appends what an event means to the client.
    pub fn push(&mut self, event: &StreamEvent, out: &mut Vec<u8>) {
        if self.closed {
            return;
        }
        if let StreamEvent::Failed(error) = event {
            self.fail(error, out);
            return;
        }
        self.open(out);
        match event {
            StreamEvent::Usage(usage) => self.usage = Some(*usage),
            StreamEvent::Other(value) => self.other(value, out),
            // Whatever else follows a finish has no place any more.
            _ if self.reason.is_some() => {}
            StreamEvent::BlockStart { index, kind } => self.start(*index, kind, out),
            StreamEvent::TextDelta { index, text }
            | StreamEvent::ReasoningDelta { index, text } => {
                self.delta(*index, text, out);
            }
            StreamEvent::ToolCallDelta { index, arguments } => self.delta(*index, arguments, out),
            StreamEvent::ReasoningSignature { index, signature, dialect } => {
                self.signature(*index, signature, dialect);
            }
            StreamEvent::BlockStop { index } => self.stop(*index, out),
            StreamEvent::Finish(reason) => self.finish(reason, out),
            StreamEvent::Started { .. } | StreamEvent::Failed(_) => {}
        }
        if self.bytes > MAX_BYTES {
            let message = format!("the answer is longer than {MAX_BYTES} bytes");
            self.fail(&CallError::new(CallErrorKind::MalformedResponse, message), out);
        }
    }

    /// Ends the stream: `response.completed` or `response.incomplete`, if it has finished.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        if self.closed {
            return;
        }
        let Some(reason) = self.reason.clone() else {
            return;
        };
        self.closed = true;
        let (status, why) = status_of(Some(&reason));
        let name =
            if status == "incomplete" { "response.incomplete" } else { "response.completed" };
        let response = self.response(status, why, Value::Null);
        self.sse.event(name, json!({"response": response}), out);
    }

    /// Ends the stream with an `error` and a `response.failed`. After [`Encoder::end`] there
    /// is nothing left to end.
    pub fn fail(&mut self, error: &CallError, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        // Otherwise the client would learn of a response that it never heard of.
        if !self.opened {
            self.announce(out);
        }
        let (code, message) = (failure::code(error), &error.message);
        let class = failure::class(error);
        let inner = json!({"type": class, "code": code, "message": message, "param": null});
        // OpenAI documents the fields at the top and sends them under `error`.
        let event = json!({"code": code, "message": message, "param": null, "error": inner});
        self.sse.event("error", event, out);
        let listed = json!({"code": failure::listed_code(error), "message": message});
        let response = self.response("failed", None, listed);
        self.sse.event("response.failed", json!({"response": response}), out);
    }

    fn open(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.opened, true) {
            self.announce(out);
        }
    }

    fn announce(&mut self, out: &mut Vec<u8>) {
        let response = self.response("in_progress", None, Value::Null);
        self.sse.event("response.created", json!({"response": response}), out);
        self.sse.event("response.in_progress", json!({"response": response}), out);
    }

    fn response(&self, status: &str, reason: Option<&str>, error: Value) -> Value {
        let output = match status {
            "in_progress" => Vec::new(),
            status => self.items.values(status),
        };
        let identity = Identity { id: &self.id, model: &self.model, created: self.created };
        let (usage, extra) = (self.usage.as_ref(), &self.extra);
        body(&identity, &self.echo, Body { status, reason, error, output, usage, extra })
    }

    fn start(&mut self, index: u32, kind: &BlockKind, out: &mut Vec<u8>) {
        let before = self.items.len();
        let (item, part, kind) = match kind {
            BlockKind::Text => {
                let new = Part::Text { text: String::new(), extra: Map::new() };
                let (item, part) = self.items.message_part(new);
                (item, part, Kind::Text)
            }
            BlockKind::Refusal => {
                let (item, part) = self.items.message_part(Part::Refusal(String::new()));
                (item, part, Kind::Refusal)
            }
            BlockKind::Reasoning => {
                let (item, part, as_text) = self.items.reasoning_part();
                (item, part, if as_text { Kind::Reasoning } else { Kind::Summary })
            }
            BlockKind::ToolCall { id, name } => {
                self.bytes = self.bytes.saturating_add(id.len()).saturating_add(name.len());
                (self.items.call(id, name), 0, Kind::Call)
            }
            BlockKind::Other(value) => return self.whole(index, value, out),
        };
        self.settle(before, out);
        let open = Open { index, item, part, kind };
        self.blocks.push(open);
        self.part_added(open, out);
    }

    /// A block that came whole: markers say what comes next, what is a part of an item is
    /// told like one that was streamed, and an item is told as it stands.
    fn whole(&mut self, index: u32, value: &Value, out: &mut Vec<u8>) {
        let Ok(block) = serde_json::from_value::<Block>(value.clone()) else {
            return;
        };
        self.bytes = self.bytes.saturating_add(value.to_string().len());
        let kind = match &block {
            Block::Text { .. } => BlockKind::Text,
            Block::Refusal { .. } => BlockKind::Refusal,
            Block::Reasoning { text, .. } if !text.is_empty() => BlockKind::Reasoning,
            Block::ToolCall { id, name, .. } => {
                BlockKind::ToolCall { id: id.clone(), name: name.clone() }
            }
            _ => {
                let before = self.items.len();
                self.items.block(&block);
                self.settle(before, out);
                self.part_whole(&block, out);
                return;
            }
        };
        self.start(index, &kind, out);
        match &block {
            Block::Text { text, extra, .. } => {
                self.delta(index, text, out);
                self.other(&json!({"index": index, "extra": extra}), out);
            }
            Block::Refusal { text } | Block::ToolCall { arguments: text, .. } => {
                self.delta(index, text, out);
            }
            Block::Reasoning { text, signature, encrypted, dialect } => {
                self.delta(index, text, out);
                let blob = sealed(signature.as_deref(), encrypted.as_deref(), dialect.as_deref());
                self.set_blob(index, blob.as_deref());
            }
            _ => {}
        }
    }

    /// Tells of items that have begun since there were `before` of them, and ends those that
    /// nothing can be added to any more.
    fn settle(&mut self, before: usize, out: &mut Vec<u8>) {
        self.finish_items(before, "completed", out);
        for place in before..self.items.len() {
            let Some(item) = self.items.get(place) else {
                continue;
            };
            let value = item.empty_value();
            self.sse.event(
                "response.output_item.added",
                json!({"output_index": place, "item": value}),
                out,
            );
            self.done.push(false);
        }
        // Items without parts of their own are whole at once.
        for place in before..self.items.len() {
            let is_whole = self.items.get(place).is_some_and(|item| match &item.content {
                Content::Whole(_) => true,
                Content::Reasoning { summary, text, .. } => summary.is_empty() && text.is_empty(),
                Content::Message(_) | Content::Call { .. } => false,
            });
            if is_whole {
                self.item_done(place, "completed", out);
            }
        }
    }

    /// Ends items up to `end` that have no open block and are not at hand.
    fn finish_items(&mut self, end: usize, status: &str, out: &mut Vec<u8>) {
        let current = self.items.current();
        for place in 0..end {
            let is_open = self.blocks.iter().any(|block| block.item == place);
            if !is_open && current != Some(place) {
                self.item_done(place, status, out);
            }
        }
    }

    fn item_done(&mut self, place: usize, status: &str, out: &mut Vec<u8>) {
        let Some(done) = self.done.get_mut(place).filter(|done| !**done) else {
            return;
        };
        *done = true;
        let Some(item) = self.items.get(place) else {
            return;
        };
        let fields = json!({"output_index": place, "item": item.value(status)});
        self.sse.event("response.output_item.done", fields, out);
    }

    fn delta(&mut self, index: u32, text: &str, out: &mut Vec<u8>) {
        let Some(open) = self.blocks.iter().rev().find(|open| open.index == index).copied() else {
            return;
        };
        if text.is_empty() {
            return;
        }
        self.bytes = self.bytes.saturating_add(text.len());
        if let Some(target) = self.target(open) {
            target.push_str(text);
        }
        let Some(item) = self.items.get(open.item) else {
            return;
        };
        let name = match open.kind {
            Kind::Text => "response.output_text.delta",
            Kind::Refusal => "response.refusal.delta",
            Kind::Summary => "response.reasoning_summary_text.delta",
            Kind::Reasoning => "response.reasoning_text.delta",
            Kind::Call => "response.function_call_arguments.delta",
        };
        let part = parts::place_key(open.kind).map(|key| (key, open.part));
        self.sse.delta(name, &item.id, open.item, part, text, open.kind == Kind::Text, out);
    }

    /// The text that a block's deltas add up to.
    fn target(&mut self, open: Open) -> Option<&mut String> {
        match (&mut self.items.get_mut(open.item)?.content, open.kind) {
            (Content::Message(parts), _) => match parts.get_mut(open.part)? {
                Part::Text { text, .. } | Part::Refusal(text) => Some(text),
                Part::Other(_) => None,
            },
            (Content::Reasoning { text, .. }, Kind::Reasoning) => text.get_mut(open.part),
            (Content::Reasoning { summary, .. }, _) => summary.get_mut(open.part),
            (Content::Call { arguments, .. }, _) => Some(arguments),
            (Content::Whole(_), _) => None,
        }
    }

    fn signature(&mut self, index: u32, signature: &str, dialect: &str) {
        let blob = sealed(Some(signature), None, Some(dialect));
        self.set_blob(index, blob.as_deref());
    }

    /// Pieces of a signature add up; the seal stands before the first.
    fn set_blob(&mut self, index: u32, more: Option<&str>) {
        let open = self.blocks.iter().rev().find(|open| open.index == index).copied();
        let item = open.and_then(|open| self.items.get_mut(open.item));
        let (Some(Content::Reasoning { blob, .. }), Some(more)) =
            (item.map(|item| &mut item.content), more)
        else {
            return;
        };
        self.bytes = self.bytes.saturating_add(more.len());
        match blob {
            Some(blob) => blob.push_str(crate::origin::open(more).1),
            None => *blob = Some(more.to_owned()),
        }
    }

    /// What was said about a text besides the text, or about the whole answer.
    fn other(&mut self, value: &Value, out: &mut Vec<u8>) {
        let Some(extra) = value.get("extra").and_then(Value::as_object) else {
            return;
        };
        self.bytes = self.bytes.saturating_add(value.to_string().len());
        let Some(index) = value.get("index") else {
            accumulate(&mut self.extra, extra.clone());
            return;
        };
        let open = self.blocks.iter().rev().find(|open| index.as_u64() == Some(open.index.into()));
        let Some(open) = open.copied().filter(|open| open.kind == Kind::Text) else {
            return;
        };
        let Some(item) = self.items.get_mut(open.item) else {
            return;
        };
        let Content::Message(parts) = &mut item.content else {
            return;
        };
        let Some(Part::Text { extra: target, .. }) = parts.get_mut(open.part) else {
            return;
        };
        let known = target.get("annotations").and_then(Value::as_array).map_or(0, Vec::len);
        accumulate(target, extra.clone());
        let all = part::annotations(target);
        for (number, annotation) in all.into_iter().enumerate().skip(known) {
            let fields = json!({"item_id": item.id, "output_index": open.item,
                "content_index": open.part, "annotation_index": number, "annotation": annotation});
            self.sse.event("response.output_text.annotation.added", fields, out);
        }
    }

    fn stop(&mut self, index: u32, out: &mut Vec<u8>) {
        let Some(position) = self.blocks.iter().rposition(|open| open.index == index) else {
            return;
        };
        let open = self.blocks.remove(position);
        self.part_done(open, out);
        self.finish_items(self.items.len(), "completed", out);
    }

    fn finish(&mut self, reason: &FinishReason, out: &mut Vec<u8>) {
        for open in std::mem::take(&mut self.blocks) {
            self.part_done(open, out);
        }
        let (status, _) = status_of(Some(reason));
        let last = self.items.len().saturating_sub(1);
        for place in 0..self.items.len() {
            let status = if place == last && status == "incomplete" { status } else { "completed" };
            self.item_done(place, status, out);
        }
        self.reason = Some(reason.clone());
    }
}
