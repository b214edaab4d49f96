//! Google's errors: `{"error": {code, message, status, details}}`, or that in an array.
//!
//! `status` is a name of `google.rpc.Code` and says more than the HTTP status. Of `details`,
//! `ErrorInfo` says more still, `RetryInfo` says how long to wait, and `QuotaFailure` names the
//! quota, which is added to the message: a day's is not back in a minute. Of a body of another
//! shape the first 300 characters are kept. Unknown is not guessed: it keeps the meaning of
//! its HTTP status.
//!
//! Source: cloud.google.com/apis/design/errors, ai.google.dev/gemini-api/docs/troubleshooting.

use serde_json::Value;
use torana_plugin_sdk::wire::failure::excerpt;
use torana_plugin_sdk::{CallError, CallErrorKind};

/// What an answer with an error status means.
pub(crate) fn decode(status: u16, retry_after_ms: Option<u64>, body: &[u8]) -> CallError {
    let value = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let Some(error) = reported(&value) else {
        let message = match excerpt(body) {
            empty if empty.is_empty() => {
                format!("the provider answered with status {status} and no message")
            }
            excerpt => excerpt,
        };
        let error = CallError::new(from_http(status), message);
        return CallError { status: Some(status), retry_after_ms, ..error };
    };
    let mut decoded = decode_reported(error);
    decoded.status = Some(status);
    decoded.retry_after_ms = decoded.retry_after_ms.or(retry_after_ms);
    if name(error).is_empty() {
        decoded.kind = refine(from_http(status), &decoded.message, reason(error));
    }
    decoded
}

/// The failure in a value that an answer or a chunk consists of.
pub(crate) fn reported(value: &Value) -> Option<&Value> {
    let value = match value {
        Value::Array(items) => items.first()?,
        value => value,
    };
    value.get("error").filter(|error| !error.is_null())
}

/// What the value under `error` means, inside a stream too.
pub(crate) fn decode_reported(error: &Value) -> CallError {
    let code = error.get("code").and_then(Value::as_u64);
    let status = code.and_then(|code| u16::try_from(code).ok());
    let status = status.filter(|status| (400..600).contains(status));
    let mut message = match error.get("message").and_then(Value::as_str).or(error.as_str()) {
        None | Some("") => "the provider reported a failure without a word".to_owned(),
        Some(message) => message.trim().to_owned(),
    };
    if let Some(quota) = quota(error).filter(|quota| !message.contains(quota)) {
        message.push_str(&format!(" (quota: {quota})"));
    }
    let kind =
        from_name(name(error)).unwrap_or_else(|| status.map_or(CallErrorKind::Server, from_http));
    let kind = refine(kind, &message, reason(error));
    let code = [reason(error), name(error)].into_iter().find(|code| !code.is_empty());
    CallError {
        kind,
        message,
        status,
        provider_code: code.map(str::to_owned),
        retry_after_ms: retry_delay_ms(error),
    }
}

fn name(error: &Value) -> &str {
    error.get("status").and_then(Value::as_str).unwrap_or_default()
}

/// Of `google.rpc.ErrorInfo`.
fn reason(error: &Value) -> &str {
    details(error)
        .find_map(|detail| detail.get("reason").and_then(Value::as_str))
        .unwrap_or_default()
}

/// Of `google.rpc.QuotaFailure`: the first quota that is used up.
fn quota(error: &Value) -> Option<&str> {
    let violations = details(error).find_map(|detail| detail.get("violations")?.as_array())?;
    violations.iter().find_map(|violation| violation.get("quotaId")?.as_str())
}

/// Of `google.rpc.RetryInfo`: seconds with a fraction and an `s`.
fn retry_delay_ms(error: &Value) -> Option<u64> {
    let delay = details(error).find_map(|detail| detail.get("retryDelay")?.as_str())?;
    let seconds: f64 = delay.strip_suffix('s')?.parse().ok()?;
    // The cast saturates; NaN fails the comparison.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    (seconds >= 0.0).then_some((seconds * 1_000.0).ceil() as u64)
}

fn details(error: &Value) -> impl Iterator<Item = &Value> {
    error.get("details").and_then(Value::as_array).into_iter().flatten()
}

/// Names of `google.rpc.Code`.
fn from_name(name: &str) -> Option<CallErrorKind> {
    Some(match name {
        "INVALID_ARGUMENT" | "OUT_OF_RANGE" | "ALREADY_EXISTS" => CallErrorKind::InvalidRequest,
        // No billing, or a country that is not served: no repetition helps.
        "FAILED_PRECONDITION" | "PERMISSION_DENIED" => CallErrorKind::Permission,
        "UNAUTHENTICATED" => CallErrorKind::Authentication,
        "NOT_FOUND" => CallErrorKind::NotFound,
        "RESOURCE_EXHAUSTED" => CallErrorKind::RateLimited,
        "UNAVAILABLE" | "ABORTED" => CallErrorKind::Overloaded,
        "DEADLINE_EXCEEDED" => CallErrorKind::Timeout,
        "UNIMPLEMENTED" => CallErrorKind::Unsupported,
        "INTERNAL" | "UNKNOWN" | "DATA_LOSS" | "CANCELLED" => CallErrorKind::Server,
        _ => return None,
    })
}

fn from_http(status: u16) -> CallErrorKind {
    match status {
        401 => CallErrorKind::Authentication,
        402 | 403 => CallErrorKind::Permission,
        404 | 410 => CallErrorKind::NotFound,
        408 | 504 => CallErrorKind::Timeout,
        429 => CallErrorKind::RateLimited,
        // The client went away, as Google calls it.
        499 => CallErrorKind::Server,
        400..=498 => CallErrorKind::InvalidRequest,
        502 | 503 => CallErrorKind::Overloaded,
        500..=599 => CallErrorKind::Server,
        _ => CallErrorKind::MalformedResponse,
    }
}

fn refine(kind: CallErrorKind, message: &str, reason: &str) -> CallErrorKind {
    match (kind, reason) {
        // A key that is wrong is a 400 on AI Studio and without a reason on older paths.
        (_, "API_KEY_INVALID" | "ACCESS_TOKEN_EXPIRED" | "CREDENTIALS_MISSING") => {
            CallErrorKind::Authentication
        }
        (CallErrorKind::InvalidRequest, _) if message.starts_with("API key ") => {
            CallErrorKind::Authentication
        }
        // An overlong prompt is documented as INTERNAL too.
        (CallErrorKind::InvalidRequest | CallErrorKind::Server, _)
            if names_context_length(message) =>
        {
            CallErrorKind::ContextLength
        }
        (kind, _) => kind,
    }
}

fn names_context_length(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    [
        "exceeds the maximum number of tokens",
        "input context is too long",
        "context window",
        "context length",
    ]
    .iter()
    .any(|phrase| message.contains(phrase))
}
