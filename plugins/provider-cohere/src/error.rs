//! Failures: `{"id": …, "message": …}`, where the status says most.
//!
//! 498 is Cohere's own for a request or an answer with a forbidden token in it, 499 for a
//! call that was broken off. "Too many tokens" is said of a prompt as of an output limit;
//! only the first is a matter of the context.

use serde_json::Value;
use torana_plugin_sdk::provider::HttpResponse;
use torana_plugin_sdk::wire::failure::excerpt;
use torana_plugin_sdk::{CallError, CallErrorKind as Kind};

/// What an answer with an error status means.
pub(crate) fn decode(answer: &HttpResponse) -> CallError {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let message = words(&body).map_or_else(|| excerpt(&answer.body), str::to_owned);
    let kind = kind(answer.status, &message);
    let message = match message.is_empty() {
        true => format!("the provider answered with status {} and no message", answer.status),
        false => message,
    };
    CallError {
        status: Some(answer.status),
        retry_after_ms: answer.retry_after_ms(),
        ..CallError::new(kind, message)
    }
}

/// An event of a stream that is nothing but words of failure.
pub(crate) fn decode_event(event: &Value) -> Option<CallError> {
    let message = words(event)?;
    let kind = match from_words(message) {
        Kind::InvalidRequest => Kind::Server,
        kind => kind,
    };
    Some(CallError::new(kind, message))
}

fn words(body: &Value) -> Option<&str> {
    let found = ["message", "error", "detail"].into_iter().find_map(|key| body.get(key)?.as_str());
    found.filter(|message| !message.is_empty())
}

fn kind(status: u16, message: &str) -> Kind {
    match status {
        401 => Kind::Authentication,
        // Payment required: the account is empty, no repetition helps.
        402 | 403 => Kind::Permission,
        404 => Kind::NotFound,
        408 | 504 => Kind::Timeout,
        // A trial key is used up for the month: waiting does not help.
        429 if message.contains("/ month") => Kind::Permission,
        429 => Kind::RateLimited,
        498 => Kind::ContentFilter,
        499 => Kind::Server,
        400..=499 => from_words(message),
        501 => Kind::Unsupported,
        502 | 503 => Kind::Overloaded,
        500..=599 => Kind::Server,
        _ => Kind::MalformedResponse,
    }
}

fn from_words(message: &str) -> Kind {
    let message = message.to_ascii_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| message.contains(phrase));
    if says(&["max tokens must be"]) {
        Kind::InvalidRequest
    } else if says(&["too many tokens", "maximum context length", "context length"]) {
        Kind::ContextLength
    } else if says(&["not supported", "does not support", "doesn't support"]) {
        Kind::Unsupported
    } else {
        Kind::InvalidRequest
    }
}
