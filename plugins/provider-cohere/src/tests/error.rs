//! Every documented error, by status and words.

use serde_json::json;
use torana_plugin_sdk::CallErrorKind as Kind;
use torana_plugin_sdk::provider::Provider;

use super::{MODEL, answer, endpoint, golden};
use crate::Cohere;

fn decode(status: u16, headers: &[(&str, &str)], body: &str) -> torana_plugin_sdk::CallError {
    Cohere::parse(&endpoint(MODEL), &answer(status, headers, body.as_bytes())).unwrap_err()
}

#[test]
fn documented_errors_have_their_kind() {
    let expected = [
        (400, "invalid request: list of documents must not be empty", Kind::InvalidRequest),
        (
            400,
            "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 4292.",
            Kind::ContextLength,
        ),
        (
            400,
            "too many tokens: max tokens must be less than or equal to 4096, the maximum output for this model - received 8192.",
            Kind::InvalidRequest,
        ),
        (400, "invalid request: response_format is not supported with RAG.", Kind::Unsupported),
        (401, "invalid api token", Kind::Authentication),
        (402, "Please add or update your payment method", Kind::Permission),
        (403, "forbidden", Kind::Permission),
        (404, "model 'x' not found, make sure the correct model ID was used", Kind::NotFound),
        (422, "invalid type: parameter messages is of type string", Kind::InvalidRequest),
        (
            429,
            "You are using a Trial key, which is limited to 20 API calls / minute.",
            Kind::RateLimited,
        ),
        (
            429,
            "You are using a Trial key, which is limited to 1000 API calls / month.",
            Kind::Permission,
        ),
        (498, "invalid token", Kind::ContentFilter),
        (499, "request cancelled", Kind::Server),
        (500, "internal server error", Kind::Server),
        (501, "not implemented", Kind::Unsupported),
        (503, "service unavailable", Kind::Overloaded),
        (504, "gateway timeout", Kind::Timeout),
    ];
    let mut lines = String::new();
    for (status, message, kind) in expected {
        let body = json!({"id": "e", "message": message}).to_string();
        let error = decode(status, &[("retry-after", "2")], &body);
        assert_eq!((error.kind, error.message.as_str()), (kind, message));
        assert_eq!((error.status, error.retry_after_ms), (Some(status), Some(2_000)));
        lines.push_str(&format!("{error:?}\n"));
    }
    golden::check("error.txt", &lines);
}

#[test]
fn bodies_of_other_shapes_give_their_words() {
    assert_eq!(decode(500, &[], r#"{"error":"x"}"#).message, "x");
    assert_eq!(decode(502, &[], &"<p>".repeat(500)).message.len(), 300);
    assert_eq!(
        decode(502, &[], "").message,
        "the provider answered with status 502 and no message"
    );
}
