//! Failures of SageMaker and, inside them, of the container.
//!
//! Read as all of AWS's are, but for `ModelError`, which carries the container's own status
//! and body (`OriginalStatusCode`, `OriginalMessage`). These are read as OpenAI's: what the
//! container said counts, not that SageMaker calls it a failed dependency.

use serde_json::Value;
use torana_plugin_sdk::provider::HttpResponse;
use torana_plugin_sdk::wire::{aws, openai};
use torana_plugin_sdk::{CallError, CallErrorKind as Kind};

const SERVICE: &str = "SageMaker";

/// What an answer with an error status means.
pub(crate) fn decode(answer: &HttpResponse) -> CallError {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let error = of_container(&body, answer).unwrap_or_else(|| {
        let name = answer.header("x-amzn-errortype");
        refined(aws::decode(SERVICE, name, answer.status, &answer.body))
    });
    CallError { retry_after_ms: answer.retry_after_ms(), ..error }
}

/// What an event of a stream that is no part of the payload means, if it is a failure.
pub(crate) fn decode_event(event: &str, data: &[u8]) -> Option<CallError> {
    aws::decode_event(SERVICE, event, data).map(refined)
}

/// What the container answered, where it did.
fn of_container(body: &Value, answer: &HttpResponse) -> Option<CallError> {
    let status = body.get("OriginalStatusCode").and_then(Value::as_u64)?;
    let status = u16::try_from(status).ok().filter(|status| (400..600).contains(status))?;
    let message = body.get("OriginalMessage").and_then(Value::as_str).unwrap_or_default();
    let error = openai::error::decode(status, answer.retry_after_ms(), message.as_bytes());
    let kind = match (error.kind, error.provider_code.as_deref()) {
        // TGI's words for a full queue, and for a prompt that does not fit.
        (Kind::RateLimited, Some("overloaded")) => Kind::Overloaded,
        (Kind::InvalidRequest, _) if names_context_length(&error.message) => Kind::ContextLength,
        (kind, _) => kind,
    };
    let message = match message.is_empty() {
        true => aws::words(body).unwrap_or_default().to_owned(),
        false => error.message,
    };
    Some(CallError { kind, message, ..error })
}

fn names_context_length(message: &str) -> bool {
    ["`inputs` tokens + `max_new_tokens` must be", "`inputs` must have less than"]
        .iter()
        .any(|phrase| message.contains(phrase))
}

fn refined(error: CallError) -> CallError {
    let kind = match error.kind {
        Kind::InvalidRequest if error.message.to_ascii_lowercase().contains("not found") => {
            Kind::NotFound
        }
        Kind::Server if error.message.contains("timed out") => Kind::Timeout,
        kind => kind,
    };
    CallError { kind, ..error }
}
