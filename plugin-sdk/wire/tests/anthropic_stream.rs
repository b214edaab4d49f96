//! Streams of the Anthropic wire, and their way to a client on the OpenAI wire.
#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};
use torana_wire::anthropic;
use torana_wire::assemble::assemble;
use torana_wire::chat::{Block, FinishReason, Usage};
use torana_wire::error::CallErrorKind;
use torana_wire::event::StreamEvent;
use torana_wire::openai::Identity;
use torana_wire::openai::stream::Encoder;

fn start() -> Value {
    json!({"type": "message_start", "message": {"id": "msg", "model": "claude", "content": [],
        "usage": {"input_tokens": 5, "cache_read_input_tokens": 7, "output_tokens": 1}}})
}

fn block(index: u32, block: Value) -> Value {
    json!({"type": "content_block_start", "index": index, "content_block": block})
}

fn delta(index: u32, delta: Value) -> Value {
    json!({"type": "content_block_delta", "index": index, "delta": delta})
}

fn stop(index: u32) -> Value {
    json!({"type": "content_block_stop", "index": index})
}

fn end(reason: &str) -> [Value; 2] {
    [
        json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 9}}),
        json!({"type": "message_stop"}),
    ]
}

fn decode(wire: &[Value]) -> Vec<StreamEvent> {
    let mut decoder = anthropic::stream::Decoder::default();
    let mut events = Vec::new();
    for event in wire {
        decoder.push(None, event.to_string().as_bytes(), &mut events);
    }
    decoder.finish(&mut events);
    events
}

/// One message in both forms.
fn message() -> (Vec<Value>, Value) {
    let result =
        json!({"type": "web_fetch_tool_result", "tool_use_id": "s", "content": {"url": "u"}});
    let mut wire = vec![
        start(),
        json!({"type": "ping"}),
        block(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        delta(0, json!({"type": "thinking_delta", "thinking": "hm"})),
        delta(0, json!({"type": "signature_delta", "signature": "sig"})),
        stop(0),
        block(1, json!({"type": "redacted_thinking", "data": "enc"})),
        stop(1),
        block(2, json!({"type": "server_tool_use", "id": "s", "name": "web_fetch", "input": {}})),
        delta(2, json!({"type": "input_json_delta", "partial_json": "{\"url\":"})),
        delta(2, json!({"type": "input_json_delta", "partial_json": "\"u\"}"})),
        stop(2),
        block(3, result.clone()),
        stop(3),
        block(4, json!({"type": "text", "text": "", "citations": []})),
        delta(4, json!({"type": "text_delta", "text": "a"})),
        delta(4, json!({"type": "citations_delta", "citation": {"n": 1}})),
        delta(4, json!({"type": "citations_delta", "citation": {"n": 2}})),
        delta(4, json!({"type": "text_delta", "text": "b"})),
        stop(4),
        block(5, json!({"type": "tool_use", "id": "t", "name": "f", "input": {}})),
        delta(5, json!({"type": "input_json_delta", "partial_json": ""})),
        delta(5, json!({"type": "input_json_delta", "partial_json": "{\"x\":1}"})),
        stop(5),
        block(6, json!({"type": "tool_use", "id": "t2", "name": "g", "input": {}})),
        stop(6),
    ];
    wire.extend(end("tool_use"));
    let whole = json!({"id": "msg", "type": "message", "role": "assistant", "model": "claude",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "sig"},
            {"type": "redacted_thinking", "data": "enc"},
            {"type": "server_tool_use", "id": "s", "name": "web_fetch", "input": {"url": "u"}},
            result,
            {"type": "text", "text": "ab", "citations": [{"n": 1}, {"n": 2}]},
            {"type": "tool_use", "id": "t", "name": "f", "input": {"x": 1}},
            {"type": "tool_use", "id": "t2", "name": "g", "input": {}}],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 5, "cache_read_input_tokens": 7, "output_tokens": 9}});
    (wire, whole)
}

#[test]
fn streamed_and_whole_message_give_the_same_response() {
    let (wire, whole) = message();
    let response = anthropic::response::decode(whole.to_string().as_bytes()).unwrap();
    assert_eq!(assemble(&decode(&wire)), response);
    let counts = Usage { input: 12, output: 9, cached_input: 7, ..Usage::default() };
    assert_eq!(response.usage, Some(counts));
}

#[test]
fn half_stream_has_no_finish() {
    let (wire, _) = message();
    for length in 0..wire.len() - 2 {
        let events = decode(&wire[..length]);
        assert!(!events.iter().any(|event| matches!(event, StreamEvent::Finish(_))), "{length}");
    }
}

#[test]
fn stop_reason_is_enough_when_message_stop_is_lost() {
    let (wire, _) = message();
    let events = decode(&wire[..wire.len() - 1]);
    assert_eq!(events.last(), Some(&StreamEvent::Finish(FinishReason::ToolCalls)));
}

#[test]
fn error_event_fails_the_stream() {
    let error = json!({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}});
    let events = decode(&[start(), error, json!({"type": "message_stop"})]);
    match events.last() {
        Some(StreamEvent::Failed(error)) => {
            assert_eq!((error.kind, error.message.as_str()), (CallErrorKind::Overloaded, "busy"));
        }
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn garbage_and_content_before_the_start_are_malformed() {
    let text = block(0, json!({"type": "text", "text": "a"}));
    for data in ["<html>", "[]", &text.to_string()] {
        let mut events = Vec::new();
        anthropic::stream::Decoder::default().push(None, data.as_bytes(), &mut events);
        match events.as_slice() {
            [StreamEvent::Failed(error)] => {
                assert_eq!(error.kind, CallErrorKind::MalformedResponse);
            }
            other => unreachable!("{data}: {other:?}"),
        }
    }
}

#[test]
fn event_name_stands_in_for_a_missing_type_and_unknown_events_pass() {
    let mut decoder = anthropic::stream::Decoder::default();
    let mut events = Vec::new();
    decoder.push(Some("message_start"), br#"{"message":{"id":"m"}}"#, &mut events);
    decoder.push(Some("news"), br#"{"a":1}"#, &mut events);
    decoder.push(Some("message_stop"), b"{}", &mut events);
    let expected = vec![
        StreamEvent::Started { id: "m".into(), model: String::new() },
        StreamEvent::Other(json!({"a": 1})),
        StreamEvent::Finish(FinishReason::Stop),
    ];
    assert_eq!(events, expected);
}

#[test]
fn message_that_begins_with_content_keeps_it() {
    let mut first = start();
    first["message"]["content"] =
        json!([{"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}]);
    let mut wire = vec![first, block(0, json!({"type": "text", "text": "x"})), stop(0)];
    wire.extend(end("end_turn"));
    let call = Block::ToolCall {
        id: "t".into(),
        name: "f".into(),
        arguments: "{\"a\":1}".into(),
        cache: None,
    };
    assert_eq!(assemble(&decode(&wire)).blocks, vec![call, Block::text("x")]);
}

#[test]
fn client_on_the_openai_wire_gets_text_calls_and_done() {
    let (wire, _) = message();
    let mut encoder = Encoder::new(&Identity { id: "i", model: "m", created: 1 }, false);
    let mut out = Vec::new();
    decode(&wire).iter().for_each(|event| encoder.push(event, &mut out));
    encoder.end(&mut out);
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("\"content\":\"a\"") && text.contains("\"reasoning_content\":\"hm\""));
    assert!(
        text.contains("\"finish_reason\":\"tool_calls\"") && text.ends_with("data: [DONE]\n\n")
    );
    assert!(!text.contains("web_fetch"), "{text}");
}
