//! Errors on the Anthropic wire, both ways: `{"type": "error", "error": {type, message}}`.
//!
//! The class under `error.type` says more than the status. Of a body of another shape the
//! first 300 characters are kept. Towards a client the class follows from the status, and the
//! gateway's own code stands under `error.details.error_code`, where Anthropic has its.

use serde::Serialize;
use serde_json::Value;

use crate::error::{CallError, CallErrorKind};
use crate::failure::{Account, excerpt};

/// What a provider's answer with an error status means.
pub fn decode(status: u16, retry_after_ms: Option<u64>, body: &[u8]) -> CallError {
    let account = match serde_json::from_slice::<Value>(body) {
        Ok(value) => match account(value.get("error").unwrap_or(&value)) {
            account if account.message.is_empty() => Account { message: excerpt(body), ..account },
            account => account,
        },
        Err(_) => Account { message: excerpt(body), ..Account::default() },
    };
    account.into_error(status, retry_after_ms)
}

/// An error body for a client.
pub fn encode(status: u16, message: &str, code: &str) -> Vec<u8> {
    body(class(status), message, code, None)
}

/// The same with the identifier under which the request is recorded.
pub fn encode_with_id(status: u16, message: &str, code: &str, request_id: &str) -> Vec<u8> {
    body(class(status), message, code, Some(request_id))
}

/// An error body for a failure after the status line has gone.
pub(super) fn write(error: &CallError, out: &mut Vec<u8>) {
    let code = error.provider_code.as_deref().unwrap_or_else(|| error.kind.as_str());
    out.extend(body(class_of(error.kind), &error.message, code, None));
}

#[derive(Serialize)]
struct Envelope<'a> {
    r#type: &'static str,
    error: ErrorBody<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    r#type: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details<'a>>,
}

#[derive(Serialize)]
struct Details<'a> {
    error_code: &'a str,
}

fn body(class: &'static str, message: &str, code: &str, request_id: Option<&str>) -> Vec<u8> {
    // A code that only repeats the class says nothing.
    let details = (!code.is_empty() && code != class).then_some(Details { error_code: code });
    let error = ErrorBody { r#type: class, message, details };
    let envelope = Envelope { r#type: "error", error, request_id };
    serde_json::to_vec(&envelope).unwrap_or_default()
}

fn class(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

fn class_of(kind: CallErrorKind) -> &'static str {
    match kind {
        CallErrorKind::RateLimited => "rate_limit_error",
        CallErrorKind::Overloaded => "overloaded_error",
        CallErrorKind::Timeout => "timeout_error",
        CallErrorKind::Authentication => "authentication_error",
        CallErrorKind::Permission => "permission_error",
        CallErrorKind::NotFound => "not_found_error",
        CallErrorKind::InvalidRequest
        | CallErrorKind::Unsupported
        | CallErrorKind::ContextLength
        | CallErrorKind::ContentFilter => "invalid_request_error",
        CallErrorKind::Server | CallErrorKind::MalformedResponse => "api_error",
    }
}

/// What the value under `error` means inside a stream.
pub(super) fn decode_inner(error: &Value) -> CallError {
    let mut error = account(error).into_error(0, None);
    if error.message.is_empty() {
        error.message = "the provider reported a failure".into();
    }
    error
}

fn account(error: &Value) -> Account {
    let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    Account { message: text("message"), code: String::new(), class: text("type") }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::error::CallErrorKind as Kind;

    fn body(class: &str, message: &str) -> Vec<u8> {
        serde_json::json!({"type": "error", "error": {"type": class, "message": message}})
            .to_string()
            .into_bytes()
    }

    #[test]
    fn class_and_status_tell_the_kind() {
        let expected = [
            (400, "invalid_request_error", "bad", Kind::InvalidRequest),
            (
                400,
                "invalid_request_error",
                "prompt is too long: 9 tokens > 8 maximum",
                Kind::ContextLength,
            ),
            (401, "authentication_error", "key", Kind::Authentication),
            (403, "permission_error", "no", Kind::Permission),
            (404, "not_found_error", "model", Kind::NotFound),
            (413, "request_too_large", "big", Kind::InvalidRequest),
            (429, "rate_limit_error", "slow", Kind::RateLimited),
            (500, "api_error", "oops", Kind::Server),
            (529, "overloaded_error", "busy", Kind::Overloaded),
        ];
        for (status, class, message, kind) in expected {
            let error = decode(status, Some(5), &body(class, message));
            assert_eq!((error.kind, error.message.as_str()), (kind, message), "{class}");
            assert_eq!(error.provider_code.as_deref(), Some(class));
            assert_eq!(error.retry_after_ms, Some(5));
        }
    }

    #[test]
    fn overload_inside_a_stream_needs_no_status() {
        let error = decode_inner(&serde_json::json!({"type": "overloaded_error", "message": "m"}));
        assert_eq!((error.kind, error.status), (Kind::Overloaded, None));
    }

    #[test]
    fn encoded_error_decodes_to_the_same_kind() {
        let expected = [
            (400, Kind::InvalidRequest),
            (401, Kind::Authentication),
            (402, Kind::Permission),
            (403, Kind::Permission),
            (404, Kind::NotFound),
            (413, Kind::InvalidRequest),
            (429, Kind::RateLimited),
            (500, Kind::Server),
            (503, Kind::Overloaded),
            (504, Kind::Timeout),
            (529, Kind::Overloaded),
        ];
        for (status, kind) in expected {
            let error = decode(status, None, &encode(status, "no", "some_code"));
            assert_eq!((error.kind, error.message.as_str()), (kind, "no"), "{status}");
        }
    }

    #[test]
    fn client_gets_class_message_code_and_request_id() {
        let body = encode_with_id(404, "no such model", "model_not_found", "req_1");
        let expected = serde_json::json!({
            "type": "error", "request_id": "req_1",
            "error": {"type": "not_found_error", "message": "no such model",
                "details": {"error_code": "model_not_found"}}});
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);
        let plain = encode(404, "m", "not_found_error");
        assert!(!String::from_utf8(plain).unwrap().contains("details"));
    }

    #[test]
    fn web_page_is_cut() {
        assert_eq!(decode(502, None, "<p>".repeat(500).as_bytes()).message.len(), 300);
    }
}
