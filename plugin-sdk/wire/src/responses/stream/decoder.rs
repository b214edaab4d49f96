//! A provider's events to ours.
//!
//! `Finish` comes once, last, and only after `response.completed` or `response.incomplete`.
//! After `Failed` nothing comes.

use serde_json::{Map, Value, json};

use super::super::failure::{self, malformed};
use super::super::response::{extra, finish_reason, output};
use super::super::usage;
use super::blocks::Blocks;
use super::event::Event;
use super::open::{Open, Prose};
use crate::chat::Block;
use crate::error::CallError;
use crate::event::StreamEvent;
use crate::lenient;

/// Items that may be open at the same time: as many as calls in one answer of another wire.
const MAX_OPEN: usize = 1_024;

/// Reads one stream. Each SSE event goes through [`Decoder::push`].
#[derive(Debug, Default)]
pub struct Decoder {
    started: bool,
    blocks: Blocks,
    open: Vec<Open>,
    has_calls: bool,
    /// `Finish` or `Failed` was given out.
    closed: bool,
}

impl Decoder {
    /// Takes one SSE event and appends what it means. The name in the data counts; `event`
    /// stands in where the data has none.
    pub fn push(&mut self, event: Option<&str>, data: &[u8], events: &mut Vec<StreamEvent>) {
        let data = data.trim_ascii();
        // OpenAI does not send it, some compatible servers do.
        if data.is_empty() || data == b"[DONE]" || self.closed {
            return;
        }
        let before = events.len();
        let outcome = lenient::event::<Event<'_>>(data)
            .and_then(|decoded| self.event(event, decoded, data, events));
        self.has_calls |= events.get(before..).unwrap_or_default().iter().any(is_call);
        if let Err(error) = outcome {
            self.closed = true;
            events.push(StreamEvent::Failed(error));
        }
    }

    /// The provider closed the stream. Nothing is owed: only an event ends this wire's
    /// streams, and [`Decoder::push`] has said so then.
    pub fn finish(&mut self, _events: &mut Vec<StreamEvent>) {
        self.closed = true;
    }

