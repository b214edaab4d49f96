//! Requests and whole answers.

use proptest::prelude::*;
use serde_json::{Value, json};
use torana_plugin_sdk::CallErrorKind;
use torana_plugin_sdk::provider::{Built, HttpRequest, Provider};

use super::{answer, endpoint, golden};
use crate::SageMaker;

fn send(settings: Value, stream: bool) -> HttpRequest {
    let request = json!({
        "model": "alias", "stream": stream,
        "messages": [{"role": "system", "blocks": [{"type": "text", "text": "be brief"}]},
            {"role": "user", "blocks": [{"type": "text", "text": "hi"}]}],
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
        "sampling": {"temperature": 0.5, "top_k": 5, "max_output_tokens": 10, "seed": 1},
        "reasoning": {"effort": "low"}, "user": "u",
        "extra": {"max_completion_tokens": 10}
    });
    let request = serde_json::from_value(request).unwrap();
    match SageMaker::build(&endpoint(settings), request).unwrap() {
        Built::Send(sent) => sent,
        other => panic!("{other:?}"),
    }
}

fn body(sent: &HttpRequest) -> Value {
    serde_json::from_slice(&sent.body).unwrap()
}

#[test]
fn request_golden() {
    let routed = json!({"hosted": "tgi", "inference_component": "part", "target_variant": "blue",
        "target_model": "m.tar.gz"});
    let mut text = String::new();
    for (settings, stream) in [(json!({}), false), (routed, true)] {
        let sent = send(settings, stream);
        text += &format!("{} {}\n", sent.method, sent.path);
        for header in &sent.headers {
            text += &format!("{}: {}\n", header.name, header.value);
        }
        text += &format!("{:#}\ndropped: {}\n\n", body(&sent), sent.dropped.join(", "));
    }
    golden::check("request.txt", &text);
}

#[test]
fn model_is_the_setting_s_else_what_the_container_expects() {
    let model = |settings: Value| body(&send(settings, false))["model"].clone();
    assert_eq!(model(json!({})), "llama-prod");
    assert_eq!(model(json!({"hosted": "tgi"})), "tgi");
    assert_eq!(model(json!({"hosted": "tgi", "model": "lora-1"})), "lora-1");
}

#[test]
fn response_golden() {
    let body = json!({"id": "r", "object": "chat.completion", "model": "m", "created": 1,
        "choices": [{"index": 0, "finish_reason": "eos_token",
            "message": {"role": "assistant", "content": "hi"}}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}})
    .to_string();
    let answer = answer(200, &[], body.as_bytes());
    let response = SageMaker::parse(&endpoint(json!({"hosted": "tgi"})), &answer).unwrap();
    let text = serde_json::to_string_pretty(&response).unwrap();
    golden::check("response.json", &format!("{text}\n"));
}

#[test]
fn embeddings_pass_with_the_container_s_model_and_floats() {
    let request = json!({"model": "alias", "input": ["a"], "encoding_format": "base64"});
    let sent = SageMaker::build_embeddings(&endpoint(json!({"model": "e5"})), request).unwrap();
    assert_eq!(sent.path, "/endpoints/llama-prod/invocations");
    assert_eq!(body(&sent), json!({"model": "e5", "input": ["a"], "encoding_format": "float"}));
    let parse = |body: Value| {
        let answer = answer(200, &[], body.to_string().as_bytes());
        SageMaker::parse_embeddings(&endpoint(json!({})), &answer)
    };
    let good = json!({"object": "list", "data": [{"index": 0, "embedding": [0.5]}]});
    assert_eq!(parse(good.clone()).unwrap(), good);
    for bad in [json!([]), json!({"data": [{"embedding": "AAAA"}]})] {
        assert_eq!(parse(bad).unwrap_err().kind, CallErrorKind::MalformedResponse);
    }
}

proptest! {
    #[test]
    fn no_body_panics(status in 100_u16..600, body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = SageMaker::parse(&endpoint(json!({})), &answer(status, &[], &body));
    }
}
