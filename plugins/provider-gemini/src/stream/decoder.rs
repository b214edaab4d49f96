//! The state of one stream: chunk after chunk, candidate and all that stands around it.

use serde_json::{Map, Value, json};
use torana_plugin_sdk::chat::{FinishReason, Usage};
use torana_plugin_sdk::{BlockKind, CallError, CallErrorKind, StreamEvent};

use super::arguments::Arguments;
use crate::{DIALECT, error, finish, usage};

/// Fields of a candidate that an answer keeps beside its blocks, the last of each.
const KEPT: [&str; 7] = [
    "finishMessage",
    "groundingMetadata",
    "citationMetadata",
    "urlContextMetadata",
    "safetyRatings",
    "logprobsResult",
    "avgLogprobs",
];

/// Reads one stream.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    started: bool,
    /// The provider's id of the response.
    pub(super) id: String,
    next_index: u32,
    /// Calls so far.
    pub(super) calls: u32,
    pub(super) open: Open,
    usage: Option<Usage>,
    /// Google's word for it.
    reason: Option<String>,
    extra: Map<String, Value>,
    /// `Finish` or `Failed` was given out.
    closed: bool,
}

/// The block that has begun and not stopped.
#[derive(Debug, Default)]
pub(super) enum Open {
    #[default]
    Nothing,
    Text(u32),
    Reasoning(u32),
    Call {
        index: u32,
        arguments: Box<Arguments>,
    },
}

impl Decoder {
    /// Takes one chunk, or an array of them, and appends what it means.
    pub(crate) fn push(&mut self, data: &[u8], events: &mut Vec<StreamEvent>) {
        let data = data.trim_ascii();
        if data.is_empty() || self.closed {
            return;
        }
        if let Err(error) = self.read(data, events) {
            self.closed = true;
            events.push(StreamEvent::Failed(error));
        }
    }

    /// The provider closed the stream: appends `Finish` if that is owed.
    pub(crate) fn finish(&mut self, events: &mut Vec<StreamEvent>) {
        if self.closed {
            return;
        }
        let Some(word) = self.reason.take() else {
            return;
        };
        self.closed = true;
        if self.next_index == 0 && finish::is_unreadable(&word) {
            events.push(StreamEvent::Failed(self.unreadable(word)));
            return;
        }
        let reason = finish::decode(&word, self.calls > 0);
        self.end_block(reason == FinishReason::Length, events);
        if !self.extra.is_empty() {
            let extra = std::mem::take(&mut self.extra);
            events.push(StreamEvent::Other(json!({ "extra": extra })));
        }
        events.push(StreamEvent::Finish(reason));
    }

    fn read(&mut self, data: &[u8], events: &mut Vec<StreamEvent>) -> Result<(), CallError> {
        let value: Value = serde_json::from_slice(data)
            .map_err(|error| malformed(format!("a chunk of the answer is not JSON: {error}")))?;
        match value {
            Value::Array(items) => items.into_iter().try_for_each(|item| self.chunk(item, events)),
            value => self.chunk(value, events),
        }
    }

    fn chunk(&mut self, chunk: Value, events: &mut Vec<StreamEvent>) -> Result<(), CallError> {
        if let Some(reported) = error::reported(&chunk) {
            return Err(error::decode_reported(reported));
        }
        let Value::Object(mut fields) = chunk else {
            return Err(malformed("a chunk of the answer is not an object".into()));
        };
        if !std::mem::replace(&mut self.started, true) {
            self.id = take_text(&mut fields, "responseId");
            let model = take_text(&mut fields, "modelVersion");
            events.push(StreamEvent::Started { id: self.id.clone(), model });
        }
        if let Some(candidate) = first_candidate(fields.shift_remove("candidates")) {
            self.candidate(candidate, events)?;
        }
        if let Some(feedback) = fields.shift_remove("promptFeedback") {
            self.prompt_feedback(feedback);
        }
        let usage = fields.get("usageMetadata").and_then(Value::as_object).and_then(usage::decode);
        if usage.is_some() && usage != self.usage {
            self.usage = usage;
            events.extend(usage.map(StreamEvent::Usage));
        }
        Ok(())
    }

