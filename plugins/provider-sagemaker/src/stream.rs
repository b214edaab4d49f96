//! Streamed answers: the container's SSE, cut anywhere, in event messages of SageMaker.
//!
//! A `PayloadPart` holds bytes of the container as they are; some middlemen write them as
//! JSON, `{"Bytes": "…"}` in base64, which is taken too. Put together again, the bytes are
//! lines, and what they carry goes to OpenAI's decoder. That decides what is whole.

mod line;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use torana_plugin_sdk::provider::{Frame, StreamParser};
use torana_plugin_sdk::wire::openai;
use torana_plugin_sdk::{CallError, CallErrorKind, StreamEvent};

use self::line::Payloads;
use crate::error;

/// Reads one stream.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    payloads: Payloads,
    inner: openai::stream::Decoder,
    failed: bool,
}

impl StreamParser for Decoder {
    fn push(&mut self, frame: &Frame, events: &mut Vec<StreamEvent>) {
        if self.failed {
            return;
        }
        let before = events.len();
        if let Err(error) = self.frame(frame, events) {
            events.push(StreamEvent::Failed(error));
        }
        self.look_over(before, events);
    }

    fn finish(&mut self, events: &mut Vec<StreamEvent>) {
        if self.failed {
            return;
        }
        let before = events.len();
        if let Some(last) = self.payloads.finish() {
            self.inner.push(&last, events);
        }
        self.inner.finish(events);
        self.look_over(before, events);
    }
}

impl Decoder {
    fn frame(&mut self, frame: &Frame, events: &mut Vec<StreamEvent>) -> Result<(), CallError> {
        match frame.event.as_deref() {
            None | Some("" | "PayloadPart") => {
                let unwrapped = unwrap(&frame.data);
                let bytes = unwrapped.as_deref().unwrap_or(&frame.data);
                let inner = &mut self.inner;
                self.payloads.push(bytes, |payload| inner.push(payload, events))
            }
            Some(name) => {
                if let Some(failure) = error::decode_event(name, &frame.data) {
                    return Err(failure);
                }
                let value: Value = serde_json::from_slice(&frame.data).unwrap_or_default();
                events.push(StreamEvent::Other(json!({name: value})));
                Ok(())
            }
        }
    }

    /// Nothing follows a failure.
    fn look_over(&mut self, from: usize, events: &[StreamEvent]) {
        let is_failure = |event: &StreamEvent| matches!(event, StreamEvent::Failed(_));
        self.failed |= events.iter().skip(from).any(is_failure);
    }
}

/// The bytes of a part that is written as JSON. SSE never begins so.
fn unwrap(data: &[u8]) -> Option<Vec<u8>> {
    if !data.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let fields: Map<String, Value> = serde_json::from_slice(data).ok()?;
    // `p` is padding.
    let mut keys = fields.keys().filter(|key| *key != "p");
    let (Some(key @ ("Bytes" | "bytes")), None) = (keys.next().map(String::as_str), keys.next())
    else {
        return None;
    };
    STANDARD.decode(fields.get(key)?.as_str()?).ok()
}

fn too_long(limit: usize) -> CallError {
    let message = format!("an event of the container is larger than {limit} bytes");
    CallError::new(CallErrorKind::MalformedResponse, message)
}
