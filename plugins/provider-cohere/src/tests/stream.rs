//! Streams: recorded ones, every habit, and whatever bytes.

use proptest::prelude::*;
use serde_json::{Value, json};
use torana_plugin_sdk::chat::{Block, FinishReason};
use torana_plugin_sdk::provider::{Frame, Provider, StreamParser};
use torana_plugin_sdk::wire::assemble::assemble;
use torana_plugin_sdk::wire::conformance::{assert_well_formed, assert_whole, in_batches};
use torana_plugin_sdk::{CallErrorKind, StreamEvent};

use super::{MODEL, endpoint, golden, recordings};
use crate::Cohere;

fn frame(data: &str) -> Frame {
    Frame { event: None, data: data.as_bytes().to_vec() }
}

fn decode(lines: &[String]) -> Vec<StreamEvent> {
    let mut parser = Cohere::stream(&endpoint(MODEL));
    let mut events = Vec::new();
    lines.iter().for_each(|line| parser.push(&frame(line), &mut events));
    parser.finish(&mut events);
    events
}

fn message(kind: &str, index: u64, message: Value) -> String {
    json!({"type": kind, "index": index, "delta": {"message": message}}).to_string()
}

fn call(kind: &str, index: u64, more: Value) -> String {
    message(kind, index, json!({ "tool_calls": more }))
}

fn end(reason: &str) -> String {
    let usage = json!({"billed_units": {"input_tokens": 4, "output_tokens": 1},
        "tokens": {"input_tokens": 50, "output_tokens": 3}, "cached_tokens": 20});
    json!({"type": "message-end", "delta": {"finish_reason": reason, "usage": usage}}).to_string()
}

fn everything() -> Vec<String> {
    let text = |text: &str| message("content-delta", 1, json!({"content": {"text": text}}));
    let citation = json!({"start": 0, "end": 2, "text": "It", "sources": [], "content_index": 1});
    vec![
        r#"{"type":"message-start","id":"r","delta":{"message":{"role":"assistant","content":[],"tool_plan":"","tool_calls":[],"citations":[]}}}"#.into(),
        message("content-start", 0, json!({"content": {"type": "thinking", "thinking": ""}})),
        message("content-delta", 0, json!({"content": {"thinking": "hm"}})),
        r#"{"type":"content-end","index":0}"#.into(),
        message("content-start", 1, json!({"content": {"type": "text", "text": ""}})),
        text("It"),
        text(" is"),
        message("citation-start", 0, json!({"citations": citation})),
        r#"{"type":"citation-end","index":0,"delta":null}"#.into(),
        r#"{"type":"content-end","index":1}"#.into(),
        message("tool-plan-delta", 0, json!({"tool_plan": "I will"})),
        message("tool-plan-delta", 0, json!({"tool_plan": " ask"})),
        call("tool-call-start", 0, json!({"id": "a", "type": "function",
            "function": {"name": "f", "arguments": ""}})),
        call("tool-call-delta", 0, json!({"function": {"arguments": "{\"x\""}})),
        call("tool-call-delta", 0, json!({"function": {"arguments": ":1}"}})),
        r#"{"type":"tool-call-end","index":0}"#.into(),
        call("tool-call-start", 1, json!({"id": "b", "function": {"name": "g"}})),
        call("tool-call-delta", 1, json!({"function": {"arguments": "nu"}})),
        call("tool-call-delta", 1, json!({"function": {"arguments": "ll"}})),
        r#"{"type":"tool-call-end","index":1}"#.into(),
        r#"{"type":"debug","prompt":"p"}"#.into(),
        end("TOOL_CALL"),
    ]
}

#[test]
fn stream_golden() {
    golden::check("stream.txt", &golden::lines(&decode(&everything())));
}

#[test]
fn half_stream_does_not_finish() {
    let whole = everything();
    for length in 0..whole.len() {
        let events = decode(&whole[..length]);
        assert!(!events.iter().any(|event| matches!(event, StreamEvent::Finish(_))), "{length}");
    }
    let mut more = whole.clone();
    more.extend(whole);
    let events = decode(&more);
    assert_eq!(events.last(), Some(&StreamEvent::Finish(FinishReason::ToolCalls)));
}

