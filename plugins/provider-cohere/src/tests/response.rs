//! Whole answers.

use proptest::prelude::*;
use serde_json::json;
use torana_plugin_sdk::chat::{Block, FinishReason, Response};
use torana_plugin_sdk::provider::Provider;
use torana_plugin_sdk::{CallError, CallErrorKind};

use super::{MODEL, answer, endpoint, golden, recordings};
use crate::Cohere;

fn decode(body: &str) -> Result<Response, CallError> {
    Cohere::parse(&endpoint(MODEL), &answer(200, &[], body.as_bytes()))
}

#[test]
fn response_golden() {
    let citation = |index: u64, kind: &str| {
        json!({"start": 0, "end": 2, "text": "It",
        "sources": [{"type": "document", "id": "d"}], "content_index": index, "type": kind})
    };
    let body = json!({
        "id": "r", "finish_reason": "TOOL_CALL",
        "message": {"role": "assistant", "tool_plan": "I will ask",
            "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "It"},
                {"type": "odd", "x": 1}],
            "citations": [citation(1, "TEXT_CONTENT"), citation(0, "THINKING_CONTENT")],
            "tool_calls": [{"id": "a", "type": "function",
                "function": {"name": "f", "arguments": "{\"b\": 1}"}}]},
        "usage": {"billed_units": {"input_tokens": 46, "output_tokens": 14.0},
            "tokens": {"input_tokens": 1445, "output_tokens": 43.0}, "cached_tokens": 704},
        "logprobs": null, "odd": 1,
    });
    let response = decode(&body.to_string()).unwrap();
    let text = serde_json::to_string_pretty(&response).unwrap();
    golden::check("response.json", &format!("{text}\n"));
}

#[test]
fn every_finish_reason_has_its_meaning() {
    let reason = |reason: &str| {
        decode(&json!({"message": {}, "finish_reason": reason, "error": "words"}).to_string())
            .map(|response| response.finish_reason.unwrap())
    };
    for (word, meaning) in [
        ("COMPLETE", FinishReason::Stop),
        ("STOP_SEQUENCE", FinishReason::Stop),
        ("MAX_TOKENS", FinishReason::Length),
        ("TOOL_CALL", FinishReason::ToolCalls),
        ("USER_CANCEL", FinishReason::Other("USER_CANCEL".into())),
    ] {
        assert_eq!(reason(word).unwrap(), meaning);
    }
    let (broken, late) = (reason("ERROR").unwrap_err(), reason("TIMEOUT").unwrap_err());
    assert_eq!((broken.kind, broken.message.as_str()), (CallErrorKind::Server, "words"));
    assert_eq!(late.kind, CallErrorKind::Timeout);
    assert_eq!(late.provider_code.as_deref(), Some("TIMEOUT"));
}

#[test]
fn citations_without_text_are_kept_beside_the_answer() {
    let body = json!({"message": {"tool_plan": "p", "citations": [{"type": "PLAN"}]}});
    let response = decode(&body.to_string()).unwrap();
    assert_eq!(response.extra["citations"], json!([{"type": "PLAN"}]));
}

#[test]
fn bodies_that_are_no_answer_are_refused() {
    for body in ["", "[]", "{}", r#"{"message":"x"}"#] {
        assert_eq!(decode(body).unwrap_err().kind, CallErrorKind::MalformedResponse);
    }
}

#[test]
fn recorded_answers_decode_to_whole_ones() {
    let mut count = 0;
    for (name, text) in recordings(".json") {
        if name.contains("embedding") {
            continue;
        }
        let response = decode(&text).unwrap();
        assert!(!response.id.is_empty() && !response.blocks.is_empty(), "{name}");
        for block in &response.blocks {
            match block {
                Block::Text { text, .. } | Block::Reasoning { text, .. } => {
                    assert!(!text.is_empty(), "{name}");
                }
                Block::ToolCall { arguments, .. } => assert!(arguments.starts_with('{'), "{name}"),
                other => panic!("{name}: {other:?}"),
            }
        }
        let has_calls = response.blocks.iter().any(|it| matches!(it, Block::ToolCall { .. }));
        assert_eq!(has_calls, response.finish_reason == Some(FinishReason::ToolCalls), "{name}");
        assert!(response.usage.is_some_and(|it| it.input > it.cached_input && it.output > 0));
        count += 1;
    }
    assert!(count == 0 || count >= 5, "{count}");
}

proptest! {
    #[test]
    fn no_body_panics(status in 100_u16..600, body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Cohere::parse(&endpoint(MODEL), &answer(status, &[], &body));
    }
}
