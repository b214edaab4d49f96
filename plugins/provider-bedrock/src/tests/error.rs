//! Every documented error, by header, by body and by status.

use serde_json::json;
use torana_plugin_sdk::CallErrorKind as Kind;
use torana_plugin_sdk::provider::Provider;

use super::{CLAUDE, answer, endpoint, golden};
use crate::Bedrock;

const DOCUMENTED: [(u16, &str, Kind); 19] = [
    (403, "AccessDeniedException", Kind::Permission),
    (403, "ExpiredTokenException", Kind::Authentication),
    (403, "UnrecognizedClientException", Kind::Authentication),
    (403, "InvalidSignatureException", Kind::Authentication),
    (403, "IncompleteSignature", Kind::Authentication),
    (403, "MissingAuthenticationToken", Kind::Authentication),
    (500, "InternalServerException", Kind::Server),
    (500, "InternalFailure", Kind::Server),
    (424, "ModelErrorException", Kind::Server),
    (424, "ModelStreamErrorException", Kind::Server),
    (429, "ModelNotReadyException", Kind::Overloaded),
    (408, "ModelTimeoutException", Kind::Timeout),
    (404, "ResourceNotFoundException", Kind::NotFound),
    (400, "ServiceQuotaExceededException", Kind::RateLimited),
    (503, "ServiceUnavailableException", Kind::Overloaded),
    (429, "ThrottlingException", Kind::RateLimited),
    (400, "ValidationException", Kind::InvalidRequest),
    (400, "ConflictException", Kind::InvalidRequest),
    (403, "OptInRequired", Kind::Permission),
];

fn decode(status: u16, headers: &[(&str, &str)], body: &str) -> torana_plugin_sdk::CallError {
    Bedrock::parse(&endpoint(CLAUDE), &answer(status, headers, body.as_bytes())).unwrap_err()
}

#[test]
fn documented_errors_have_their_kind_in_header_and_body() {
    let mut lines = String::new();
    for (status, name, kind) in DOCUMENTED {
        let value = format!("{name}:http://internal.amazon.com/coral/com.amazon.bedrock/");
        let headers = [("x-amzn-errortype", value.as_str()), ("retry-after", "2")];
        let error = decode(status, &headers, r#"{"message":"no"}"#);
        assert_eq!((error.kind, error.message.as_str()), (kind, "no"), "{name}");
        assert_eq!(error.retry_after_ms, Some(2_000));
        let body = json!({"__type": format!("com.amazon.coral.service#{name}"), "Message": "no"});
        let by_body = decode(status, &[], &body.to_string());
        assert_eq!((by_body.kind, by_body.provider_code), (kind, Some(name.into())));
        lines.push_str(&format!("{error:?}\n"));
    }
    golden::check("error.txt", &lines);
}

#[test]
fn words_of_a_refused_request_make_it_precise() {
    let expected = [
        ("Input is too long for requested model.", Kind::ContextLength),
        ("prompt is too long: 210000 tokens > 200000 maximum", Kind::ContextLength),
        (
            "Too many input tokens. Max input tokens: 8192, request input token count: 9000",
            Kind::ContextLength,
        ),
        ("This model's maximum context length is 128000 tokens.", Kind::ContextLength),
        ("The provided model identifier is invalid.", Kind::NotFound),
        ("This model doesn't support tool use in streaming mode.", Kind::Unsupported),
        ("Invocation of model ID x with on-demand throughput isn't supported.", Kind::Unsupported),
        ("Operation not allowed", Kind::Permission),
        ("messages.0: roles must alternate", Kind::InvalidRequest),
    ];
    for (message, kind) in expected {
        let headers = [("x-amzn-errortype", "ValidationException")];
        let error = decode(400, &headers, &json!({"message": message}).to_string());
        assert_eq!(error.kind, kind, "{message}");
    }
}

#[test]
fn without_a_name_the_status_counts() {
    let expected = [
        (401, Kind::Authentication),
        (403, Kind::Permission),
        (404, Kind::NotFound),
        (413, Kind::InvalidRequest),
        (429, Kind::RateLimited),
        (500, Kind::Server),
        (502, Kind::Overloaded),
        (503, Kind::Overloaded),
        (504, Kind::Timeout),
    ];
    for (status, kind) in expected {
        assert_eq!(decode(status, &[], "{}").kind, kind, "{status}");
    }
    let page = decode(502, &[], &"<p>".repeat(500));
    assert_eq!(page.message.len(), 300);
    assert_eq!(decode(503, &[], "").message, "Bedrock reported a failure without a word");
}
