//! Streamed answers of `/v2/chat`.
//!
//! Content and tool calls are counted separately by Cohere and together by us. The plan of a
//! call is a block that begins with its first delta and ends with whatever comes next.
//! `message-end` brings reason and counts at once: only it finishes the answer.

mod call;
mod wire;

use serde_json::{Map, Value, json};
use torana_plugin_sdk::chat::Usage;
use torana_plugin_sdk::provider::{Frame, StreamParser};
use torana_plugin_sdk::{BlockKind, CallError, CallErrorKind, StreamEvent};

use self::call::Call;
use self::wire::{Event, Part};
use crate::usage::WireUsage;
use crate::{error, finish};

/// Blocks that may be open at once. Cohere sends them one after the other; this is only a
/// bound.
const MAX_OPEN: usize = 1_024;

/// Reads one stream.
#[derive(Debug)]
pub(crate) struct Decoder {
    model: String,
    started: bool,
    next_index: u32,
    /// The block of the plan.
    plan: Option<u32>,
    open: Vec<Open>,
    /// The text block that began last, which citations belong to.
    text: Option<u32>,
    /// `Finish` or `Failed` was given out.
    closed: bool,
}

/// A block that has begun.
#[derive(Debug)]
struct Open {
    /// Cohere's index among blocks of its class.
    provider: u64,
    index: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    Text,
    Thinking,
    Call(Call),
}

impl State {
    fn is_call(&self) -> bool {
        matches!(self, Self::Call(_))
    }
}

impl StreamParser for Decoder {
    fn push(&mut self, frame: &Frame, events: &mut Vec<StreamEvent>) {
        let data = frame.data.trim_ascii();
        if self.closed || data.is_empty() || data == b"[DONE]" {
            return;
        }
        let outcome = wire::read(data)
            .and_then(|event| self.event(frame.event.as_deref(), event, data, events));
        if let Err(error) = outcome {
            self.closed = true;
            events.push(StreamEvent::Failed(error));
        }
    }

    /// Nothing is owed: a stream without `message-end` is broken.
    fn finish(&mut self, _: &mut Vec<StreamEvent>) {}
}

impl Decoder {
    pub(crate) fn new(model: String) -> Self {
        Self {
            model,
            started: false,
            next_index: 0,
            plan: None,
            open: Vec::new(),
            text: None,
            closed: false,
        }
    }

    /// The name in the data counts; the frame's stands in where the data has none.
    fn event(
        &mut self,
        name: Option<&str>,
        event: Event,
        data: &[u8],
        events: &mut Vec<StreamEvent>,
    ) -> Result<(), CallError> {
        let name = event.r#type.as_deref().or(name).unwrap_or_default().to_owned();
        let message = event.delta.message;
        match name.as_str() {
            "message-start" => self.start(event.id.unwrap_or_default(), events),
            "content-start" => self.start_content(event.index, message.content, events)?,
            "content-delta" => {
                self.content(event.index, message.content, event.logprobs, events)?;
            }
            "content-end" => self.stop_block(event.index, false, events),
            "tool-plan-delta" => self.plan(message.tool_plan.unwrap_or_default(), events),
            "tool-call-start" => {
                let call = message.tool_calls.unwrap_or_default();
                let (id, function) = (call.id.unwrap_or_default(), call.function);
                let name = function.name.unwrap_or_default();
                self.stop_plan(events);
                self.stop_block(event.index, true, events);
                let index = self.open(
                    event.index,
                    State::Call(Call::default()),
                    BlockKind::ToolCall { id, name },
                    events,
                )?;
                self.call(event.index, &function.arguments.unwrap_or_default(), index, events);
            }
            "tool-call-delta" => {
                let call = message.tool_calls.unwrap_or_default();
                let more = call.function.arguments.unwrap_or_default();
                let open =
                    self.open.iter().find(|it| it.provider == event.index && it.state.is_call());
                if let Some(index) = open.map(|open| open.index) {
                    self.call(event.index, &more, index, events);
                }
            }
            "tool-call-end" => self.stop_block(event.index, true, events),
            "citation-start" => self.cite(message.citations, events),
            "citation-end" => {}
            "message-end" => {
                self.start(event.id.unwrap_or_default(), events);
                self.end(event.delta.finish_reason, event.delta.error, event.delta.usage, events)?;
            }
            name => {
                let value: Value = serde_json::from_slice(data).unwrap_or_default();
                let is_failure = name.is_empty() || name.contains("error");
                match error::decode_event(&value).filter(|_| is_failure) {
                    Some(failure) => return Err(failure),
                    None => events.push(StreamEvent::Other(value)),
                }
            }
        }
        Ok(())
    }

    fn end(
        &mut self,
        reason: Option<String>,
        words: Option<String>,
        usage: Option<WireUsage>,
        events: &mut Vec<StreamEvent>,
    ) -> Result<(), CallError> {
        let reason = finish::decode(&reason.unwrap_or_default(), words.as_deref())?;
        self.stop_all(events);
        if let Some(usage) = usage {
            let extra = usage.extra();
            if !extra.is_empty() {
                events.push(StreamEvent::Other(json!({ "extra": extra })));
            }
            events.push(StreamEvent::Usage(Usage::from(&usage)));
        }
        events.push(StreamEvent::Finish(reason));
        self.closed = true;
        Ok(())
    }

