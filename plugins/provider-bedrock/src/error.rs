//! Failures, before an answer and inside a stream.
//!
//! The name of the exception says what happened: in the header `x-amzn-errortype`, else under
//! `__type` in the body, inside a stream as the type of the event. A name that is not known
//! keeps the meaning of the status. `ValidationException` stands for much; phrases tell a
//! prompt that is too long, a feature that the model lacks and a model that is not there.

use serde_json::Value;
use torana_plugin_sdk::provider::HttpResponse;
use torana_plugin_sdk::{CallError, CallErrorKind as Kind};

/// Characters kept of a body of no known shape: a first line, not a web page.
const KEPT_CHARACTERS: usize = 300;

/// What an answer with an error status means.
pub(crate) fn decode(answer: &HttpResponse) -> CallError {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let named = answer.header("x-amzn-errortype").or_else(|| body.get("__type")?.as_str());
    let name = named.map(bare_name).filter(|name| !name.is_empty());
    let mut error = describe(name, Some(answer.status), &answer.body, &body);
    error.retry_after_ms = answer.retry_after_ms();
    error
}

/// What an event of a stream means, if it is a failure. `event` is the type of an exception
/// (`throttlingException`) or, for a message of type `error`, its code.
pub(crate) fn decode_event(event: &str, data: &[u8]) -> Option<CallError> {
    let name = capitalised(bare_name(event));
    let is_failure = ["Exception", "Error", "Failure", "Unavailable"];
    if from_name(&name).is_none() && !is_failure.iter().any(|ending| name.ends_with(ending)) {
        return None;
    }
    let body: Value = serde_json::from_slice(data).unwrap_or_default();
    Some(describe(Some(&name), None, data, &body))
}

fn describe(name: Option<&str>, status: Option<u16>, raw: &[u8], body: &Value) -> CallError {
    let words = ["message", "Message", "originalMessage"];
    let message = words
        .iter()
        .filter_map(|key| body.get(key)?.as_str())
        .find(|message| !message.is_empty())
        .map_or_else(|| excerpt(raw), str::to_owned);
    let kind = name.and_then(from_name).or_else(|| status.map(from_status)).unwrap_or(Kind::Server);
    let kind = match kind {
        Kind::InvalidRequest => from_words(&message),
        kind => kind,
    };
    let message = match (message.is_empty(), name) {
        (false, _) => message,
        (true, Some(name)) => format!("Bedrock reported {name} without a word"),
        (true, None) => "Bedrock reported a failure without a word".into(),
    };
    CallError { status, provider_code: name.map(str::to_owned), ..CallError::new(kind, message) }
}

/// Of `com.amazon.coral#ThrottlingException` or `ThrottlingException:http://…`.
fn bare_name(name: &str) -> &str {
    let name = name.split(':').next().unwrap_or_default();
    name.rsplit('#').next().unwrap_or_default().trim()
}

/// Exceptions of a stream are written `throttlingException`.
fn capitalised(name: &str) -> String {
    let mut characters = name.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}

/// Errors of the runtime's operations and those common to all of AWS.
fn from_name(name: &str) -> Option<Kind> {
    Some(match name {
        "AccessDeniedException" | "AccessDenied" | "NotAuthorized" | "OptInRequired" => {
            Kind::Permission
        }
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "RequestExpired"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException" => Kind::Authentication,
        // A quota of the account: another endpoint may have room, and this one later.
        "ThrottlingException"
        | "Throttling"
        | "TooManyRequestsException"
        | "ServiceQuotaExceededException" => Kind::RateLimited,
        // Still being loaded. Its status is 429, but the client asked for nothing too much.
        "ModelNotReadyException"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "ServiceUnavailableError" => Kind::Overloaded,
        "ModelTimeoutException" | "RequestTimeout" | "RequestTimeoutException" => Kind::Timeout,
        "ResourceNotFoundException" | "UnknownOperationException" => Kind::NotFound,
        "ValidationException"
        | "ValidationError"
        | "ConflictException"
        | "SerializationException"
        | "RequestEntityTooLargeException" => Kind::InvalidRequest,
        "ModelErrorException"
        | "ModelStreamErrorException"
        | "InternalServerException"
        | "InternalServerError"
        | "InternalFailure" => Kind::Server,
        _ => return None,
    })
}

fn from_status(status: u16) -> Kind {
    match status {
        401 => Kind::Authentication,
        403 => Kind::Permission,
        404 => Kind::NotFound,
        408 | 504 => Kind::Timeout,
        // The model failed, not the request.
        424 => Kind::Server,
        429 => Kind::RateLimited,
        400..=499 => Kind::InvalidRequest,
        502 | 503 => Kind::Overloaded,
        500..=599 => Kind::Server,
        _ => Kind::MalformedResponse,
    }
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

fn excerpt(body: &[u8]) -> String {
    let start = body.get(..KEPT_CHARACTERS * 4).unwrap_or(body);
    String::from_utf8_lossy(start).trim().chars().take(KEPT_CHARACTERS).collect()
}
