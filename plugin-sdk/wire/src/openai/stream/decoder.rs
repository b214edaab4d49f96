//! A provider's chunks to events.
//!
//! Promises: blocks are opened, filled and stopped in order; `Finish` comes once, last, and
//! only when `[DONE]` or a finish reason was seen; after `Failed` nothing comes. Text,
//! reasoning and refusal are one block at a time, as this wire does not tell them apart
//! otherwise; tool calls stay open to the end, as their deltas may interleave.

use std::borrow::Cow;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::super::{DIALECT, details, error, finish};
use super::chunk::{Choice, Chunk, Content};
use super::details::{Details, fingerprint};
use super::tool_calls::Calls;
use crate::chat::{Block, FinishReason, Usage};
use crate::error::CallError;
use crate::event::{BlockKind, StreamEvent};
use crate::lenient;

/// Reads one stream. The payload of every SSE `data:` field goes through [`Decoder::push`].
#[derive(Debug, Default)]
pub struct Decoder {
    started: bool,
    next_index: u32,
    open: Option<(u32, Prose)>,
    /// The text block that annotations belong to.
    text: Option<u32>,
    calls: Calls,
    /// Makes the ids of calls that have none unique.
    seed: u64,
    usage: Option<Usage>,
    reason: Option<FinishReason>,
    done: bool,
    /// What was said of the answer as a whole, as JSON text, the latest of each name.
    about: Vec<(&'static str, String)>,
    /// `Finish` or `Failed` was given out.
    closed: bool,
    details: Details,
}

/// What comes as plain text, one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prose {
    Text,
    Reasoning,
    Refusal,
}

