//! Streamed answers of ConverseStream.
//!
//! The type of an event says what it is; the payload is the event's fields alone. Only tool
//! calls announce themselves: text and reasoning begin with their first delta. `messageStop`
//! gives the reason and `metadata`, which usually comes after it, the counts: `Finish` waits
//! for both, or for the end of the stream where no counts come. Exceptions are events too.

mod block;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use torana_plugin_sdk::chat::{FinishReason, Usage};
use torana_plugin_sdk::provider::{Frame, StreamParser};
use torana_plugin_sdk::{CallError, CallErrorKind, StreamEvent};

use self::block::{Delta, Indices, Open, Start};
use crate::usage::WireUsage;
use crate::{error, finish};

/// Blocks that may be open at once. The service sends them one after the other; this is
/// only a bound.
const MAX_OPEN: usize = 1_024;

/// Reads one stream.
#[derive(Debug)]
pub(crate) struct Decoder {
    model: String,
    started: bool,
    indices: Indices,
    open: Vec<Open>,
    reason: Option<FinishReason>,
    counted: bool,
    /// `Finish` or `Failed` was given out.
    closed: bool,
}

/// An event about a content block.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Content {
    content_block_index: u64,
    start: Option<Start>,
    delta: Option<Delta>,
}

/// An event about the whole answer.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Closing {
    stop_reason: Option<String>,
    usage: Option<WireUsage>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl StreamParser for Decoder {
    fn push(&mut self, frame: &Frame, events: &mut Vec<StreamEvent>) {
        if self.closed {
            return;
        }
        let name = frame.event.as_deref().unwrap_or_default();
        if let Err(error) = self.event(name, &frame.data, events) {
            self.closed = true;
            events.push(StreamEvent::Failed(error));
        }
    }

    fn finish(&mut self, events: &mut Vec<StreamEvent>) {
        if self.reason.is_some() {
            self.complete(events);
        }
    }
}

impl Decoder {
    pub(crate) fn new(model: String) -> Self {
        Self {
            model,
            started: false,
            indices: Indices::default(),
            open: Vec::new(),
            reason: None,
            counted: false,
            closed: false,
        }
    }

    fn event(
        &mut self,
        name: &str,
        data: &[u8],
        events: &mut Vec<StreamEvent>,
    ) -> Result<(), CallError> {
        match name {
            "messageStart" => self.start(events),
            "contentBlockStart" => {
                let event: Content = read(data)?;
                self.start_block(event.content_block_index, event.start, events)?;
            }
            "contentBlockDelta" => {
                let event: Content = read(data)?;
                let delta = event.delta.unwrap_or_default();
                self.delta(event.content_block_index, delta, data, events)?;
            }
            "contentBlockStop" => {
                let event: Content = read(data)?;
                self.stop_block(event.content_block_index, events);
            }
            "messageStop" => {
                let event: Closing = read(data)?;
                self.start(events);
                self.stop_all(events);
                self.keep(event.rest, events);
                let reason = event.stop_reason.as_deref().map(finish::decode);
                self.reason = Some(reason.unwrap_or(FinishReason::Stop));
                if self.counted {
                    self.complete(events);
                }
            }
            "metadata" => {
                let event: Closing = read(data)?;
                self.start(events);
                self.keep(event.rest, events);
                if let Some(usage) = event.usage {
                    self.counted = true;
                    events.push(StreamEvent::Usage(Usage::from(usage)));
                }
                if self.reason.is_some() {
                    self.complete(events);
                }
            }
            name => {
                if let Some(failure) = error::decode_event(name, data) {
                    return Err(failure);
                }
                let value: Value = serde_json::from_slice(data).unwrap_or_default();
                events.push(StreamEvent::Other(json!({name: value})));
            }
        }
        Ok(())
    }

    fn start(&mut self, events: &mut Vec<StreamEvent>) {
        if !std::mem::replace(&mut self.started, true) {
            let model = self.model.clone();
            events.push(StreamEvent::Started { id: String::new(), model });
        }
    }

    fn start_block(
        &mut self,
        provider: u64,
        start: Option<Start>,
        events: &mut Vec<StreamEvent>,
    ) -> Result<(), CallError> {
        self.start(events);
        self.stop_block(provider, events);
        if let Some(start) = start {
            self.check_room()?;
            self.open.push(Open::start(provider, start, &mut self.indices, events));
        }
        Ok(())
    }

    /// `data` is the whole event, for a delta of a kind that has no type of its own.
    fn delta(
        &mut self,
        provider: u64,
        delta: Delta,
        data: &[u8],
        events: &mut Vec<StreamEvent>,
    ) -> Result<(), CallError> {
        self.start(events);
        let kind = delta.kind();
        let position = self.open.iter().position(|open| open.provider == provider);
        let fits = |position: &usize| self.open.get(*position).is_some_and(|it| it.takes(kind));
        let position = match position.filter(fits) {
            Some(position) => position,
            None => {
                self.stop_block(provider, events);
                self.check_room()?;
                self.open.push(Open::implied(provider, kind, &mut self.indices, events));
                self.open.len().saturating_sub(1)
            }
        };
        match self.open.get_mut(position) {
            Some(open) => open.delta(delta, data, events),
            None => Ok(()),
        }
    }

    fn stop_block(&mut self, provider: u64, events: &mut Vec<StreamEvent>) {
        let position = self.open.iter().position(|open| open.provider == provider);
        if let Some(position) = position {
            self.open.remove(position).stop(&mut self.indices, events);
        }
    }

    fn stop_all(&mut self, events: &mut Vec<StreamEvent>) {
        for open in std::mem::take(&mut self.open) {
            open.stop(&mut self.indices, events);
        }
    }

    fn check_room(&self) -> Result<(), CallError> {
        match self.open.len() < MAX_OPEN {
            true => Ok(()),
            false => Err(malformed("the stream has too many open content blocks".into())),
        }
    }

    /// Fields of the response that no event of ours has. `p` is padding.
    fn keep(&self, mut fields: Map<String, Value>, events: &mut Vec<StreamEvent>) {
        fields.retain(|key, value| key != "p" && !value.is_null());
        if !fields.is_empty() {
            events.push(StreamEvent::Other(json!({"extra": fields})));
        }
    }

    fn complete(&mut self, events: &mut Vec<StreamEvent>) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        self.stop_all(events);
        events.push(StreamEvent::Finish(self.reason.take().unwrap_or(FinishReason::Stop)));
    }
}

/// A plain `from_slice` would also read an array, by position.
fn read<'a, T: Deserialize<'a>>(data: &'a [u8]) -> Result<T, CallError> {
    let reason = match data.trim_ascii_start().first() {
        Some(b'{') => match serde_json::from_slice(data) {
            Ok(event) => return Ok(event),
            Err(error) => error.to_string(),
        },
        _ => "it is not a JSON object".into(),
    };
    Err(malformed(format!("an event of the stream is not understood: {reason}")))
}

fn malformed(message: String) -> CallError {
    CallError::new(CallErrorKind::MalformedResponse, message)
}