#[test]
fn failures_inside_the_stream_end_it() {
    let failed = |line: &str| match decode(&[line.into(), end("COMPLETE")]).last() {
        Some(StreamEvent::Failed(error)) => (error.kind, error.message.clone()),
        other => panic!("{other:?}"),
    };
    let with_words = json!({"type": "message-end", "delta":
        {"finish_reason": "ERROR", "error": "upstream died"}});
    assert_eq!(failed(&with_words.to_string()), (CallErrorKind::Server, "upstream died".into()));
    assert_eq!(failed(&end("TIMEOUT")).0, CallErrorKind::Timeout);
    assert_eq!(failed(r#"{"message":"internal"}"#), (CallErrorKind::Server, "internal".into()));
    assert_eq!(failed("not json").0, CallErrorKind::MalformedResponse);
    assert_eq!(failed("[]").0, CallErrorKind::MalformedResponse);
}

#[test]
fn arguments_that_only_begin_like_null_are_whole() {
    for pieces in [vec!["nul", "lable"], vec!["n", "u", "ll"], vec![], vec![" null "], vec!["{}"]] {
        let mut lines =
            vec![call("tool-call-start", 0, json!({"id": "a", "function": {"name": "f"}}))];
        for piece in &pieces {
            lines.push(call("tool-call-delta", 0, json!({"function": {"arguments": piece}})));
        }
        lines.push(end("TOOL_CALL"));
        let [Block::ToolCall { arguments, .. }] = &assemble(&decode(&lines)).blocks[..] else {
            panic!("{pieces:?}");
        };
        let expected = match pieces.concat().as_str() {
            "nullable" => "nullable",
            _ => "{}",
        };
        assert_eq!(arguments, expected, "{pieces:?}");
    }
}

fn streams() -> Vec<(String, Vec<String>)> {
    let lines = |text: &str| text.lines().map(str::to_owned).collect();
    recordings(".chunks.txt").into_iter().map(|(name, text)| (name, lines(&text))).collect()
}

#[test]
fn recorded_streams_decode_to_whole_answers() {
    let streams = streams();
    for (name, lines) in &streams {
        let events = decode(lines);
        assert_whole(name, &events);
        let response = assemble(&events);
        assert_eq!((response.model.as_str(), response.id.is_empty()), (MODEL, false));
        let usage = response.usage.unwrap();
        assert!(usage.input > usage.cached_input && usage.output > 0, "{name}");
        assert!(response.extra["tokens"]["input_tokens"].as_u64().unwrap() > 0);
        let has_calls = response.blocks.iter().any(|it| matches!(it, Block::ToolCall { .. }));
        assert_eq!(has_calls, response.finish_reason == Some(FinishReason::ToolCalls), "{name}");
        assert!(!response.blocks.is_empty(), "{name}");
    }
    assert!(streams.is_empty() || streams.len() >= 3, "{}", streams.len());
}

proptest! {
    #[test]
    fn any_batching_gives_the_same_events(sizes in proptest::collection::vec(1_usize..9, 1..9)) {
        let mut all = streams();
        all.push(("everything".into(), everything()));
        for (name, lines) in all {
            let mut parser = Cohere::stream(&endpoint(MODEL));
            let push = |line: &String, events: &mut _| parser.push(&frame(line), events);
            let mut events = in_batches(&lines, &sizes, push);
            parser.finish(&mut events);
            prop_assert_eq!(events, decode(&lines), "{}", name);
        }
    }

    #[test]
    fn any_order_of_events_is_well_formed(order in proptest::collection::vec(1_usize..22, 0..40)) {
        let all = everything();
        let mut lines = vec![all[0].clone()];
        lines.extend(order.iter().map(|at| all[*at].clone()));
        let events = decode(&lines);
        assert_well_formed("shuffled", &events);
        prop_assert_eq!(matches!(events.last(), Some(StreamEvent::Finish(_))), order.contains(&21));
    }

    #[test]
    fn no_bytes_panic(data in proptest::collection::vec(any::<u8>(), 0..99), rest in ".{0,40}") {
        let mut parser = Cohere::stream(&endpoint(MODEL));
        parser.push(&Frame { event: Some("content-delta".into()), data }, &mut Vec::new());
        for kind in ["content-delta", "tool-call-start", "message-end", "citation-start"] {
            decode(&[format!("{{\"type\":\"{kind}\",\"delta\":{rest}}}"), end("COMPLETE")]);
        }
    }
}
