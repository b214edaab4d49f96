//! What an answer says: text, reasoning, tool calls, end and usage, put together from a whole
//! answer or from the events of a stream, so that both can be compared.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::client::{End, Reply, Stream};

/// The last event of a stream that is complete.
pub const DONE: &str = "[DONE]";

/// What an answer says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chat {
    pub text: String,
    pub reasoning: String,
    pub tool_calls: Vec<ToolCall>,
    pub finish_reason: Option<String>,
    /// `prompt_tokens` and `completion_tokens`.
    pub usage: Option<(u64, u64)>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct ToolCall {
    pub id: String,
    pub name: String,
    pub arguments: String,
}

/// A stream that ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Streamed {
    pub chat: Chat,
    /// Data of every event, [`DONE`] included.
    pub events: Vec<String>,
    pub end: End,
    /// The error event, if there was one.
    pub error: Option<Value>,
}

impl Chat {
    /// Of a `chat.completion`.
    #[track_caller]
    pub fn of(reply: &Reply) -> Self {
        let body = reply.json();
        let mut chat = Self::default();
        let mut tool_calls = BTreeMap::new();
        let choice = &body["choices"][0];
        assert!(choice["message"].is_object(), "not a chat completion: {reply}");
        chat.add(&choice["message"], &mut tool_calls);
        chat.tool_calls = tool_calls.into_values().collect();
        chat.finish_reason = choice["finish_reason"].as_str().map(str::to_owned);
        chat.usage = usage(&body);
        chat
    }

    fn add(&mut self, part: &Value, tool_calls: &mut BTreeMap<u64, ToolCall>) {
        let text = |key: &str| part[key].as_str().unwrap_or_default();
        self.text.push_str(text("content"));
        let reasoning = ["reasoning_content", "reasoning"].into_iter().map(text);
        self.reasoning.push_str(reasoning.into_iter().find(|it| !it.is_empty()).unwrap_or(""));
        for (position, call) in part["tool_calls"].as_array().into_iter().flatten().enumerate() {
            let index = call["index"].as_u64().unwrap_or(position as u64);
            let tool_call = tool_calls.entry(index).or_default();
            tool_call.id.push_str(call["id"].as_str().unwrap_or_default());
            let function = &call["function"];
            tool_call.name.push_str(function["name"].as_str().unwrap_or_default());
            tool_call.arguments.push_str(function["arguments"].as_str().unwrap_or_default());
        }
    }
}

impl Streamed {
    /// Reads a stream to its end.
    pub fn read(mut stream: Stream) -> Self {
        if stream.status != 200 {
            panic!("no stream: {}", stream.into_reply().expect("a whole error"));
        }
        let content_type = stream.header("content-type").unwrap_or_default().to_owned();
        assert!(content_type.starts_with("text/event-stream"), "{content_type}");
        let (events, end) = stream.rest();
        Self::of(events, end)
    }

    pub fn of(events: Vec<String>, end: End) -> Self {
        let mut chat = Chat::default();
        let mut tool_calls = BTreeMap::new();
        let mut error = None;
        for data in events.iter().filter(|data| *data != DONE) {
            let chunk: Value = serde_json::from_str(data)
                .unwrap_or_else(|problem| panic!("not JSON ({problem}): {data}"));
            if chunk["error"].is_object() {
                error = Some(chunk["error"].clone());
            }
            chat.add(&chunk["choices"][0]["delta"], &mut tool_calls);
            if let Some(reason) = chunk["choices"][0]["finish_reason"].as_str() {
                chat.finish_reason = Some(reason.to_owned());
            }
            chat.usage = usage(&chunk).or(chat.usage);
        }
        chat.tool_calls = tool_calls.into_values().collect();
        Self { chat, events, end, error }
    }

    /// A client would take this for the whole answer.
    pub fn looks_complete(&self) -> bool {
        let is_done = self.events.last().is_some_and(|data| data == DONE);
        self.end == End::Complete && is_done && self.error.is_none()
    }

    #[track_caller]
    pub fn expect_complete(self) -> Self {
        assert!(self.looks_complete(), "not complete: {self:#?}");
        assert!(self.chat.finish_reason.is_some(), "no finish reason: {self:#?}");
        self
    }

    /// It ended with an error event, and nothing that looks like an end comes anywhere.
    #[track_caller]
    pub fn expect_broken(&self) -> &Value {
        assert!(!self.events.iter().any(|data| data == DONE), "it says [DONE]: {self:#?}");
        let last = self.events.last().and_then(|data| serde_json::from_str::<Value>(data).ok());
        let is_error = last.is_some_and(|event| event["error"]["message"].is_string());
        assert!(is_error, "the last event is no error: {self:#?}");
        self.error.as_ref().expect("the last event is an error")
    }
}

fn usage(body: &Value) -> Option<(u64, u64)> {
    let usage = body["usage"].as_object()?;
    Some((usage.get("prompt_tokens")?.as_u64()?, usage.get("completion_tokens")?.as_u64()?))
}
