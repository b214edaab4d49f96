//! Whole answers.

use std::path::Path;

use proptest::prelude::*;
use serde_json::json;
use torana_plugin_sdk::CallErrorKind;
use torana_plugin_sdk::chat::{Block, FinishReason, Response};
use torana_plugin_sdk::provider::Provider;

use super::{CLAUDE, answer, endpoint, golden};
use crate::Bedrock;

fn decode(body: &[u8]) -> Response {
    let headers = [("x-amzn-requestid", "r-1")];
    Bedrock::parse(&endpoint(CLAUDE), &answer(200, &headers, body)).unwrap()
}

#[test]
fn response_golden() {
    let body = json!({
        "output": {"message": {"role": "assistant", "content": [
            {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}},
            {"reasoningContent": {"redactedContent": "b64"}},
            {"text": "hi"},
            {"citationsContent": {"content": [{"text": "so it "}, {"text": "says"}],
                "citations": [{"title": "t", "location": {"documentPage": {"start": 1}}}]}},
            {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"b": 1, "a": [2.50]}}},
            {"toolUse": {"toolUseId": "t2", "name": "nova_grounding", "type": "server_tool_use", "input": {}}},
            {"image": {"format": "png", "source": {"bytes": "AAAA"}}}
        ]}},
        "stopReason": "tool_use",
        "usage": {"inputTokens": 5, "outputTokens": 13, "totalTokens": 36,
            "cacheReadInputTokens": 7, "cacheWriteInputTokens": 11},
        "metrics": {"latencyMs": 9}, "trace": null,
        "additionalModelResponseFields": {"stop_sequence": "END"},
    });
    let response = decode(body.to_string().as_bytes());
    let text = serde_json::to_string_pretty(&response).unwrap();
    golden::check("response.json", &format!("{text}\n"));
}

#[test]
fn every_stop_reason_has_its_meaning() {
    let expected = [
        ("end_turn", FinishReason::Stop),
        ("stop_sequence", FinishReason::Stop),
        ("max_tokens", FinishReason::Length),
        ("model_context_window_exceeded", FinishReason::Length),
        ("tool_use", FinishReason::ToolCalls),
        ("guardrail_intervened", FinishReason::ContentFilter),
        ("content_filtered", FinishReason::ContentFilter),
        ("malformed_model_output", FinishReason::Other("malformed_model_output".into())),
        ("malformed_tool_use", FinishReason::Other("malformed_tool_use".into())),
    ];
    for (reason, meaning) in expected {
        let body = json!({"output": {"message": {"content": []}}, "stopReason": reason});
        assert_eq!(decode(body.to_string().as_bytes()).finish_reason, Some(meaning));
    }
}

#[test]
fn bodies_that_are_no_answer_are_refused() {
    for body in ["", "[]", "{}", r#"{"output":{"message":{"content":"x"}}}"#] {
        let parsed = Bedrock::parse(&endpoint(CLAUDE), &answer(200, &[], body.as_bytes()));
        assert_eq!(parsed.unwrap_err().kind, CallErrorKind::MalformedResponse);
    }
}

#[test]
fn recorded_answers_decode_to_whole_ones() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data/recordings/amazon-bedrock/model");
    let Ok(files) = std::fs::read_dir(&folder) else {
        println!("skipped: no recordings at {}", folder.display());
        return;
    };
    let paths = files.map(|file| file.unwrap().path());
    let mut count = 0;
    for path in paths.filter(|path| path.extension().is_some_and(|it| it == "json")) {
        let response = decode(&std::fs::read(&path).unwrap());
        let name = path.display();
        assert!(!response.blocks.is_empty(), "{name}");
        let known = |block: &Block| matches!(block, Block::Text { .. } | Block::ToolCall { .. });
        assert!(response.blocks.iter().all(known), "{name}");
        assert!(response.finish_reason.is_some(), "{name}");
        assert!(response.usage.is_some_and(|it| it.input > 0 && it.output > 0), "{name}");
        count += 1;
    }
    assert!(count >= 6, "{count}");
}

proptest! {
    #[test]
    fn no_body_panics(status in 100_u16..600, body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Bedrock::parse(&endpoint(CLAUDE), &answer(status, &[], &body));
    }
}
