//! Streams of providers on the OpenAI wire, with every habit they have.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::{Value, json};
use torana_wire::assemble::assemble;
use torana_wire::chat::{Block, FinishReason, Usage};
use torana_wire::error::{CallError, CallErrorKind};
use torana_wire::event::{BlockKind, StreamEvent};
use torana_wire::openai::stream::Decoder;

fn delta(delta: Value) -> Value {
    json!({"id": "r", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
}

fn finish(reason: &str) -> Value {
    json!({"id": "r", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
}

fn decode(chunks: &[Value]) -> Vec<StreamEvent> {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    for chunk in chunks {
        decoder.push(chunk.to_string().as_bytes(), &mut events);
    }
    decoder.finish(&mut events);
    events
}

fn call(index: Value, id: Value, name: Value, arguments: &str) -> Value {
    let mut call = json!({"type": "function", "function": {"arguments": arguments}});
    for (target, key, value) in [("", "index", index), ("", "id", id), ("function", "name", name)] {
        if !value.is_null() {
            let place = if target.is_empty() { &mut call } else { &mut call[target] };
            place[key] = value;
        }
    }
    delta(json!({"tool_calls": [call]}))
}

/// Names and arguments of the calls in a stream.
fn calls(chunks: &[Value]) -> Vec<(String, String)> {
    let mut all = chunks.to_vec();
    all.push(finish("tool_calls"));
    let named = |block| match block {
        Block::ToolCall { id, name, arguments, .. } => {
            assert!(!id.is_empty());
            Some((name, arguments))
        }
        _ => None,
    };
    assemble(&decode(&all)).blocks.into_iter().filter_map(named).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, arguments)| ((*name).into(), (*arguments).into())).collect()
}

fn failure(events: &[StreamEvent]) -> &CallError {
    match events.last() {
        Some(StreamEvent::Failed(error)) => error,
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn half_stream_has_no_finish() {
    let events = decode(&[delta(json!({"role": "assistant", "content": "ha"}))]);
    assert!(!events.iter().any(|event| matches!(event, StreamEvent::Finish(_))), "{events:?}");
}

#[test]
fn done_finishes_once_and_nothing_follows() {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    decoder.push(delta(json!({"content": "a"})).to_string().as_bytes(), &mut events);
    assert!(!decoder.is_done());
    decoder.push(b" [DONE]\r", &mut events);
    decoder.push(b"[DONE]", &mut events);
    decoder.push(delta(json!({"content": "b"})).to_string().as_bytes(), &mut events);
    decoder.finish(&mut events);
    assert!(decoder.is_done());
    assert_eq!(
        events,
        vec![
            StreamEvent::Started { id: "r".into(), model: "m".into() },
            StreamEvent::BlockStart { index: 0, kind: BlockKind::Text },
            StreamEvent::TextDelta { index: 0, text: "a".into() },
            StreamEvent::BlockStop { index: 0 },
            StreamEvent::Finish(FinishReason::Stop),
        ]
    );
}

#[test]
fn usage_after_the_finish_reason_comes_before_finish() {
    let usage =
        json!({"id": "r", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}});
    let events = decode(&[delta(json!({"content": "a"})), finish("length"), usage]);
    let tail = &events[events.len() - 2..];
    let counts = Usage { input: 3, output: 4, ..Usage::default() };
    assert_eq!(tail, [StreamEvent::Usage(counts), StreamEvent::Finish(FinishReason::Length)]);
}

#[test]
fn usage_that_repeats_in_every_chunk_is_given_once() {
    let mut chunk = delta(json!({"content": "a"}));
    chunk["usage"] = json!({"prompt_tokens": 3, "completion_tokens": 4});
    let events = decode(&[chunk.clone(), chunk]);
    assert_eq!(events.iter().filter(|event| matches!(event, StreamEvent::Usage(_))).count(), 1);
}

#[test]
fn finish_reason_with_content_and_role_only_and_empty_chunks_are_taken() {
    let mut last = delta(json!({"content": "b"}));
    last["choices"][0]["finish_reason"] = json!("stop");
    let preamble = json!({"id": "", "model": "", "choices": [], "prompt_filter_results": []});
    let role = delta(json!({"role": "assistant", "content": null, "tool_calls": null}));
    let response = assemble(&decode(&[preamble, role, delta(json!({"content": "a"})), last]));
    assert_eq!(response.blocks, vec![Block::text("ab")]);
    assert_eq!((response.id.as_str(), response.model.as_str()), ("r", "m"));
    assert_eq!(response.finish_reason, Some(FinishReason::Stop));
}

#[test]
fn reasoning_text_and_refusal_become_blocks_of_their_own() {
    let response = assemble(&decode(&[
        delta(json!({"reasoning_content": "a"})),
        delta(json!({"reasoning": "b", "content": ""})),
        delta(
            json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "c"}]}]}),
        ),
        delta(json!({"content": "d", "reasoning_content": null})),
        delta(json!({"content": [{"type": "text", "text": "e"}]})),
        delta(json!({"refusal": "f"})),
        finish("stop"),
    ]));
    assert_eq!(
        response.blocks,
        vec![Block::reasoning("abc"), Block::text("de"), Block::Refusal { text: "f".into() },]
    );
}

#[test]
fn interleaved_parallel_calls_are_kept_apart() {
    let none = Value::Null;
    let found = calls(&[
        call(json!(0), json!("a"), json!("f"), ""),
        call(json!(1), json!("b"), json!("g"), "{\"x"),
        call(json!(0), none.clone(), none.clone(), "{}"),
        call(json!(1), none.clone(), none, "\":1}"),
    ]);
    assert_eq!(found, pairs(&[("f", "{}"), ("g", "{\"x\":1}")]));
}