    fn candidate(
        &mut self,
        mut candidate: Map<String, Value>,
        events: &mut Vec<StreamEvent>,
    ) -> Result<(), CallError> {
        let parts = candidate.get_mut("content").and_then(|content| content.get_mut("parts"));
        if let Some(Value::Array(parts)) = parts.map(Value::take) {
            for part in parts {
                if let Value::Object(part) = part {
                    self.part(part, events)?;
                }
            }
        }
        for key in KEPT {
            if let Some(value) = candidate.shift_remove(key).filter(|value| !value.is_null()) {
                self.extra.insert(key.into(), value);
            }
        }
        match take_text(&mut candidate, "finishReason") {
            word if word.is_empty() || word == "FINISH_REASON_UNSPECIFIED" => {}
            word => self.reason = Some(word),
        }
        Ok(())
    }

    /// A prompt that was blocked gets no candidate: the block is the end of the answer.
    fn prompt_feedback(&mut self, feedback: Value) {
        let reason = feedback.get("blockReason").and_then(Value::as_str).unwrap_or_default();
        if !reason.is_empty() && self.reason.is_none() {
            self.reason = Some("SAFETY".into());
        }
        if !feedback.is_null() {
            self.extra.insert("promptFeedback".into(), feedback);
        }
    }

    /// What the model wrote is lost but for what Google tells of it.
    fn unreadable(&mut self, word: String) -> CallError {
        let message = match take_text(&mut self.extra, "finishMessage") {
            empty if empty.is_empty() => {
                format!("the answer ended with {word} and without content")
            }
            message => message,
        };
        let error = CallError::new(CallErrorKind::MalformedResponse, message);
        CallError { provider_code: Some(word), ..error }
    }

    pub(super) fn start(&mut self, kind: BlockKind, events: &mut Vec<StreamEvent>) -> u32 {
        let index = self.next_index;
        self.next_index += 1;
        events.push(StreamEvent::BlockStart { index, kind });
        index
    }

    /// A block that comes whole.
    pub(super) fn whole(&mut self, kind: BlockKind, events: &mut Vec<StreamEvent>) {
        self.end_block(false, events);
        let index = self.start(kind, events);
        events.push(StreamEvent::BlockStop { index });
    }

    /// The signature of the part that comes now.
    pub(super) fn sign(&mut self, signature: String, events: &mut Vec<StreamEvent>) {
        self.end_block(false, events);
        let index = self.start(BlockKind::Reasoning, events);
        let dialect = DIALECT.into();
        events.push(StreamEvent::ReasoningSignature { index, signature, dialect });
        events.push(StreamEvent::BlockStop { index });
    }

    /// Stops the block that is open. Arguments that were `cut` short stay so.
    pub(super) fn end_block(&mut self, cut: bool, events: &mut Vec<StreamEvent>) {
        let index = match std::mem::take(&mut self.open) {
            Open::Nothing => return,
            Open::Text(index) | Open::Reasoning(index) => index,
            Open::Call { index, arguments } => {
                let rest = if cut { String::new() } else { arguments.finish() };
                if !rest.is_empty() {
                    events.push(StreamEvent::ToolCallDelta { index, arguments: rest });
                }
                index
            }
        };
        events.push(StreamEvent::BlockStop { index });
    }
}

/// Only one is ever asked for.
fn first_candidate(candidates: Option<Value>) -> Option<Map<String, Value>> {
    let Some(Value::Array(candidates)) = candidates else {
        return None;
    };
    let mut objects = candidates.into_iter().filter_map(|candidate| match candidate {
        Value::Object(candidate) => Some(candidate),
        _ => None,
    });
    objects.find(|candidate| candidate.get("index").is_none_or(|index| index == 0))
}

/// Empty for what is no string.
pub(super) fn take_text(fields: &mut Map<String, Value>, key: &str) -> String {
    match fields.shift_remove(key) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    }
}

pub(super) fn malformed(message: String) -> CallError {
    CallError::new(CallErrorKind::MalformedResponse, message)
}
