//! A provider's events to ours.
//!
//! `Finish` comes once, last, and only after `message_stop`, or at the end of a stream that
//! gave its stop reason. After `Failed` nothing comes. What the message has beyond the
//! payload's fields is given out once, just before `Finish`.

use serde_json::{Map, Value, json};

use super::block::Open;
use super::wire::{AnyDelta, Event};
use crate::anthropic::field::take_text;
use crate::anthropic::usage::WireUsage;
use crate::anthropic::{error, finish, response};
use crate::chat::FinishReason;
use crate::error::{CallError, CallErrorKind};
use crate::event::StreamEvent;
use crate::lenient;

/// Reads one stream. Each SSE event goes through [`Decoder::push`].
#[derive(Debug, Default)]
pub struct Decoder {
    started: bool,
    next_index: u32,
    open: Vec<Open>,
    usage: WireUsage,
    /// The stop reason, in Anthropic's words.
    reason: Option<String>,
    /// Fields of the message without a place in the payload.
    extra: Map<String, Value>,
    /// `Finish` or `Failed` was given out.
    closed: bool,
}

impl Decoder {
    /// Takes one SSE event and appends what it means. The name in the data counts; `event`
    /// stands in where the data has none.
    pub fn push(&mut self, event: Option<&str>, data: &[u8], events: &mut Vec<StreamEvent>) {
        let data = data.trim_ascii();
        if data.is_empty() || self.closed {
            return;
        }
        let outcome = lenient::event::<Event<'_>>(data)
            .and_then(|decoded| self.event(event, decoded, data, events));
        if let Err(error) = outcome {
            self.closed = true;
            events.push(StreamEvent::Failed(error));
        }
    }

    /// The provider closed the stream: appends `Finish` if that was owed.
    pub fn finish(&mut self, events: &mut Vec<StreamEvent>) {
        if self.reason.is_some() {
            self.complete(events);
        }
    }

    fn event(
        &mut self,
        name: Option<&str>,
        event: Event<'_>,
        data: &[u8],
        events: &mut Vec<StreamEvent>,
    ) -> Result<(), CallError> {
        let kind =
            if event.r#type.0.is_empty() { name.unwrap_or_default() } else { &event.r#type.0 };
        match kind {
            "content_block_delta" => {
                let open = self.open.iter_mut().find(|open| open.provider == event.index);
                if let (Some(open), Some(delta)) = (open, event.delta) {
                    open.delta(delta, data, events)?;
                }
            }
            "content_block_start" => {
                self.start_block(event.index, event.content_block.unwrap_or_default(), events)?;
            }
            "content_block_stop" => self.stop_block(event.index, events),
            "message_start" => self.start(event.message.unwrap_or_default(), events)?,
            "message_delta" => {
                let any: AnyDelta = serde_json::from_slice(data).unwrap_or_default();
                self.learn(any.delta);
                self.learn(any.beside);
                self.report(event.usage, events);
            }
            "message_stop" => self.complete(events),
            "error" => return Err(error::decode_inner(&event.error.unwrap_or_default())),
            "ping" => {}
            _ => {
                let value: Value = serde_json::from_slice(data).unwrap_or_default();
                events.push(StreamEvent::Other(value));
            }
        }
        Ok(())
    }

    fn start(
        &mut self,
        mut message: Map<String, Value>,
        events: &mut Vec<StreamEvent>,
    ) -> Result<(), CallError> {
        if self.next_index > 0 {
            return Err(malformed("the provider began the answer again in the middle".into()));
        }
        let id = take_text(&mut message, "id").unwrap_or_default();
        let model = take_text(&mut message, "model").unwrap_or_default();
        if !std::mem::replace(&mut self.started, true) {
            events.push(StreamEvent::Started { id, model });
        }
        let usage = message.shift_remove("usage");
        self.report(usage.and_then(|usage| usage.as_object().cloned()), events);
        let content = message.shift_remove("content");
        for block in content.as_ref().and_then(Value::as_array).into_iter().flatten() {
            if let Value::Object(fields) = block {
                Open::start(0, &mut self.next_index, fields.clone(), events).stop(events);
            }
        }
        self.learn(message);
        Ok(())
    }

    /// Takes fields of the message: the stop reason, and those that have no place.
    fn learn(&mut self, mut fields: Map<String, Value>) {
        if let Some(reason) = take_text(&mut fields, "stop_reason").filter(|it| !it.is_empty()) {
            self.reason = Some(reason);
        }
        fields.retain(|key, value| {
            !value.is_null() && !["type", "role", "delta", "usage", "stop_reason"].contains(&&**key)
        });
        for (key, value) in fields {
            self.extra.insert(key, value);
        }
    }

    fn start_block(
        &mut self,
        provider: u64,
        fields: serde_json::Map<String, Value>,
        events: &mut Vec<StreamEvent>,
    ) -> Result<(), CallError> {
        if !self.started {
            return Err(malformed("the stream does not begin with message_start".into()));
        }
        self.stop_block(provider, events);
        self.open.push(Open::start(provider, &mut self.next_index, fields, events));
        Ok(())
    }

    fn stop_block(&mut self, provider: u64, events: &mut Vec<StreamEvent>) {
        let position = self.open.iter().position(|open| open.provider == provider);
        if let Some(position) = position {
            self.open.remove(position).stop(events);
        }
    }

    fn report(&mut self, usage: Option<Map<String, Value>>, events: &mut Vec<StreamEvent>) {
        if let Some(usage) = usage {
            self.usage.update(usage);
            events.push(StreamEvent::Usage(self.usage.counts()));
        }
    }

    fn complete(&mut self, events: &mut Vec<StreamEvent>) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        for open in std::mem::take(&mut self.open) {
            open.stop(events);
        }
        let mut extra = std::mem::take(&mut self.extra);
        let reason = self.reason.take();
        let finish = reason.as_deref().map_or(FinishReason::Stop, finish::decode);
        response::keep(&mut extra, reason, Some(std::mem::take(&mut self.usage)));
        if !extra.is_empty() {
            events.push(StreamEvent::Other(json!({"extra": extra})));
        }
        events.push(StreamEvent::Finish(finish));
    }
}

fn malformed(message: String) -> CallError {
    CallError::new(CallErrorKind::MalformedResponse, message)
}