#[test]
fn calls_without_index_are_told_apart_by_id_and_name() {
    let none = Value::Null;
    let found = calls(&[
        call(none.clone(), json!("a"), json!("f"), "{\"x\":"),
        call(none.clone(), none.clone(), none.clone(), "1}"),
        call(none.clone(), json!("b"), json!("f"), "{}"),
    ]);
    assert_eq!(found, pairs(&[("f", "{\"x\":1}"), ("f", "{}")]));
}

#[test]
fn repeated_id_and_name_are_one_call() {
    let found = calls(&[
        call(json!(0), json!("a"), json!("f"), "{\"x\":"),
        call(json!(0), json!("a"), json!("f"), "1}"),
    ]);
    assert_eq!(found, pairs(&[("f", "{\"x\":1}")]));
}

#[test]
fn new_id_in_every_delta_is_one_call() {
    let found = calls(&[
        call(json!(0), json!("a"), json!("f"), "{\"x\":"),
        call(json!(0), json!("b"), json!(""), "1}"),
    ]);
    assert_eq!(found, pairs(&[("f", "{\"x\":1}")]));
}

#[test]
fn whole_calls_that_all_have_index_0_are_kept_apart() {
    let with_ids = calls(&[
        call(json!(0), json!("a"), json!("f"), "{\"x\":1}"),
        call(json!(0), json!("b"), json!("f"), "{\"x\":2}"),
    ]);
    let without = calls(&[
        call(json!(0), json!(""), json!("f"), "{\"x\":\"}\\\"\"}"),
        call(json!(0), json!(""), json!("f"), "{\"x\":2}"),
    ]);
    assert_eq!(with_ids, pairs(&[("f", "{\"x\":1}"), ("f", "{\"x\":2}")]));
    assert_eq!(without, pairs(&[("f", "{\"x\":\"}\\\"\"}"), ("f", "{\"x\":2}")]));
}

#[test]
fn arguments_before_the_name_and_as_an_object_are_kept() {
    let early = calls(&[
        call(json!(0), json!("a"), Value::Null, "{"),
        call(json!(0), Value::Null, json!("f"), "}"),
    ]);
    assert_eq!(early, pairs(&[("f", "{}")]));
    let function = json!({"name": "f", "arguments": {"x": [1, null]}});
    let object =
        calls(&[delta(json!({"tool_calls": [{"index": 0, "id": "a", "function": function}]}))]);
    assert_eq!(object, pairs(&[("f", "{\"x\":[1,null]}")]));
}

#[test]
fn failures_inside_the_stream_end_it() {
    let begun = delta(json!({"content": "a"}));
    let error = json!({"id": "r", "error": {"message": "died", "code": 502}, "choices": []});
    let events = decode(&[begun.clone(), error, finish("stop")]);
    assert_eq!(
        (failure(&events).kind, failure(&events).message.as_str()),
        (CallErrorKind::Overloaded, "died")
    );
    let older = json!({"object": "error", "message": "too long", "type": "invalid_request_error", "code": 400});
    assert_eq!(failure(&decode(&[begun, older])).kind, CallErrorKind::InvalidRequest);
    for garbage in [&b"<html>"[..], b"{\"choices\":[{\"delta\":", b"\"text\"", b"[]", b"\xff"] {
        let mut events = Vec::new();
        Decoder::default().push(garbage, &mut events);
        assert_eq!(failure(&events).kind, CallErrorKind::MalformedResponse);
    }
}

#[test]
fn broken_choice_fails_the_stream_and_does_not_finish_it() {
    let begun = delta(json!({"content": "a"}));
    let mut died = delta(json!({"content": ""}));
    died["choices"][0]["error"] = json!({"code": 502, "message": "died"});
    let cases = [
        (died, CallErrorKind::Overloaded),
        (finish("error"), CallErrorKind::Server),
        (finish("insufficient_system_resource"), CallErrorKind::Overloaded),
    ];
    for (chunk, kind) in cases {
        let events = decode(&[begun.clone(), chunk, finish("stop")]);
        assert_eq!(failure(&events).kind, kind);
    }
}

#[test]
fn what_is_said_of_the_answer_as_a_whole_comes_once_and_last() {
    let mut first = delta(json!({"content": "a"}));
    first["citations"] = json!(["u"]);
    first["system_fingerprint"] = json!("fp");
    let mut second = delta(json!({"content": "b"}));
    second["citations"] = json!(["u", "v"]);
    second["search_results"] = json!([{"title": "t"}]);
    let events = decode(&[first, second.clone(), second, finish("stop")]);
    let extra = json!({"citations": ["u", "v"], "search_results": [{"title": "t"}], "system_fingerprint": "fp"});
    let said = StreamEvent::Other(json!({"extra": extra}));
    assert_eq!(events.iter().filter(|event| **event == said).count(), 1);
    assert_eq!(assemble(&events).extra, *extra.as_object().unwrap());
}

#[test]
fn fields_of_odd_types_do_not_break_the_stream() {
    let chunk = json!({"id": 12, "model": null, "object": {}, "error": null, "usage": null, "x_groq": {"id": "g"},
        "choices": [{"index": 1, "delta": {"content": "no"}}, {"index": null, "delta": {"content": "yes", "refusal": 3}}]});
    assert_eq!(assemble(&decode(&[chunk, finish("stop")])).blocks, vec![Block::text("yes")]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_bytes_make_the_decoder_panic_or_finish(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4)) {
        let mut decoder = Decoder::default();
        let mut events = Vec::new();
        chunks.iter().for_each(|chunk| decoder.push(chunk, &mut events));
        decoder.finish(&mut events);
        let finished = events.iter().any(|event| matches!(event, StreamEvent::Finish(_)));
        prop_assert!(!finished);
    }
}
