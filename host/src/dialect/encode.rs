//! Writes answers and errors in the client's dialect.

use bytes::Bytes;
use serde_json::{Value, json};
use torana_wire::chat::{Response, Usage};
use torana_wire::error::CallError;
use torana_wire::event::StreamEvent;
use torana_wire::openai::Identity;
use torana_wire::{anthropic, completions, openai, responses};

use super::Dialect;

/// Encodes the events of one stream.
pub enum Encoder {
    OpenaiChat(Box<openai::stream::Encoder>),
    OpenaiCompletions(completions::stream::Encoder),
    OpenaiResponses(Box<responses::stream::Encoder>),
    AnthropicMessages(Box<anthropic::stream::Encoder>),
}

impl Encoder {
    /// `body` is the client's request, of which some dialects repeat parts in the answer.
    pub fn new(
        dialect: Dialect,
        identity: &Identity<'_>,
        include_usage: bool,
        body: &[u8],
    ) -> Self {
        match dialect {
            Dialect::OpenaiChat | Dialect::OpenaiEmbeddings => {
                Self::OpenaiChat(Box::new(openai::stream::Encoder::new(identity, include_usage)))
            }
            Dialect::OpenaiCompletions => {
                Self::OpenaiCompletions(completions::stream::Encoder::new(identity, include_usage))
            }
            Dialect::OpenaiResponses => {
                let echo = echo(body);
                Self::OpenaiResponses(Box::new(responses::stream::Encoder::new(identity, echo)))
            }
            Dialect::AnthropicMessages | Dialect::AnthropicCountTokens => {
                Self::AnthropicMessages(Box::new(anthropic::stream::Encoder::new(identity)))
            }
        }
    }

    pub fn push(&mut self, event: &StreamEvent, out: &mut Vec<u8>) {
        match self {
            Self::OpenaiChat(encoder) => encoder.push(event, out),
            Self::OpenaiCompletions(encoder) => encoder.push(event, out),
            Self::OpenaiResponses(encoder) => encoder.push(event, out),
            Self::AnthropicMessages(encoder) => encoder.push(event, out),
        }
    }

    /// The end of a whole answer.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::OpenaiChat(encoder) => encoder.end(out),
            Self::OpenaiCompletions(encoder) => encoder.end(out),
            Self::OpenaiResponses(encoder) => encoder.end(out),
            Self::AnthropicMessages(encoder) => encoder.end(out),
        }
    }

    /// The end of a broken answer: an error, and nothing that looks complete.
    pub fn fail(&mut self, dialect: Dialect, status: u16, error: &CallError, out: &mut Vec<u8>) {
        match self {
            Self::OpenaiResponses(encoder) => encoder.fail(error, out),
            Self::AnthropicMessages(encoder) => encoder.fail(error, out),
            Self::OpenaiCompletions(encoder) => encoder.fail(error, out),
            Self::OpenaiChat(_) => {
                out.extend_from_slice(&stream_error(dialect, status, error));
            }
        }
    }
}

/// What a response repeats of its request.
fn echo(body: &[u8]) -> responses::response::Echo {
    // A body that does not decode got no answer to put it in.
    let request = responses::request::decode(body).unwrap_or_default();
    responses::response::Echo::of(&request)
}

/// A whole answer.
pub fn whole(
    dialect: Dialect,
    response: &Response,
    identity: &Identity<'_>,
    body: &[u8],
) -> Vec<u8> {
    match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiEmbeddings => {
            openai::response::encode(response, identity)
        }
        Dialect::OpenaiCompletions => completions::response::encode(response, identity),
        Dialect::OpenaiResponses => {
            let echo = echo(body);
            responses::response::encode(response, identity, &echo)
        }
        Dialect::AnthropicMessages | Dialect::AnthropicCountTokens => {
            anthropic::response::encode(response, identity)
        }
    }
}

/// A provider's failure with its place in the dialect's error body.
pub fn error(
    is_anthropic: bool,
    status: u16,
    message: &str,
    code: &str,
    param: Option<&str>,
) -> Vec<u8> {
    if is_anthropic {
        anthropic::error::encode(status, message, code)
    } else {
        openai::error::encode(status, message, code, param)
    }
}

/// The last event of a stream that passed through and broke. No end marker follows it.
pub fn stream_error(dialect: Dialect, status: u16, error: &CallError) -> Bytes {
    let code = error.provider_code.as_deref().unwrap_or(error.kind.as_str());
    let mut event = Vec::new();
    match dialect {
        Dialect::AnthropicMessages | Dialect::AnthropicCountTokens => {
            event.extend(b"event: error\ndata: ");
            event.extend(anthropic::error::encode(status, &error.message, code));
        }
        Dialect::OpenaiResponses => {
            let body = json!({
                "type": "error",
                "code": code,
                "message": error.message,
                "param": null,
                // The provider's own count is not known here.
                "sequence_number": 0,
            });
            event.extend(b"event: error\ndata: ");
            event.extend(body.to_string().into_bytes());
        }
        Dialect::OpenaiChat | Dialect::OpenaiCompletions | Dialect::OpenaiEmbeddings => {
            event.extend(b"data: ");
            event.extend(openai::error::encode(status, &error.message, code, None));
        }
    }
    event.extend(b"\n\n");
    event.into()
}

/// Usage for a whole answer that passes through and has none; only for routes whose SDKs read
/// it from there.
pub fn missing_usage(dialect: Dialect, usage: &Usage) -> Option<Value> {
    dialect.asks_for_usage().then(|| {
        json!({
            "prompt_tokens": usage.input,
            "completion_tokens": usage.output,
            "total_tokens": usage.input.saturating_add(usage.output),
            "estimated": usage.estimated,
        })
    })
}

/// The chunk that `stream_options.include_usage` asks for, where the provider sent none.
pub fn usage_chunk(dialect: Dialect, identity: &Identity<'_>, usage: &Usage) -> Vec<u8> {
    let object = match dialect {
        Dialect::OpenaiCompletions => "text_completion",
        _ => "chat.completion.chunk",
    };
    let Some(usage) = missing_usage(dialect, usage) else { return Vec::new() };
    let chunk = json!({
        "id": identity.id,
        "object": object,
        "created": identity.created,
        "model": identity.model,
        "choices": [],
        "usage": usage,
    });
    format!("data: {chunk}\n\n").into_bytes()
}

/// What ends a whole stream that passed through, where the provider's own end marker did not
/// come.
pub fn end_marker(dialect: Dialect) -> &'static [u8] {
    match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiCompletions => b"data: [DONE]\n\n",
        _ => b"",
    }
}
