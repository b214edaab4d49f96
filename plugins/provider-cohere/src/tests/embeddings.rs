//! Embeddings.

use serde_json::{Value, json};
use torana_plugin_sdk::provider::Provider;
use torana_plugin_sdk::{CallError, CallErrorKind};

use super::{answer, endpoint, recordings};
use crate::Cohere;

fn build(request: Value) -> Result<(String, Value, Vec<String>), CallError> {
    let sent = Cohere::build_embeddings(&endpoint("embed-v4.0"), request)?;
    Ok((sent.path, serde_json::from_slice(&sent.body).unwrap(), sent.dropped))
}

fn parse(body: &str) -> Result<Value, CallError> {
    Cohere::parse_embeddings(&endpoint("embed-v4.0"), &answer(200, &[], body.as_bytes()))
}

#[test]
fn request_names_purpose_type_and_dimensions() {
    let (path, body, dropped) = build(json!({"model": "m", "input": ["a", "b"], "dimensions": 256,
        "encoding_format": "base64", "user": "u", "truncate": "END"}))
    .unwrap();
    assert_eq!(path, "/v2/embed");
    assert_eq!(
        body,
        json!({"model": "embed-v4.0", "texts": ["a", "b"], "input_type": "search_document",
            "embedding_types": ["float"], "output_dimension": 256, "truncate": "END"})
    );
    assert_eq!(dropped, ["user"]);
    let (_, body, _) = build(json!({"input": "a", "input_type": "search_query"})).unwrap();
    assert_eq!((&body["texts"], &body["input_type"]), (&json!(["a"]), &json!("search_query")));
}

#[test]
fn inputs_without_a_place_are_refused() {
    let kind = |input: Value| build(json!({ "input": input })).unwrap_err().kind;
    assert_eq!(kind(json!([1, 2])), CallErrorKind::Unsupported);
    assert_eq!(kind(json!([[1]])), CallErrorKind::Unsupported);
    assert_eq!(kind(json!(vec!["a"; 97])), CallErrorKind::Unsupported);
    for input in [json!([]), json!(null), json!({}), json!([null])] {
        assert_eq!(kind(input), CallErrorKind::InvalidRequest);
    }
}

#[test]
fn recorded_answer_takes_openai_s_shape() {
    for (name, text) in recordings("cohere-embedding.json") {
        let answer = parse(&text).unwrap();
        assert_eq!(answer["data"][1]["index"], 1, "{name}");
        assert_eq!(answer["data"][0]["embedding"][0], json!(0.03302002));
        assert_eq!(answer["usage"], json!({"prompt_tokens": 10, "total_tokens": 10}));
        assert_eq!(answer["model"], "embed-v4.0");
    }
}

#[test]
fn failures_and_odd_bodies_are_errors() {
    for body in ["", "{}", r#"{"embeddings":{"float":["a"]}}"#, r#"{"embeddings":{"int8":[]}}"#] {
        assert_eq!(parse(body).unwrap_err().kind, CallErrorKind::MalformedResponse);
    }
    let refused = answer(401, &[], br#"{"message":"invalid api token"}"#);
    let error = Cohere::parse_embeddings(&endpoint("m"), &refused).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Authentication);
}