    fn event(
        &mut self,
        name: Option<&str>,
        mut event: Event<'_>,
        data: &[u8],
        events: &mut Vec<StreamEvent>,
    ) -> Result<(), CallError> {
        let own = std::mem::take(&mut event.r#type).0;
        let kind = if own.is_empty() { name.unwrap_or_default() } else { &own };
        match kind {
            "error" => return Err(reported(event.error, data)),
            "response.created" | "response.in_progress" | "response.queued" => {
                self.start(&event.response.unwrap_or_default(), events);
            }
            "response.completed"
            | "response.incomplete"
            | "response.failed"
            | "response.cancelled" => {
                return self.end(kind, event.response.unwrap_or_default(), events);
            }
            _ if event.error.as_ref().is_some_and(|error| !error.is_null()) && kind.is_empty() => {
                return Err(reported(event.error, data));
            }
            _ => self.item(kind, event, events)?,
        }
        Ok(())
    }

    fn item(
        &mut self,
        kind: &str,
        event: Event<'_>,
        events: &mut Vec<StreamEvent>,
    ) -> Result<(), CallError> {
        let place = event.output_index.unwrap_or_default();
        match kind {
            "response.output_item.added" => {
                return self.start_item(place, event.item.unwrap_or_default(), events);
            }
            "response.output_item.done" => {
                return self.stop_item(place, event.item.unwrap_or_default(), events);
            }
            _ => {}
        }
        let blocks = &mut self.blocks;
        let Some(open) = self.open.iter_mut().find(|open| open.place == place) else {
            return Ok(());
        };
        let part = event.content_index.or(event.summary_index).unwrap_or_default();
        match kind {
            "response.output_text.delta" => {
                open.delta(part, Prose::Text, &event.delta.0, blocks, events);
                open.annotate(part, Vec::new(), event.logprobs, events);
            }
            "response.function_call_arguments.delta" => open.arguments(&event.delta.0, events),
            "response.reasoning_summary_text.delta" => {
                open.delta(part, Prose::Summary, &event.delta.0, blocks, events);
            }
            "response.reasoning_text.delta" => {
                open.delta(part, Prose::Reasoning, &event.delta.0, blocks, events);
            }
            "response.refusal.delta" => {
                open.delta(part, Prose::Refusal, &event.delta.0, blocks, events);
            }
            "response.content_part.added" => {
                open.part(part, &event.part.unwrap_or_default(), blocks, events);
            }
            "response.content_part.done" => {
                open.part_done(part, event.part.unwrap_or_default(), blocks, events);
            }
            "response.output_text.done" => {
                open.text_done(part, Prose::Text, &event.text.0, blocks, events);
            }
            "response.refusal.done" => {
                open.text_done(part, Prose::Refusal, &event.refusal.0, blocks, events);
            }
            "response.reasoning_summary_text.done" => {
                open.text_done(part, Prose::Summary, &event.text.0, blocks, events);
            }
            "response.reasoning_text.done" => {
                open.text_done(part, Prose::Reasoning, &event.text.0, blocks, events);
            }
            "response.function_call_arguments.done" => {
                open.arguments_done(&event.arguments.0, events);
            }
            "response.output_text.annotation.added" => {
                let annotation = event.annotation.into_iter().collect();
                open.annotate(part, annotation, None, events);
            }
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, response: &Map<String, Value>, events: &mut Vec<StreamEvent>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let text = |key: &str| response.get(key).and_then(Value::as_str).unwrap_or_default();
        let (id, model) = (text("id").to_owned(), text("model").to_owned());
        events.push(StreamEvent::Started { id, model });
    }

    fn start_item(
        &mut self,
        place: u64,
        fields: Map<String, Value>,
        events: &mut Vec<StreamEvent>,
    ) -> Result<(), CallError> {
        self.start(&Map::new(), events);
        if self.open.iter().any(|open| open.place == place) {
            return Err(malformed("the provider began an item again before it was done"));
        }
        if self.open.len() >= MAX_OPEN {
            return Err(malformed(format!("more than {MAX_OPEN} items at the same time")));
        }
        self.open.push(Open::start(place, fields, &mut self.blocks, events));
        Ok(())
    }

    fn stop_item(
        &mut self,
        place: u64,
        fields: Map<String, Value>,
        events: &mut Vec<StreamEvent>,
    ) -> Result<(), CallError> {
        if !self.open.iter().any(|open| open.place == place) {
            self.start_item(place, fields.clone(), events)?;
        }
        if let Some(position) = self.open.iter().position(|open| open.place == place) {
            self.open.remove(position).done(fields, &mut self.blocks, events);
        }
        Ok(())
    }

    fn end(
        &mut self,
        kind: &str,
        mut response: Map<String, Value>,
        events: &mut Vec<StreamEvent>,
    ) -> Result<(), CallError> {
        self.start(&response, events);
        for open in std::mem::take(&mut self.open) {
            open.stop(events);
        }
        let error = response.get("error").filter(|error| !error.is_null());
        if error.is_some() || kind == "response.failed" || kind == "response.cancelled" {
            return Err(failure::decode(error.unwrap_or(&Value::Null)));
        }
        let items = response.shift_remove("output");
        // Some servers only repeat at the end what they never told.
        if let (true, Some(Value::Array(items))) = (self.blocks.is_empty(), items) {
            let mut blocks = Vec::new();
            items.into_iter().for_each(|item| output::item(item, &mut blocks));
            self.has_calls |= blocks.iter().any(|block| matches!(block, Block::ToolCall { .. }));
            blocks.iter().for_each(|block| self.blocks.whole(block, events));
        }
        if kind == "response.incomplete" {
            response.entry("status").or_insert_with(|| "incomplete".into());
        }
        events.extend(response.get("usage").and_then(usage::decode).map(StreamEvent::Usage));
        let reason = finish_reason(&response, self.has_calls);
        let extra = extra(response);
        if !extra.is_empty() {
            events.push(StreamEvent::Other(json!({"extra": extra})));
        }
        self.closed = true;
        events.push(StreamEvent::Finish(reason));
        Ok(())
    }
}

fn is_call(event: &StreamEvent) -> bool {
    use crate::event::BlockKind;
    matches!(event, StreamEvent::BlockStart { kind: BlockKind::ToolCall { .. }, .. })
}

/// OpenAI documents an `error` event's fields at the top and sends them under `error`.
fn reported(error: Option<Value>, data: &[u8]) -> CallError {
    match error.filter(|error| !error.is_null()) {
        Some(error) => failure::decode(&error),
        None => failure::decode(&serde_json::from_slice(data).unwrap_or_default()),
    }
}
