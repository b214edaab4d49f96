//! What a client on the OpenAI wire gets of a streamed answer.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::{Value, json};
use torana_wire::assemble::{assemble, replay};
use torana_wire::chat::{Block, FinishReason, Response, Usage};
use torana_wire::conformance::{in_batches, shredded};
use torana_wire::error::{CallError, CallErrorKind};
use torana_wire::event::{BlockKind, StreamEvent};
use torana_wire::openai::Identity;
use torana_wire::openai::stream::{Decoder, Encoder};

const IDENTITY: Identity<'_> = Identity { id: "chatcmpl-1", model: "shown", created: 7 };

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

#[test]
fn annotations_and_logprobs_reach_the_text() {
    let token = |token: &str| {
        let mut chunk = delta(json!({"content": token}));
        chunk["choices"][0]["logprobs"] = json!({"content": [{"token": token}]});
        chunk
    };
    let note = delta(json!({"annotations": [{"url": "u"}]}));
    let events = decode(&[token("a"), token("b"), note, finish("stop")]);
    let extra = json!({"logprobs": {"content": [{"token": "a"}, {"token": "b"}]}, "annotations": [{"url": "u"}]});
    let text =
        Block::Text { text: "ab".into(), cache: None, extra: extra.as_object().unwrap().clone() };
    assert_eq!(assemble(&events).blocks, vec![text.clone()]);
    assert_eq!(assemble(&through_the_client(&events)).blocks, vec![text]);
}

#[test]
fn what_is_said_of_the_answer_as_a_whole_reaches_the_client() {
    let extra = json!({"citations": ["u"], "provider": "p"});
    let events = [
        StreamEvent::Started { id: "r".into(), model: "m".into() },
        StreamEvent::Other(json!({"extra": extra})),
        StreamEvent::Other(json!({"extra": {"id": "not mine"}})),
        StreamEvent::Finish(FinishReason::Stop),
    ];
    let text = encode(&events, false);
    assert!(!text.contains("not mine"), "{text}");
    assert_eq!(assemble(&through_the_client(&events)).extra, *extra.as_object().unwrap());
}

fn encode(events: &[StreamEvent], include_usage: bool) -> String {
    let mut encoder = Encoder::new(&IDENTITY, include_usage);
    let mut out = Vec::new();
    events.iter().for_each(|event| encoder.push(event, &mut out));
    encoder.end(&mut out);
    encoder.end(&mut out);
    String::from_utf8(out).unwrap()
}

fn through_the_client(events: &[StreamEvent]) -> Vec<StreamEvent> {
    let text = encode(events, true);
    let mut decoder = Decoder::default();
    let mut decoded = Vec::new();
    for event in text.split_terminator("\n\n") {
        decoder.push(event.strip_prefix("data: ").unwrap().as_bytes(), &mut decoded);
    }
    decoded
}

#[test]
fn client_gets_the_golden_stream() {
    let response = Response {
        blocks: vec![
            Block::Reasoning {
                text: "hm".into(),
                signature: Some("s".into()),
                encrypted: None,
                dialect: None,
            },
            Block::text("hi \"you\""),
            Block::ToolCall {
                id: "c".into(),
                name: "f".into(),
                arguments: "{}".into(),
                cache: None,
            },
        ],
        finish_reason: Some(FinishReason::ToolCalls),
        usage: Some(Usage { input: 1, output: 2, ..Usage::default() }),
        ..Response::default()
    };
    let found = encode(&replay(&response), true);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/openai_stream.txt");
    if std::env::var_os("TORANA_BLESS").is_some() {
        std::fs::write(path, &found).unwrap();
    }
    assert_eq!(found, std::fs::read_to_string(path).unwrap());
}

#[test]
fn stream_without_finish_never_looks_complete() {
    let begun = [
        StreamEvent::Started { id: "r".into(), model: "m".into() },
        StreamEvent::BlockStart { index: 0, kind: BlockKind::Text },
        StreamEvent::TextDelta { index: 0, text: "a".into() },
    ];
    let text = encode(&begun, true);
    assert!(!text.contains("[DONE]") && !text.contains("finish_reason\":\""), "{text}");
}

