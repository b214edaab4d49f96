//! Failures that a response reports of itself, both ways.
//!
//! `response.error` and the `error` event have a code and words, and no status. The codes are
//! those of `ResponseErrorCode` and whatever a server puts there.

use serde_json::{Map, Value};

use crate::error::{CallError, CallErrorKind};
use crate::failure::Account;

/// What the object under `error`, or the fields of an `error` event, mean.
pub(super) fn decode(error: &Value) -> CallError {
    let empty = Map::new();
    let fields = error.as_object().unwrap_or(&empty);
    let text = |key: &str| match fields.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let code = text("code");
    let message = match error {
        Value::String(message) => message.clone(),
        _ => text("message"),
    };
    // An event's own `type` is no class of errors.
    let class = Some(text("type")).filter(|class| class != "error").unwrap_or_default();
    let is_refused_input =
        code == "invalid_prompt" || code.contains("image") || code == "invalid_request_error";
    let is_policy = code == "bio_policy" || code == "image_content_policy_violation";
    let mut error = Account { message, code, class }.into_error(0, None);
    if is_policy {
        error.kind = CallErrorKind::ContentFilter;
    } else if is_refused_input && error.kind == CallErrorKind::Server {
        error.kind = CallErrorKind::InvalidRequest;
    }
    error
}

/// The code that a client is given.
pub(super) fn code(error: &CallError) -> &str {
    error.provider_code.as_deref().unwrap_or_else(|| match error.kind {
        CallErrorKind::RateLimited => "rate_limit_exceeded",
        CallErrorKind::Server => "server_error",
        kind => kind.as_str(),
    })
}

/// The code for `response.error`, which is one of a closed list: strict clients refuse others.
pub(super) fn listed_code(error: &CallError) -> &str {
    const LISTED: [&str; 20] = [
        "server_error",
        "rate_limit_exceeded",
        "invalid_prompt",
        "data_residency_mismatch",
        "bio_policy",
        "vector_store_timeout",
        "invalid_image",
        "invalid_image_format",
        "invalid_base64_image",
        "invalid_image_url",
        "image_too_large",
        "image_too_small",
        "image_parse_error",
        "image_content_policy_violation",
        "invalid_image_mode",
        "image_file_too_large",
        "unsupported_image_media_type",
        "empty_image_file",
        "failed_to_download_image",
        "image_file_not_found",
    ];
    match code(error) {
        listed if LISTED.contains(&listed) => listed,
        _ if error.kind == CallErrorKind::RateLimited => "rate_limit_exceeded",
        _ => "server_error",
    }
}

/// `type` of an `error` event's object.
pub(super) fn class(error: &CallError) -> &'static str {
    match error.kind {
        CallErrorKind::InvalidRequest
        | CallErrorKind::Unsupported
        | CallErrorKind::ContextLength
        | CallErrorKind::ContentFilter => "invalid_request_error",
        _ => "server_error",
    }
}

pub(super) fn malformed(message: impl Into<String>) -> CallError {
    CallError::new(CallErrorKind::MalformedResponse, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn codes_of_failed_responses_tell_the_kind() {
        let expected = [
            ("server_error", CallErrorKind::Server),
            ("rate_limit_exceeded", CallErrorKind::RateLimited),
            ("insufficient_quota", CallErrorKind::Permission),
            ("context_length_exceeded", CallErrorKind::ContextLength),
            ("invalid_prompt", CallErrorKind::InvalidRequest),
            ("invalid_image_url", CallErrorKind::InvalidRequest),
            ("image_content_policy_violation", CallErrorKind::ContentFilter),
            ("bio_policy", CallErrorKind::ContentFilter),
        ];
        for (name, kind) in expected {
            let error = decode(&json!({"type": "error", "code": name, "message": "m"}));
            assert_eq!((error.kind, error.message.as_str()), (kind, "m"), "{name}");
            assert_eq!(code(&error), name);
        }
    }

    #[test]
    fn failure_without_an_account_is_the_servers() {
        for value in [json!(null), json!({}), json!([1])] {
            assert_eq!(decode(&value).kind, CallErrorKind::Server);
        }
        assert_eq!(decode(&json!("broken")).message, "broken");
    }
}
