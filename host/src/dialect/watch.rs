//! Watches a provider's own bytes on the forward path: they pass as they are, and a codec
//! tells what they mean.

use std::collections::HashMap;

use bytes::Bytes;
use serde::de::IgnoredAny;
use torana_wire::chat::Response;
use torana_wire::error::{CallError, CallErrorKind};
use torana_wire::event::StreamEvent;
use torana_wire::{anthropic, completions, embeddings, openai, responses};

use super::Dialect;
use crate::upstream::framing::Frame;

/// The codec of a stream that passes through.
pub enum Watch {
    OpenaiChat(openai::stream::Decoder),
    OpenaiCompletions(completions::stream::Decoder),
    OpenaiResponses(Box<responses::stream::Decoder>),
    AnthropicMessages(Box<anthropic::stream::Decoder>),
}

impl Watch {
    pub fn new(dialect: Dialect) -> Self {
        match dialect {
            Dialect::OpenaiChat | Dialect::OpenaiEmbeddings => {
                Self::OpenaiChat(openai::stream::Decoder::default())
            }
            Dialect::OpenaiCompletions => {
                Self::OpenaiCompletions(completions::stream::Decoder::default())
            }
            Dialect::OpenaiResponses => Self::OpenaiResponses(Box::default()),
            Dialect::AnthropicMessages | Dialect::AnthropicCountTokens => {
                Self::AnthropicMessages(Box::default())
            }
        }
    }

    pub fn push(&mut self, frame: &Frame, events: &mut Vec<StreamEvent>) {
        match self {
            Self::OpenaiChat(decoder) => decoder.push(&frame.data, events),
            Self::OpenaiCompletions(decoder) => decoder.push(&frame.data, events),
            Self::OpenaiResponses(decoder) => {
                decoder.push(frame.event.as_deref(), &frame.data, events);
            }
            Self::AnthropicMessages(decoder) => {
                decoder.push(frame.event.as_deref(), &frame.data, events);
            }
        }
    }

    pub fn finish(&mut self, events: &mut Vec<StreamEvent>) {
        match self {
            Self::OpenaiChat(decoder) => decoder.finish(events),
            Self::OpenaiCompletions(decoder) => decoder.finish(events),
            Self::OpenaiResponses(decoder) => decoder.finish(events),
            Self::AnthropicMessages(decoder) => decoder.finish(events),
        }
    }
}

/// What a whole answer means.
///
/// # Errors
/// It is none, or reports a failure with a good status.
pub fn whole(dialect: Dialect, raw: &Bytes) -> Result<Response, CallError> {
    match understood(dialect, raw) {
        // It reaches the client as it is, which may understand more than this codec.
        Err(error) if error.kind == CallErrorKind::MalformedResponse && json(raw).is_ok() => {
            Ok(Response::default())
        }
        answer => answer,
    }
}

fn understood(dialect: Dialect, raw: &Bytes) -> Result<Response, CallError> {
    match dialect {
        Dialect::OpenaiChat => openai::response::decode(raw),
        Dialect::OpenaiCompletions => completions::response::decode(raw),
        Dialect::OpenaiResponses => responses::response::decode(raw),
        Dialect::AnthropicMessages => anthropic::response::decode(raw),
        Dialect::OpenaiEmbeddings => json(raw).map(|()| {
            let usage = embeddings::response::usage(raw);
            Response { usage, ..Response::default() }
        }),
        Dialect::AnthropicCountTokens => json(raw).map(|()| Response::default()),
    }
}

/// It is a JSON object at least.
fn json(raw: &[u8]) -> Result<(), CallError> {
    let object: Result<HashMap<String, IgnoredAny>, _> = serde_json::from_slice(raw);
    object.map(drop).map_err(|error| {
        let message = format!("the answer is not understood: {error}");
        CallError::new(CallErrorKind::MalformedResponse, message)
    })
}

/// What a provider's refusal means.
pub fn error(dialect: Dialect, status: u16, retry_after_ms: Option<u64>, body: &[u8]) -> CallError {
    if dialect.is_anthropic() {
        anthropic::error::decode(status, retry_after_ms, body)
    } else {
        openai::error::decode(status, retry_after_ms, body)
    }
}

/// The refusal has the dialect's own shape and can be passed on as it is.
pub fn is_error_object(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Error {
        #[expect(dead_code, reason = "its presence is what counts")]
        error: serde_json::Map<String, serde_json::Value>,
    }
    serde_json::from_slice::<Error>(body).is_ok()
}
