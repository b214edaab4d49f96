//! What the scripted model says, whichever wire it says it on; and the words by which a test
//! knows it again.

use serde_json::{Value, json};

pub(crate) const QUESTION: &str = "what-is-asked";
pub(crate) const ANSWER: &str = "what-is-answered, cut into several pieces";
pub(crate) const SYSTEM: &str = "what-the-system-says";
pub(crate) const THOUGHT: &str = "what-is-thought, cut into several pieces";
/// Base64, as all of them are.
pub(crate) const SIGNATURE: &str = "RXFRQkNnSVlBaElrYzJOeWFYQjBaV1Fyc2lnbmF0dXJl";
pub(crate) const TOOL: &str = "look_up_place";
pub(crate) const TOOL_DESCRIPTION: &str = "what-the-tool-does";
/// A property of the tool's arguments, and of the structure that is asked for.
pub(crate) const PROPERTY: &str = "place_to_look_up";
pub(crate) const RESULT: &str = "what-the-tool-found";
pub(crate) const CALL_ID: &str = "call_scripted_1";
/// One pixel.
pub(crate) const IMAGE: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
pub(crate) const IMAGE_URL: &str = "https://pictures.example/seen.png";
pub(crate) const PDF: &str = "JVBERi0xLjQKJcOkw7zDtsOfCnNjcmlwdGVkCg==";
pub(crate) const AUDIO: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=";
pub(crate) const FAILURE: &str = "what-went-wrong";
pub(crate) const RETRY_AFTER: &str = "7";

/// Tokens: all that were read, those of them that were cached, those written.
pub(crate) const INPUT: u64 = 31;
pub(crate) const CACHED: u64 = 13;
pub(crate) const OUTPUT: u64 = 7;

/// One answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Saying {
    pub(crate) thought: bool,
    pub(crate) signed: bool,
    pub(crate) text: Option<&'static str>,
    /// Whether it calls the tool, and how often.
    pub(crate) calls: usize,
    /// JSON in the structure that is asked for, however it is asked for.
    pub(crate) structure: bool,
    pub(crate) cut_short: bool,
    pub(crate) cached: bool,
    pub(crate) failure: Option<Failure>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    RateLimit,
    Authentication,
    ContextLength,
    Server,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Stop,
    Length,
    ToolCalls,
}

impl Saying {
    pub(crate) fn text() -> Self {
        Self { text: Some(ANSWER), ..Self::default() }
    }

    pub(crate) fn end(&self) -> End {
        match self {
            Self { cut_short: true, .. } => End::Length,
            Self { calls: 1.., .. } => End::ToolCalls,
            _ => End::Stop,
        }
    }

    pub(crate) fn cached_tokens(&self) -> u64 {
        if self.cached { CACHED } else { 0 }
    }

    /// Id and arguments of every call.
    pub(crate) fn tool_calls(&self) -> Vec<(String, Value)> {
        let call = |number: usize| (format!("call_scripted_{}", number + 1), arguments(number));
        (0..self.calls).map(call).collect()
    }
}

/// Arguments of a call: each has its own.
pub(crate) fn arguments(number: usize) -> Value {
    let place = ["Zürich, on the Limmat", "Paris, on the Seine"];
    json!({ PROPERTY: place[number % place.len()] })
}

/// Of the tool's arguments, and of the structure that is asked for.
pub(crate) fn schema() -> Value {
    json!({ "type": "object", "properties": { PROPERTY: { "type": "string" } },
            "required": [PROPERTY], "additionalProperties": false })
}
