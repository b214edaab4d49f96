//! A provider's events to ours.
//!
//! `Finish` comes once, last, and only after `message_stop`, or at the end of a stream that
//! gave its stop reason. After `Failed` nothing comes.

use serde_json::Value;

use super::super::{error, finish};
use super::block::Open;
use super::wire::{Event, Message};
use crate::anthropic::usage::WireUsage;
use crate::chat::{FinishReason, Usage};
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
    reason: Option<FinishReason>,
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
                let reason = event.delta.unwrap_or_default().stop_reason.0;
                if !reason.is_empty() {
                    self.reason = Some(finish::decode(&reason));
                }
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

    fn start(&mut self, message: Message, events: &mut Vec<StreamEvent>) -> Result<(), CallError> {
        if self.next_index > 0 {
            return Err(malformed("the provider began the answer again in the middle".into()));
        }
        if !std::mem::replace(&mut self.started, true) {
            let id = message.id.unwrap_or_default();
            let model = message.model.unwrap_or_default();
            events.push(StreamEvent::Started { id, model });
        }
        self.report(message.usage, events);
        for fields in message.content.into_iter().flatten() {
            let index = self.take_index();
            Open::start(0, index, fields, events).stop(events);
        }
        Ok(())
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
        let index = self.take_index();
        self.open.push(Open::start(provider, index, fields, events));
        Ok(())
    }

    fn stop_block(&mut self, provider: u64, events: &mut Vec<StreamEvent>) {
        let position = self.open.iter().position(|open| open.provider == provider);
        if let Some(position) = position {
            self.open.remove(position).stop(events);
        }
    }

    fn take_index(&mut self) -> u32 {
        let index = self.next_index;
        self.next_index += 1;
        index
    }

    fn report(&mut self, usage: Option<WireUsage>, events: &mut Vec<StreamEvent>) {
        if let Some(usage) = usage {
            self.usage.update(usage);
            events.push(StreamEvent::Usage(Usage::from(self.usage)));
        }
    }

    fn complete(&mut self, events: &mut Vec<StreamEvent>) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        for open in std::mem::take(&mut self.open) {
            open.stop(events);
        }
        events.push(StreamEvent::Finish(self.reason.take().unwrap_or(FinishReason::Stop)));
    }
}

fn malformed(message: String) -> CallError {
    CallError::new(CallErrorKind::MalformedResponse, message)
}