    fn start(&mut self, id: String, events: &mut Vec<StreamEvent>) {
        if !std::mem::replace(&mut self.started, true) {
            let model = self.model.clone();
            events.push(StreamEvent::Started { id, model });
        }
    }

    fn open(
        &mut self,
        provider: u64,
        state: State,
        kind: BlockKind,
        events: &mut Vec<StreamEvent>,
    ) -> Result<u32, CallError> {
        self.start(String::new(), events);
        if self.open.len() >= MAX_OPEN {
            let message = "the stream has too many open blocks";
            return Err(CallError::new(CallErrorKind::MalformedResponse, message));
        }
        let index = self.take_index();
        events.push(StreamEvent::BlockStart { index, kind });
        self.open.push(Open { provider, index, state });
        Ok(index)
    }

    fn take_index(&mut self) -> u32 {
        let index = self.next_index;
        self.next_index = index.saturating_add(1);
        index
    }

    fn start_content(
        &mut self,
        provider: u64,
        part: Option<Part>,
        events: &mut Vec<StreamEvent>,
    ) -> Result<(), CallError> {
        self.stop_block(provider, false, events);
        let part = part.unwrap_or_default();
        let thinks = part.r#type.as_deref() == Some("thinking") || part.thinking.is_some();
        self.open_content(provider, thinks, events)?;
        self.content(provider, Some(part), None, events)
    }

    fn open_content(
        &mut self,
        provider: u64,
        thinks: bool,
        events: &mut Vec<StreamEvent>,
    ) -> Result<u32, CallError> {
        self.stop_plan(events);
        if thinks {
            return self.open(provider, State::Thinking, BlockKind::Reasoning, events);
        }
        let index = self.open(provider, State::Text, BlockKind::Text, events)?;
        self.text = Some(index);
        Ok(index)
    }

    /// A delta to a block that was not announced begins one.
    fn content(
        &mut self,
        provider: u64,
        part: Option<Part>,
        logprobs: Option<Value>,
        events: &mut Vec<StreamEvent>,
    ) -> Result<(), CallError> {
        let part = part.unwrap_or_default();
        let written = |text: Option<String>| text.filter(|text| !text.is_empty());
        if let Some(text) = written(part.thinking) {
            let index = self.content_block(provider, true, events)?;
            events.push(StreamEvent::ReasoningDelta { index, text });
        }
        if let Some(text) = written(part.text) {
            let index = self.content_block(provider, false, events)?;
            events.push(StreamEvent::TextDelta { index, text });
        }
        if let (Some(logprobs), Some(index)) = (logprobs, self.text) {
            let extra = json!({"logprobs": [logprobs]});
            events.push(StreamEvent::Other(json!({"index": index, "extra": extra})));
        }
        Ok(())
    }

    fn content_block(
        &mut self,
        provider: u64,
        thinks: bool,
        events: &mut Vec<StreamEvent>,
    ) -> Result<u32, CallError> {
        let open = self.open.iter().find(|it| it.provider == provider && !it.state.is_call());
        match open {
            Some(open) if matches!(open.state, State::Thinking) == thinks => Ok(open.index),
            _ => {
                self.stop_block(provider, false, events);
                self.open_content(provider, thinks, events)
            }
        }
    }

    fn plan(&mut self, text: String, events: &mut Vec<StreamEvent>) {
        if text.is_empty() {
            return;
        }
        self.start(String::new(), events);
        let index = match self.plan {
            Some(index) => index,
            None => {
                let index = self.take_index();
                events.push(StreamEvent::BlockStart { index, kind: BlockKind::Reasoning });
                self.plan = Some(index);
                index
            }
        };
        events.push(StreamEvent::ReasoningDelta { index, text });
    }

    fn call(&mut self, provider: u64, more: &str, index: u32, events: &mut Vec<StreamEvent>) {
        let open = self.open.iter_mut().find(|it| it.provider == provider && it.index == index);
        if let Some(Open { state: State::Call(call), .. }) = open {
            call.push(more, index, events);
        }
    }

    fn cite(&self, citation: Option<Value>, events: &mut Vec<StreamEvent>) {
        if let Some(citation) = citation {
            let citations = match citation {
                Value::Array(citations) => citations,
                citation => vec![citation],
            };
            let extra = Map::from_iter([("citations".to_owned(), Value::Array(citations))]);
            events.push(StreamEvent::Other(match self.text {
                Some(index) => json!({"index": index, "extra": extra}),
                None => json!({ "extra": extra }),
            }));
        }
    }

    fn stop_plan(&mut self, events: &mut Vec<StreamEvent>) {
        events.extend(self.plan.take().map(|index| StreamEvent::BlockStop { index }));
    }

    fn stop_block(&mut self, provider: u64, call: bool, events: &mut Vec<StreamEvent>) {
        let is_meant = |open: &Open| open.provider == provider && open.state.is_call() == call;
        if let Some(position) = self.open.iter().position(is_meant) {
            stop(self.open.remove(position), events);
        }
    }

    fn stop_all(&mut self, events: &mut Vec<StreamEvent>) {
        self.stop_plan(events);
        std::mem::take(&mut self.open).into_iter().for_each(|open| stop(open, events));
    }
}

fn stop(open: Open, events: &mut Vec<StreamEvent>) {
    let index = open.index;
    if let State::Call(call) = open.state {
        call.finish(index, events);
    }
    events.push(StreamEvent::BlockStop { index });
}
