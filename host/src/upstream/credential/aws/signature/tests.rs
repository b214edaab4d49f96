//! The signatures are botocore's (1.44.5, `SigV4Auth`), computed on 2026-11-22 with the keys
//! of AWS's documentation and the clock at [`now`].

#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;

/// 2026-11-22T17:30:05Z
fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_368_605)
}

fn keys(token: Option<&str>) -> Keys {
    Keys::new(
        "AKIDEXAMPLE".to_owned(),
        "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
        token.map(str::to_owned),
    )
}

/// The signed request's `authorization`, without what all have.
fn signature(
    method: &str,
    uri: &str,
    headers: &[(&str, &str)],
    body: &str,
    region: &str,
    token: Option<&str>,
) -> String {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(()).unwrap();
    let scope = Scope::new("bedrock", region, now()).unwrap();
    sign(&mut request, body.as_bytes(), &keys(token), &scope).unwrap();
    assert_eq!(request.headers()[DATE], "20261122T173005Z");
    let authorization = request.headers()[AUTHORIZATION].to_str().unwrap().to_owned();
    let scope =
        format!("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/{region}/bedrock/aws4_request, ");
    authorization.strip_prefix(&scope).unwrap().to_owned()
}

const JSON: (&str, &str) = ("content-type", "application/json");
const BODY: &str = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;

#[test]
fn a_model_id_with_an_encoded_colon_is_encoded_again() {
    let uri =
        "https://bedrock-runtime.us-east-1.amazonaws.com/model/amazon.nova-lite-v1%3A0/converse";
    assert_eq!(
        signature("POST", uri, &[JSON], BODY, "us-east-1", None),
        "SignedHeaders=content-type;host;x-amz-date, \
         Signature=217d49b73f62b35b039a4b096e56b2dc755ec3515a754759dcd54a2133dabc35"
    );
    assert_eq!(canonical_path("/model/a%3A0/converse"), "/model/a%253A0/converse");
}

#[test]
fn a_bare_colon_is_encoded_once() {
    let uri =
        "https://bedrock-runtime.us-east-1.amazonaws.com/model/amazon.nova-lite-v1:0/converse";
    assert_eq!(
        signature("POST", uri, &[JSON], BODY, "us-east-1", None),
        "SignedHeaders=content-type;host;x-amz-date, \
         Signature=2e6b0f050b146b3675d0b8b1fca96883f4fa00604a61757e7fb5161dd777552a"
    );
}

#[test]
fn an_arn_with_temporary_keys_is_signed_with_its_token() {
    let uri = "https://bedrock-runtime.eu-central-1.amazonaws.com/model/arn%3Aaws%3Abedrock\
               %3Aeu-central-1%3A123456789012%3Ainference-profile%2Feu.anthropic.claude-sonnet-4\
               -20250514-v1%3A0/converse-stream";
    assert_eq!(
        signature("POST", uri, &[JSON], BODY, "eu-central-1", Some("TOKEN/with+signs==")),
        "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, \
         Signature=871ccf314d3669b4ce10d1606c4a9cb59b2081e8beb7c51acfd2a0fe8972bb3d"
    );
}

#[test]
fn a_query_is_sorted_and_an_empty_body_hashed() {
    let uri = "https://bedrock.us-east-1.amazonaws.com/foundation-models?byProvider=amazon\
               &byOutputModality=TEXT&a=%2Fb%20c&byProvider=";
    assert_eq!(
        signature("GET", uri, &[], "", "us-east-1", None),
        "SignedHeaders=host;x-amz-date, \
         Signature=00ea34312f9c4fb0fb42bbc6ed2e50734ece64bad0e58d61bc3029fb7189f450"
    );
}

#[test]
fn ports_spaces_and_dot_segments_are_signed_as_aws_reads_them() {
    let uri = "https://vpce-1.example.com:8443/a//b/./c/../d%20e/";
    assert_eq!(
        signature("POST", uri, &[JSON, ("x-amz-meta", "  two   words ")], "", "us-east-1", None),
        "SignedHeaders=content-type;host;x-amz-date;x-amz-meta, \
         Signature=3272835ccfc960975098754ea1cfc851a9f42e568d3753b3ea933fcf7be49aae"
    );
}

#[test]
fn a_default_port_is_neither_signed_nor_sent() {
    let mut request = Request::builder().uri("https://a.example:443/x?y=z").body(()).unwrap();
    let scope = Scope::new("bedrock", "us-east-1", now()).unwrap();
    sign(&mut request, b"", &keys(None), &scope).unwrap();
    assert_eq!(request.uri(), "https://a.example/x?y=z");
}

#[test]
fn signing_again_gives_the_same_request() {
    let mut request = Request::builder().uri("https://a.example/x").body(()).unwrap();
    let scope = Scope::new("bedrock", "us-east-1", now()).unwrap();
    sign(&mut request, b"x", &keys(Some("token")), &scope).unwrap();
    let first = request.headers().clone();
    sign(&mut request, b"x", &keys(Some("token")), &scope).unwrap();
    assert_eq!(request.headers(), &first);
    sign(&mut request, b"x", &keys(None), &scope).unwrap();
    assert!(!request.headers().contains_key(SECURITY_TOKEN), "another token stays");
}

#[test]
fn what_is_signed_is_not_shown() {
    let mut request = Request::builder().uri("https://a.example/x").body(()).unwrap();
    let scope = Scope::new("bedrock", "us-east-1", now()).unwrap();
    sign(&mut request, b"x", &keys(Some("SESSION-TOKEN")), &scope).unwrap();
    let shown = format!("{request:?} {:?}", keys(Some("SESSION-TOKEN")));
    for secret in ["SESSION-TOKEN", "wJalr", "AKIDEXAMPLE", "Signature"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn what_cannot_be_signed_for_is_refused_with_the_remedy() {
    for (service, region) in
        [("bedrock", ""), ("bedrock", "us-east-1/x"), ("bed\nrock", "a"), ("s3", "a")]
    {
        let error = Scope::new(service, region, now()).unwrap_err().to_string();
        assert!(error.contains("provider's settings"), "{error}");
    }
    let before = UNIX_EPOCH - Duration::from_secs(1);
    assert!(matches!(Scope::new("bedrock", "a", before), Err(CredentialError::Clock)));
    let mut request = Request::builder().uri("/only/a/path").body(()).unwrap();
    let scope = Scope::new("bedrock", "us-east-1", now()).unwrap();
    let error = sign(&mut request, b"", &keys(None), &scope).unwrap_err();
    assert!(matches!(error, CredentialError::NoHost));
    let scope = Scope::new("bedrock", "us-east-1", now()).unwrap();
    let error = sign(&mut request, b"", &keys(Some("a\nb")), &scope).unwrap_err();
    assert!(!error.to_string().contains('\n'), "{error}");
}

proptest! {
    #[test]
    fn a_canonical_path_has_only_unreserved_characters(path in "/[ -~]{0,40}") {
        let canonical = canonical_path(&path);
        prop_assert!(canonical.starts_with('/'));
        prop_assert!(!canonical.contains("//"));
        prop_assert!(canonical.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%/".contains(&byte)));
    }

    #[test]
    fn the_order_of_parameters_does_not_change_the_signature(
        mut pairs in proptest::collection::vec("[a-c%]{0,3}=[a-c=%+ ]{0,3}", 0..5),
    ) {
        let canonical = canonical_query(&pairs.join("&"));
        pairs.reverse();
        prop_assert_eq!(canonical, canonical_query(&pairs.join("&")));
    }
}