impl Decoder {
    /// Takes one SSE data payload, `[DONE]` included, and appends what it means.
    pub fn push(&mut self, data: &[u8], events: &mut Vec<StreamEvent>) {
        let data = data.trim_ascii();
        if data == b"[DONE]" {
            self.done = true;
            self.complete(events);
            return;
        }
        if data.is_empty() || self.closed {
            return;
        }
        let outcome =
            lenient::event::<Chunk<'_>>(data).and_then(|chunk| self.chunk(chunk, data, events));
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

    /// `[DONE]` was seen.
    pub fn is_done(&self) -> bool {
        self.done
    }

    fn chunk(
        &mut self,
        chunk: Chunk<'_>,
        data: &[u8],
        events: &mut Vec<StreamEvent>,
    ) -> Result<(), CallError> {
        self.remember(chunk.about());
        if let Some(inner) = chunk.error.filter(|error| !error.is_null()) {
            return Err(error::decode_inner(inner));
        }
        // vLLM's older error event has its fields at the top.
        if chunk.object.0 == "error" {
            return Err(error::decode_inner(serde_json::from_slice(data).unwrap_or_default()));
        }
        let choice = chunk.choices.0;
        let usage = chunk.usage.or(chunk.x_groq.and_then(|groq| groq.usage)).map(Usage::from);
        // Azure opens with a chunk about content filters that has neither id nor model.
        let says_nothing = chunk.id.0.is_empty() && choice.is_none() && usage.is_none();
        if !self.started && !says_nothing {
            self.started = true;
            self.seed = fingerprint(0, &chunk.id.0);
            let (id, model) = (chunk.id.0.into_owned(), chunk.model.0.into_owned());
            events.push(StreamEvent::Started { id, model });
        }
        if let Some(choice) = choice {
            self.choice(choice, events)?;
        }
        if let Some(usage) = usage.filter(|usage| self.usage.as_ref() != Some(usage)) {
            self.usage = Some(usage);
            events.push(StreamEvent::Usage(usage));
        }
        Ok(())
    }

    fn choice(
        &mut self,
        choice: Choice<'_>,
        events: &mut Vec<StreamEvent>,
    ) -> Result<(), CallError> {
        if let Some(inner) = choice.error.filter(|error| !error.is_null()) {
            return Err(error::decode_inner(inner));
        }
        if let Some(error) = finish::failure(&choice.finish_reason.0) {
            return Err(error);
        }
        self.prose(Prose::Text, choice.text.0, events);
        if let Some(delta) = choice.delta {
            let entries = delta.reasoning_details.unwrap_or_default();
            // The same words stand beside the details.
            if !Details::have_text(&entries) {
                self.prose(Prose::Reasoning, delta.reasoning_content.0, events);
                self.prose(Prose::Reasoning, delta.reasoning.0, events);
            }
            for entry in entries {
                self.detail(entry, events);
            }
            self.content(delta.content, events);
            self.prose(Prose::Refusal, delta.refusal.0, events);
            for call in delta.tool_calls.into_iter().flatten() {
                self.stop_prose(events);
                self.calls.push(call, &mut self.next_index, self.seed, events)?;
            }
            self.attach("annotations", delta.annotations, events);
        }
        self.attach("logprobs", choice.logprobs, events);
        if let Some(reason) = finish::decode(&choice.finish_reason.0) {
            self.reason = Some(reason);
            self.stop_all(events);
        }
        Ok(())
    }

    /// An entry of `reasoning_details`: more of the reasoning, or a whole block.
    fn detail(&mut self, entry: Value, events: &mut Vec<StreamEvent>) {
        let Some(block) = details::decode(&entry) else {
            let block = Block::Other { dialect: details::DETAIL.into(), value: entry };
            return self.whole(&block, events);
        };
        let Block::Reasoning { text, signature, encrypted, dialect } = &block else {
            return;
        };
        if let Some(blob) = encrypted {
            return match self.open {
                Some((index, Prose::Reasoning)) if self.details.proves(&entry) => {
                    let dialect = dialect.clone().unwrap_or_default();
                    let signature = blob.clone();
                    events.push(StreamEvent::ReasoningSignature { index, signature, dialect });
                    self.details.read(entry, true);
                }
                _ => self.whole_detail(&block, entry, events),
            };
        }
        if text.is_empty() && signature.is_none() {
            return;
        }
        let index = match self.open {
            Some((index, Prose::Reasoning)) if self.details.goes_on(&entry) => index,
            _ => {
                self.stop_prose(events);
                if let Some(item) = self.details.begin_item(&entry) {
                    self.whole(&item, events);
                }
                self.start_prose(Prose::Reasoning, events)
            }
        };
        if !text.is_empty() && !self.details.repeats_plain(text) {
            events.push(StreamEvent::ReasoningDelta { index, text: text.clone() });
        }
        if let Some(signature) = signature.clone() {
            let dialect = dialect.clone().unwrap_or_default();
            events.push(StreamEvent::ReasoningSignature { index, signature, dialect });
        }
        self.details.read(entry, signature.is_some());
    }

    fn whole_detail(&mut self, block: &Block, entry: Value, events: &mut Vec<StreamEvent>) {
        self.stop_prose(events);
        if let Some(item) = self.details.begin_item(&entry) {
            self.whole(&item, events);
        }
        self.whole(block, events);
        if let Some(fields) = self.details.fields_of_whole(entry) {
            self.whole(&fields, events);
        }
    }

    /// A block that came whole.
    fn whole(&mut self, block: &Block, events: &mut Vec<StreamEvent>) {
        self.stop_prose(events);
        let index = self.next_index;
        self.next_index += 1;
        let kind = BlockKind::Other(serde_json::to_value(block).unwrap_or_default());
        events.push(StreamEvent::BlockStart { index, kind });
        events.push(StreamEvent::BlockStop { index });
    }

    fn remember(&mut self, about: [(&'static str, Option<&RawValue>); 7]) {
        for (key, value) in about {
            let Some(value) = value.map(RawValue::get) else {
                continue;
            };
            match self.about.iter_mut().find(|(known, _)| *known == key) {
                Some((_, known)) if known == value => {}
                Some((_, known)) => value.clone_into(known),
                None => self.about.push((key, value.to_owned())),
            }
        }
    }

    fn content(&mut self, content: Content<'_>, events: &mut Vec<StreamEvent>) {
        match content {
            Content::None => {}
            Content::Text(text) => self.prose(Prose::Text, text, events),
            Content::Parts(parts) => {
                for part in parts {
                    self.part(part, events);
                }
            }
        }
    }

    /// Mistral's parts: text, reasoning, which has parts in turn, and references.
    fn part(&mut self, part: Value, events: &mut Vec<StreamEvent>) {
        let text = |part: &Value| part.get("text").and_then(Value::as_str).map(str::to_owned);
        match (part.get("type").and_then(Value::as_str), part.get("thinking")) {
            (_, Some(Value::String(thought))) => {
                self.prose(Prose::Reasoning, Cow::Borrowed(thought), events);
            }
            (_, Some(Value::Array(thoughts))) => {
                for thought in thoughts.iter().filter_map(text) {
                    self.prose(Prose::Reasoning, Cow::Owned(thought), events);
                }
            }
            (Some("text") | None, _) => {
                self.prose(Prose::Text, Cow::Owned(text(&part).unwrap_or_default()), events);
            }
            (Some(_), _) => {
                let block = Block::Other { dialect: DIALECT.into(), value: part };
                self.whole(&block, events);
            }
        }
    }

    fn prose(&mut self, kind: Prose, text: Cow<'_, str>, events: &mut Vec<StreamEvent>) {
        if text.is_empty() {
            return;
        }
        let index = match self.open {
            Some((index, open)) if open == kind => index,
            _ => self.start_prose(kind, events),
        };
        if kind == Prose::Reasoning {
            self.details.read_plain(&text);
        }
        let text = text.into_owned();
        events.push(match kind {
            Prose::Reasoning => StreamEvent::ReasoningDelta { index, text },
            Prose::Text | Prose::Refusal => StreamEvent::TextDelta { index, text },
        });
    }

    fn start_prose(&mut self, kind: Prose, events: &mut Vec<StreamEvent>) -> u32 {
        self.stop_prose(events);
        let index = self.next_index;
        self.next_index += 1;
        self.open = Some((index, kind));
        let kind = match kind {
            Prose::Text => {
                self.text = Some(index);
                BlockKind::Text
            }
            Prose::Reasoning => BlockKind::Reasoning,
            Prose::Refusal => BlockKind::Refusal,
        };
        events.push(StreamEvent::BlockStart { index, kind });
        index
    }

    /// What the provider says about the text besides the text.
    fn attach(&mut self, key: &str, value: Option<Value>, events: &mut Vec<StreamEvent>) {
        let value = value.filter(|value| !value.is_null() && *value != json!([]));
        if let (Some(index), Some(value)) = (self.text, value) {
            events.push(StreamEvent::Other(json!({"index": index, "extra": {key: value}})));
        }
    }

    fn stop_prose(&mut self, events: &mut Vec<StreamEvent>) {
        let Some((index, kind)) = self.open.take() else {
            return;
        };
        events.push(StreamEvent::BlockStop { index });
        if kind == Prose::Reasoning
            && let Some(fields) = self.details.close()
        {
            self.whole(&fields, events);
        }
    }

    fn stop_all(&mut self, events: &mut Vec<StreamEvent>) {
        self.stop_prose(events);
        self.calls.close(&mut self.next_index, self.seed, events);
    }

    /// The answer is known to be whole.
    fn complete(&mut self, events: &mut Vec<StreamEvent>) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        self.stop_all(events);
        let about: Map<String, Value> = std::mem::take(&mut self.about)
            .into_iter()
            .filter_map(|(key, text)| Some((key.to_owned(), serde_json::from_str(&text).ok()?)))
            .collect();
        if !about.is_empty() {
            events.push(StreamEvent::Other(json!({ "extra": about })));
        }
        let reason = self.reason.take().unwrap_or(match self.calls.is_empty() {
            true => FinishReason::Stop,
            false => FinishReason::ToolCalls,
        });
        events.push(StreamEvent::Finish(reason));
    }
}
