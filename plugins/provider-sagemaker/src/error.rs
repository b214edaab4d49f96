//! Failures of SageMaker and, inside them, of the container.
//!
//! The name of the error is in the header `x-amzn-errortype` or under `__type`; in a stream it
//! is the type of the event. `ModelError` carries the container's own status and body
//! (`OriginalStatusCode`, `OriginalMessage`), which are read as OpenAI's: what the container
//! said counts, not that SageMaker calls it a failed dependency.

use serde_json::Value;
use torana_plugin_sdk::provider::HttpResponse;
use torana_plugin_sdk::wire::openai;
use torana_plugin_sdk::{CallError, CallErrorKind as Kind};

/// Characters kept of a body of no known shape: a first line, not a web page.
const KEPT_CHARACTERS: usize = 300;

/// What an answer with an error status means.
pub(crate) fn decode(answer: &HttpResponse) -> CallError {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let named = answer.header("x-amzn-errortype").or_else(|| body.get("__type")?.as_str());
    let name = named.map(bare_name).filter(|name| !name.is_empty());
    let error = match of_container(&body, answer) {
        Some(error) => error,
        None => describe(name, Some(answer.status), &answer.body, &body),
    };
    CallError { retry_after_ms: answer.retry_after_ms(), ..error }
}

/// What an event of a stream that is no part of the payload means, if it is a failure.
pub(crate) fn decode_event(event: &str, data: &[u8]) -> Option<CallError> {
    let name = bare_name(event);
    let is_failure = ["Exception", "Error", "Failure", "Unavailable"];
    if !is_failure.iter().any(|ending| name.ends_with(ending)) {
        return None;
    }
    let body: Value = serde_json::from_slice(data).unwrap_or_default();
    Some(describe(Some(name), None, data, &body))
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
        true => words(body).unwrap_or_default().to_owned(),
        false => error.message,
    };
    Some(CallError { kind, message, ..error })
}

fn names_context_length(message: &str) -> bool {
    ["`inputs` tokens + `max_new_tokens` must be", "`inputs` must have less than"]
        .iter()
        .any(|phrase| message.contains(phrase))
}

fn describe(name: Option<&str>, status: Option<u16>, raw: &[u8], body: &Value) -> CallError {
    let message = words(body).map_or_else(|| excerpt(raw), str::to_owned);
    let code = body.get("ErrorCode").and_then(Value::as_str).filter(|code| !code.is_empty());
    let kind = code
        .and_then(from_name)
        .or_else(|| name.and_then(from_name))
        .or_else(|| status.map(from_status))
        .unwrap_or(Kind::Server);
    let kind = match kind {
        Kind::InvalidRequest if message.to_ascii_lowercase().contains("not found") => {
            Kind::NotFound
        }
        Kind::Server if message.contains("timed out") => Kind::Timeout,
        kind => kind,
    };
    let message = match (message.is_empty(), name) {
        (false, _) => message,
        (true, Some(name)) => format!("SageMaker reported {name} without a word"),
        (true, None) => "SageMaker reported a failure without a word".into(),
    };
    let provider_code = code.or(name).map(str::to_owned);
    CallError { status, provider_code, ..CallError::new(kind, message) }
}

fn words(body: &Value) -> Option<&str> {
    let found = ["Message", "message"].into_iter().find_map(|key| body.get(key)?.as_str());
    found.filter(|message| !message.is_empty())
}

/// Of `com.amazon.coral#ThrottlingException` or `ModelError:http://…`.
fn bare_name(name: &str) -> &str {
    let name = name.split(':').next().unwrap_or_default();
    name.rsplit('#').next().unwrap_or_default().trim()
}

/// Errors of the runtime's operations, codes of a broken stream, and errors of all of AWS.
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
        "ThrottlingException" | "Throttling" | "TooManyRequestsException" => Kind::RateLimited,
        // Still being loaded. Its status is 429, but the client asked for nothing too much.
        "ModelNotReadyException" | "ServiceUnavailable" | "ServiceUnavailableException" => {
            Kind::Overloaded
        }
        "ModelInvocationTimeExceeded" | "RequestTimeoutException" => Kind::Timeout,
        "UnknownOperationException" | "ResourceNotFoundException" => Kind::NotFound,
        "ValidationError" | "ValidationException" => Kind::InvalidRequest,
        "ModelError"
        | "ModelStreamError"
        | "StreamBroken"
        | "InternalStreamFailure"
        | "InternalServerException"
        | "InternalDependencyException"
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
        // The container failed, not the request.
        424 => Kind::Server,
        429 => Kind::RateLimited,
        400..=499 => Kind::InvalidRequest,
        502 | 503 => Kind::Overloaded,
        500..=599 => Kind::Server,
        _ => Kind::MalformedResponse,
    }
}

fn excerpt(body: &[u8]) -> String {
    let start = body.get(..KEPT_CHARACTERS * 4).unwrap_or(body);
    String::from_utf8_lossy(start).trim().chars().take(KEPT_CHARACTERS).collect()
}
