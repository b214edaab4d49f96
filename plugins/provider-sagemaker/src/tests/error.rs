//! Errors of SageMaker, and of the container inside them.

use serde_json::json;
use torana_plugin_sdk::CallErrorKind as Kind;
use torana_plugin_sdk::provider::Provider;

use super::{answer, endpoint, golden};
use crate::SageMaker;

fn decode(status: u16, headers: &[(&str, &str)], body: &str) -> torana_plugin_sdk::CallError {
    let answer = answer(status, headers, body.as_bytes());
    SageMaker::parse(&endpoint(json!({})), &answer).unwrap_err()
}

#[test]
fn documented_errors_have_their_kind() {
    let expected = [
        (400, "ValidationError", "bad header", Kind::InvalidRequest),
        (400, "ValidationError", "Endpoint x of account 1 not found.", Kind::NotFound),
        (403, "AccessDeniedException", "no", Kind::Permission),
        (403, "ExpiredTokenException", "no", Kind::Authentication),
        (403, "UnrecognizedClientException", "no", Kind::Authentication),
        (400, "ThrottlingException", "Rate exceeded", Kind::RateLimited),
        (
            424,
            "ModelError",
            "Your invocation timed out while waiting for a response from container primary.",
            Kind::Timeout,
        ),
        (424, "ModelError", "no", Kind::Server),
        (429, "ModelNotReadyException", "loading", Kind::Overloaded),
        (500, "InternalFailure", "no", Kind::Server),
        (503, "ServiceUnavailable", "no", Kind::Overloaded),
        (530, "InternalDependencyException", "no", Kind::Server),
    ];
    let mut lines = String::new();
    for (status, name, message, kind) in expected {
        let named = [("x-amzn-errortype", name), ("retry-after", "2")];
        let error = decode(status, &named, &json!({"Message": message}).to_string());
        assert_eq!((error.kind, error.message.as_str()), (kind, message), "{name}");
        assert_eq!((error.status, error.retry_after_ms), (Some(status), Some(2_000)));
        let body = json!({"__type": format!("com.amazon#{name}"), "message": message});
        assert_eq!(decode(status, &[], &body.to_string()).kind, kind, "{name}");
        lines.push_str(&format!("{error:?}\n"));
    }
    golden::check("error.txt", &lines);
}

#[test]
fn what_the_container_said_counts() {
    let vllm = r#"{"object":"error","message":"This model's maximum context length is 4096 tokens.","type":"BadRequestError","code":400}"#;
    let tgi_queue = r#"{"error":"Model is overloaded","error_type":"overloaded"}"#;
    let tgi_long = r#"{"error":"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048. Given: 9000","error_type":"validation"}"#;
    for (status, original, kind, message) in [
        (400, vllm, Kind::ContextLength, "This model's maximum context length is 4096 tokens."),
        (429, tgi_queue, Kind::Overloaded, "Model is overloaded"),
        (
            422,
            tgi_long,
            Kind::ContextLength,
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048. Given: 9000",
        ),
        (500, "CUDA error", Kind::Server, "CUDA error"),
        (503, "", Kind::Overloaded, "Received server error"),
    ] {
        let body = json!({"ErrorCode": "X", "LogStreamArn": "arn", "Message": "Received server error",
            "OriginalMessage": original, "OriginalStatusCode": status});
        let error = decode(424, &[("x-amzn-errortype", "ModelError")], &body.to_string());
        assert_eq!((error.kind, error.message.as_str()), (kind, message));
        assert_eq!(error.status, Some(status));
    }
}

#[test]
fn without_a_name_the_status_counts() {
    for (status, kind) in [
        (401, Kind::Authentication),
        (404, Kind::NotFound),
        (424, Kind::Server),
        (504, Kind::Timeout),
    ] {
        assert_eq!(decode(status, &[], "{}").kind, kind, "{status}");
    }
    assert_eq!(decode(502, &[], &"<p>".repeat(500)).message.len(), 300);
    assert_eq!(decode(503, &[], "").message, "SageMaker reported a failure without a word");
}
