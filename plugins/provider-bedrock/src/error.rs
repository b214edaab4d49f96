//! Failures, before an answer and inside a stream.
//!
//! Read as all of AWS's are. `ValidationException` stands for much; phrases tell a prompt that
//! is too long, a feature that the model lacks and a model that is not there.

use torana_plugin_sdk::provider::HttpResponse;
use torana_plugin_sdk::wire::aws;
use torana_plugin_sdk::{CallError, CallErrorKind as Kind};

const SERVICE: &str = "Bedrock";

/// What an answer with an error status means.
pub(crate) fn decode(answer: &HttpResponse) -> CallError {
    let name = answer.header("x-amzn-errortype");
    let error = aws::decode(SERVICE, name, answer.status, &answer.body);
    CallError { retry_after_ms: answer.retry_after_ms(), ..refined(error) }
}

/// What an event of a stream means, if it is a failure. `event` is the type of an exception
/// (`throttlingException`) or, for a message of type `error`, its code.
pub(crate) fn decode_event(event: &str, data: &[u8]) -> Option<CallError> {
    aws::decode_event(SERVICE, event, data).map(refined)
}

fn refined(error: CallError) -> CallError {
    let kind = match error.kind {
        Kind::InvalidRequest => from_words(&error.message),
        kind => kind,
    };
    CallError { kind, ..error }
}

/// Bedrock's own phrases and those of the models' makers, which it passes on.
fn from_words(message: &str) -> Kind {
    let message = message.to_ascii_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| message.contains(phrase));
    let too_long = [
        "input is too long",
        "prompt is too long",
        "too many input tokens",
        "input tokens exceeded",
        "maximum context length",
        "context window",
        "context limit",
        "maximum number of tokens",
        "exceeds maximum length",
    ];
    if says(&too_long) {
        return Kind::ContextLength;
    }
    if says(&["model identifier is invalid", "model id is invalid"]) {
        return Kind::NotFound;
    }
    if says(&["operation not allowed"]) {
        return Kind::Permission;
    }
    if says(&["doesn't support", "does not support", "isn't supported", "is not supported"]) {
        return Kind::Unsupported;
    }
    Kind::InvalidRequest
}
