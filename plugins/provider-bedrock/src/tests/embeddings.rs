//! Embeddings of Titan and of Cohere.

use serde_json::{Value, json};
use torana_plugin_sdk::provider::Provider;
use torana_plugin_sdk::{CallError, CallErrorKind};

use super::{answer, endpoint};
use crate::Bedrock;

const TITAN: &str = "amazon.titan-embed-text-v2:0";
const COHERE: &str = "cohere.embed-multilingual-v3";

fn build(model: &str, request: Value) -> Result<(String, Value, Vec<String>), CallError> {
    let sent = Bedrock::build_embeddings(&endpoint(model), request)?;
    Ok((sent.path, serde_json::from_slice(&sent.body).unwrap(), sent.dropped))
}

#[test]
fn titan_takes_one_text() {
    let request = json!({"model": "m", "input": "a", "dimensions": 256, "user": "u",
        "encoding_format": "base64"});
    let (path, body, dropped) = build(TITAN, request).unwrap();
    assert_eq!(path, "/model/amazon.titan-embed-text-v2%3A0/invoke");
    assert_eq!(body, json!({"inputText": "a", "dimensions": 256}));
    assert_eq!(dropped, ["user"]);
    let (_, body, _) = build(TITAN, json!({"input": ["a"]})).unwrap();
    assert_eq!(body, json!({"inputText": "a"}));
    let error = build(TITAN, json!({"input": ["a", "b"]})).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Unsupported);
    assert!(error.message.contains("more than one text"), "{error:?}");
    let first = json!({"input": "a", "dimensions": 256});
    assert_eq!(build("amazon.titan-embed-text-v1", first).unwrap().2, ["dimensions"]);
}

#[test]
fn cohere_takes_many_and_a_purpose() {
    let (_, body, dropped) = build(COHERE, json!({"input": ["a", "b"]})).unwrap();
    assert_eq!(
        body,
        json!({"texts": ["a", "b"], "input_type": "search_document", "embedding_types": ["float"]})
    );
    assert!(dropped.is_empty());
    let stated = json!({"input": "a", "input_type": "search_query", "dimensions": 512});
    let (_, body, _) = build("cohere.embed-v4:0", stated).unwrap();
    assert_eq!(
        (&body["input_type"], &body["output_dimension"]),
        (&json!("search_query"), &json!(512))
    );
}

#[test]
fn inputs_and_models_without_a_place_are_refused() {
    let kind = |model, input: Value| build(model, json!({ "input": input })).unwrap_err().kind;
    assert_eq!(kind(COHERE, json!([1, 2])), CallErrorKind::Unsupported);
    assert_eq!(kind(COHERE, json!([[1, 2]])), CallErrorKind::Unsupported);
    assert_eq!(kind("amazon.nova-pro-v1:0", json!("a")), CallErrorKind::Unsupported);
    for input in [json!([]), json!(null), json!({}), json!([null])] {
        assert_eq!(kind(COHERE, input), CallErrorKind::InvalidRequest);
    }
}

fn parse(headers: &[(&str, &str)], body: Value) -> Result<Value, CallError> {
    let answer = answer(200, headers, body.to_string().as_bytes());
    Bedrock::parse_embeddings(&endpoint("m"), &answer)
}

#[test]
fn answers_take_openai_s_shape() {
    let titan = parse(
        &[],
        json!({"embedding": [0.5, -1], "inputTextTokenCount": 3,
        "embeddingsByType": {"float": [0.5, -1]}}),
    );
    assert_eq!(
        titan.unwrap(),
        json!({"object": "list", "model": "m", "usage": {"prompt_tokens": 3, "total_tokens": 3},
            "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -1]}]})
    );
    let counted = [("x-amzn-bedrock-input-token-count", "9")];
    for embeddings in [json!([[1], [2]]), json!({"float": [[1], [2]]})] {
        let body = json!({"embeddings": embeddings, "response_type": "x"});
        let answer = parse(&counted, body).unwrap();
        assert_eq!(answer["data"][1], json!({"object": "embedding", "index": 1, "embedding": [2]}));
        assert_eq!(answer["usage"]["total_tokens"], 9);
    }
}

#[test]
fn failures_and_odd_bodies_are_errors() {
    for body in [json!([]), json!({}), json!({"embedding": "x"}), json!({"embeddings": [["a"]]})] {
        assert_eq!(parse(&[], body).unwrap_err().kind, CallErrorKind::MalformedResponse);
    }
    let throttled = answer(429, &[("x-amzn-errortype", "ThrottlingException")], b"{}");
    let error = Bedrock::parse_embeddings(&endpoint("m"), &throttled).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::RateLimited);
}