#[test]
fn failed_stream_ends_with_error_not_done() {
    let error = CallError::new(CallErrorKind::Overloaded, "busy");
    let finished = [StreamEvent::Finish(FinishReason::Stop), StreamEvent::Failed(error.clone())];
    for events in [&finished[..], &finished[1..]] {
        let text = encode(events, true);
        assert!(!text.contains("[DONE]"), "{text}");
        let last = text.trim_end().rsplit("data: ").next().unwrap();
        let body: Value = serde_json::from_str(last).unwrap();
        assert_eq!(body["error"]["code"], "overloaded");
    }
    let mut encoder = Encoder::new(&IDENTITY, false);
    let mut out = Vec::new();
    encoder.push(&StreamEvent::Finish(FinishReason::Stop), &mut out);
    encoder.end(&mut out);
    let before = out.len();
    encoder.fail(&error, &mut out);
    assert_eq!(out.len(), before, "nothing follows [DONE]");
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z ]{1,12}", "\\PC{1,8}", Just("\"\\\n\u{1}🦀".to_owned())]
}

/// An answer as this wire can tell it: one block of a kind, calls last.
fn answer() -> impl Strategy<Value = Response> {
    let reasoning = prop::option::of(text().prop_map(|text| Block::Reasoning {
        text,
        signature: None,
        encrypted: None,
        dialect: None,
    }));
    let said = prop::option::of(text().prop_map(Block::text));
    let refusal = prop::option::of(text().prop_map(|text| Block::Refusal { text }));
    let call = (text(), text(), text()).prop_map(|(id, name, arguments)| Block::ToolCall {
        id,
        name,
        arguments,
        cache: None,
    });
    let calls = prop::collection::vec(call, 0..4);
    let reason = prop_oneof![
        Just(FinishReason::Stop),
        Just(FinishReason::Length),
        Just(FinishReason::ToolCalls),
        Just(FinishReason::ContentFilter),
        "x_[a-z]{1,5}".prop_map(FinishReason::Other),
    ];
    let usage =
        (any::<u32>(), any::<u32>(), any::<u16>()).prop_map(|(input, output, part)| Usage {
            input: input.into(),
            output: output.into(),
            cached_input: part.into(),
            reasoning: part.into(),
            ..Usage::default()
        });
    (reasoning, said, refusal, calls, reason, usage).prop_map(
        |(reasoning, said, refusal, calls, reason, usage)| Response {
            id: IDENTITY.id.into(),
            model: IDENTITY.model.into(),
            blocks: reasoning.into_iter().chain(said).chain(refusal).chain(calls).collect(),
            finish_reason: Some(reason),
            usage: Some(usage),
            ..Response::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn replayed_answer_assembles_to_itself(answer in answer()) {
        prop_assert_eq!(assemble(&replay(&answer)), answer);
    }

    #[test]
    fn streamed_answer_reaches_the_client_unchanged(answer in answer(), size in 1usize..5) {
        let events = shredded(&replay(&answer), size);
        prop_assert_eq!(assemble(&through_the_client(&events)), answer);
    }

    #[test]
    fn any_batching_of_frames_gives_the_same_events(answer in answer(), cuts in prop::collection::vec(1usize..4, 1..8)) {
        let text = encode(&replay(&answer), true);
        let frames: Vec<&str> = text.split_terminator("\n\n").map(|event| &event[6..]).collect();
        let mut whole = Vec::new();
        let mut decoder = Decoder::default();
        frames.iter().for_each(|frame| decoder.push(frame.as_bytes(), &mut whole));
        let mut decoder = Decoder::default();
        let push = |frame: &&str, events: &mut _| decoder.push(frame.as_bytes(), events);
        let batched = in_batches(&frames, &cuts, push);
        prop_assert_eq!(batched, whole);
    }
}
