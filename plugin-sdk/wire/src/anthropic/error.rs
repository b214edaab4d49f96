//! Errors on the Anthropic wire: `{"type": "error", "error": {type, message}}`.
//!
//! The class under `error.type` says more than the status. Of a body of another shape the
//! first 300 characters are kept.

use serde_json::Value;

use crate::error::CallError;
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
    fn web_page_is_cut() {
        assert_eq!(decode(502, None, "<p>".repeat(500).as_bytes()).message.len(), 300);
    }
}
