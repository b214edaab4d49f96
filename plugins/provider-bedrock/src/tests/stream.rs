//! Streams: recorded ones, every habit, and whatever bytes.

use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};
use torana_plugin_sdk::chat::{Block, FinishReason, Usage};
use torana_plugin_sdk::provider::{Frame, Provider, StreamParser};
use torana_plugin_sdk::wire::assemble::assemble;
use torana_plugin_sdk::wire::conformance::{assert_well_formed, assert_whole, in_batches};
use torana_plugin_sdk::{BlockKind, CallErrorKind, StreamEvent};

use super::{CLAUDE, endpoint, golden};
use crate::Bedrock;

fn frame(event: &str, data: Value) -> Frame {
    Frame { event: Some(event.into()), data: data.to_string().into_bytes() }
}

fn decode(frames: &[Frame]) -> Vec<StreamEvent> {
    let mut parser = Bedrock::stream(&endpoint(CLAUDE));
    let mut events = Vec::new();
    frames.iter().for_each(|frame| parser.push(frame, &mut events));
    parser.finish(&mut events);
    events
}

fn text(index: u64, text: &str) -> Frame {
    let delta = json!({"text": text});
    frame("contentBlockDelta", json!({"contentBlockIndex": index, "delta": delta, "p": "abc"}))
}

fn delta(index: u64, delta: Value) -> Frame {
    frame("contentBlockDelta", json!({"contentBlockIndex": index, "delta": delta}))
}

fn stop(reason: &str) -> Frame {
    frame("messageStop", json!({"stopReason": reason}))
}

fn metadata() -> Frame {
    let usage = json!({"inputTokens": 3, "outputTokens": 4, "totalTokens": 7,
        "cacheReadInputTokens": 10, "cacheWriteInputTokens": 100});
    frame("metadata", json!({"usage": usage, "metrics": {"latencyMs": 5}}))
}

fn everything() -> Vec<Frame> {
    let tool = json!({"toolUse": {"toolUseId": "t", "name": "f"}});
    let call = |input: &str| delta(4, json!({"toolUse": {"input": input}}));
    vec![
        frame("messageStart", json!({"role": "assistant", "p": "ab"})),
        delta(0, json!({"reasoningContent": {"text": "hm"}})),
        delta(0, json!({"reasoningContent": {"signature": "sig"}})),
        frame("contentBlockStop", json!({"contentBlockIndex": 0})),
        delta(1, json!({"reasoningContent": {"redactedContent": "AB"}})),
        delta(1, json!({"reasoningContent": {"redactedContent": "C="}})),
        frame("contentBlockStop", json!({"contentBlockIndex": 1})),
        text(2, "he"),
        text(2, "llo"),
        delta(2, json!({"citation": {"title": "t"}})),
        frame("contentBlockStop", json!({"contentBlockIndex": 2})),
        frame(
            "contentBlockStart",
            json!({"contentBlockIndex": 3, "start":
            {"toolUse": {"toolUseId": "s", "name": "ground", "type": "server_tool_use"}}}),
        ),
        delta(3, json!({"toolUse": {"input": "{}"}})),
        frame("contentBlockStop", json!({"contentBlockIndex": 3})),
        frame("contentBlockStart", json!({"contentBlockIndex": 4, "start": tool})),
        call("{\"a\":"),
        call("1}"),
        frame("contentBlockStop", json!({"contentBlockIndex": 4})),
        frame("somethingNew", json!({"x": 1})),
        stop("tool_use"),
        metadata(),
    ]
}

#[test]
fn stream_golden() {
    golden::check("stream.txt", &golden::lines(&decode(&everything())));
}

#[test]
fn usage_comes_before_finish_in_either_order() {
    let usage =
        Usage { input: 113, output: 4, cached_input: 10, cache_write: 100, ..Usage::default() };
    for frames in [
        [text(0, "a"), stop("max_tokens"), metadata()],
        [text(0, "a"), metadata(), stop("max_tokens")],
    ] {
        let events = decode(&frames);
        let at = |wanted: &StreamEvent| events.iter().position(|event| event == wanted);
        assert!(at(&StreamEvent::Usage(usage)).is_some(), "{events:?}");
        assert_eq!(events.last(), Some(&StreamEvent::Finish(FinishReason::Length)));
    }
}

#[test]
fn stop_without_counts_finishes_at_the_end_of_the_stream_only() {
    let mut parser = Bedrock::stream(&endpoint(CLAUDE));
    let mut events = Vec::new();
    parser.push(&stop("end_turn"), &mut events);
    assert!(!events.iter().any(|event| matches!(event, StreamEvent::Finish(_))));
    parser.finish(&mut events);
    parser.finish(&mut events);
    let finishes = events.iter().filter(|event| matches!(event, StreamEvent::Finish(_)));
    assert_eq!(finishes.count(), 1);
}

#[test]
fn half_stream_does_not_finish() {
    let whole = everything();
    let stop = whole.iter().position(|it| it.event.as_deref() == Some("messageStop")).unwrap();
    for length in 0..stop {
        let events = decode(&whole[..length]);
        assert!(!events.iter().any(|event| matches!(event, StreamEvent::Finish(_))), "{length}");
    }
}

#[test]
fn exceptions_of_the_stream_fail_it_and_nothing_follows() {
    let expected = [
        ("throttlingException", CallErrorKind::RateLimited),
        ("modelStreamErrorException", CallErrorKind::Server),
        ("internalServerException", CallErrorKind::Server),
        ("serviceUnavailableException", CallErrorKind::Overloaded),
        ("validationException", CallErrorKind::InvalidRequest),
        ("modelTimeoutException", CallErrorKind::Timeout),
        ("somethingNewException", CallErrorKind::Server),
        ("InternalFailure", CallErrorKind::Server),
    ];
    for (event, kind) in expected {
        let failure = frame(event, json!({"message": "no"}));
        let events = decode(&[text(0, "a"), failure, text(0, "b"), stop("end_turn"), metadata()]);
        let Some(StreamEvent::Failed(error)) = events.last() else {
            panic!("{event}: {events:?}");
        };
        assert_eq!((error.kind, error.message.as_str()), (kind, "no"), "{event}");
    }
    let too_long =
        frame("validationException", json!({"message": "Input is too long for requested model."}));
    let events = decode(&[too_long]);
    assert!(matches!(&events[..], [StreamEvent::Failed(error)]
        if error.kind == CallErrorKind::ContextLength));
}

#[test]
fn error_message_without_payload_of_its_own_is_its_text() {
    let error = Frame { event: Some("internalServerError".into()), data: b"it broke".to_vec() };
    let events = decode(&[error]);
    assert!(matches!(&events[..], [StreamEvent::Failed(error)] if error.message == "it broke"));
}

#[test]
fn call_without_arguments_has_an_empty_object() {
    let start = json!({"toolUse": {"toolUseId": "t", "name": "now"}});
    let response = assemble(&decode(&[
        frame("contentBlockStart", json!({"contentBlockIndex": 0, "start": start})),
        delta(0, json!({"toolUse": {"input": ""}})),
        stop("tool_use"),
    ]));
    let call =
        Block::ToolCall { id: "t".into(), name: "now".into(), arguments: "{}".into(), cache: None };
    assert_eq!(response.blocks, [call]);
}

#[test]
fn kinds_that_change_within_an_index_become_blocks_of_their_own() {
    let response = assemble(&decode(&[
        delta(0, json!({"reasoningContent": {"text": "hm"}})),
        text(0, "hi"),
        stop("end_turn"),
    ]));
    let [Block::Reasoning { text, dialect, .. }, Block::Text { .. }] = &response.blocks[..] else {
        panic!("{response:?}");
    };
    assert_eq!((text.as_str(), dialect), ("hm", &None));
}

fn recordings() -> Vec<(String, Vec<Frame>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data/recordings/amazon-bedrock/model");
    let Ok(files) = std::fs::read_dir(&folder) else {
        println!("skipped: no recordings at {}", folder.display());
        return Vec::new();
    };
    let paths = files.map(|file| file.unwrap().path());
    let streams = paths.filter(|path| path.to_string_lossy().ends_with(".chunks.txt"));
    let read = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        // The recordings wrap each payload in the type of its event.
        let unwrap = |line: &str| {
            let event: serde_json::Map<String, Value> = serde_json::from_str(line).unwrap();
            let (name, data) = event.into_iter().next().unwrap();
            frame(&name, data)
        };
        (path.display().to_string(), lines.map(unwrap).collect())
    };
    streams.map(read).collect()
}

#[test]
fn recorded_streams_decode_to_whole_answers() {
    let recordings = recordings();
    for (name, frames) in &recordings {
        let events = decode(frames);
        assert_whole(name, &events);
        let response = assemble(&events);
        assert_eq!(response.model, CLAUDE);
        let has_calls = response.blocks.iter().any(|it| matches!(it, Block::ToolCall { .. }));
        assert_eq!(has_calls, response.finish_reason == Some(FinishReason::ToolCalls), "{name}");
        for block in &response.blocks {
            match block {
                Block::Text { text, .. } => assert!(!text.is_empty(), "{name}"),
                Block::Reasoning { text, signature, dialect, .. } => {
                    assert!(!text.is_empty() && signature.is_some(), "{name}");
                    assert_eq!(dialect.as_deref(), Some("bedrock-converse"));
                }
                Block::ToolCall { arguments, .. } => {
                    assert!(serde_json::from_str::<Value>(arguments).is_ok(), "{name}");
                }
                other => panic!("{name}: {other:?}"),
            }
        }
        let counted = frames.iter().any(|frame| frame.event.as_deref() == Some("metadata"));
        assert_eq!(response.usage.is_some_and(|it| it.input > 0), counted, "{name}");
    }
    assert!(recordings.is_empty() || recordings.len() >= 8, "{}", recordings.len());
}

/// The host hands over as many frames as are there.
fn decode_in_batches(frames: &[Frame], sizes: &[usize]) -> Vec<StreamEvent> {
    let mut parser = Bedrock::stream(&endpoint(CLAUDE));
    let mut all = in_batches(frames, sizes, |frame, events| parser.push(frame, events));
    parser.finish(&mut all);
    all
}

proptest! {
    #[test]
    fn any_batching_gives_the_same_events(sizes in proptest::collection::vec(1_usize..9, 1..9)) {
        let mut all = recordings();
        all.push(("everything".into(), everything()));
        for (name, frames) in all {
            prop_assert_eq!(decode_in_batches(&frames, &sizes), decode(&frames), "{}", name);
        }
    }

    #[test]
    fn any_order_of_events_is_well_formed(order in proptest::collection::vec(0_usize..21, 0..40)) {
        let all = everything();
        let frames: Vec<Frame> = order.iter().map(|at| all[*at].clone()).collect();
        let mut events = decode(&frames);
        let finish = matches!(events.last(), Some(StreamEvent::Finish(_)));
        prop_assert_eq!(finish, order.contains(&19));
        // What is unknown passes as it comes, even before the message starts.
        events.retain(|event| !matches!(event, StreamEvent::Other(_)));
        assert_well_formed("shuffled", &events);
    }

    #[test]
    fn no_bytes_panic(name in "[a-zA-Z]{0,20}", data in proptest::collection::vec(any::<u8>(), 0..99)) {
        for event in [name.as_str(), "messageStart", "contentBlockStart", "contentBlockDelta",
            "contentBlockStop", "messageStop", "metadata", "throttlingException"] {
            decode(&[Frame { event: Some(event.into()), data: data.clone() }]);
        }
        decode(&[Frame { event: None, data }]);
    }
}

#[test]
fn unknown_blocks_are_given_out_whole() {
    let kinds: Vec<BlockKind> = decode(&everything())
        .into_iter()
        .filter_map(|event| match event {
            StreamEvent::BlockStart { kind: kind @ BlockKind::Other(_), .. } => Some(kind),
            _ => None,
        })
        .collect();
    let [BlockKind::Other(redacted), BlockKind::Other(server)] = &kinds[..] else {
        panic!("{kinds:?}");
    };
    assert_eq!(redacted["encrypted"], "ABC=");
    assert_eq!(server["value"]["toolUse"]["name"], "ground");
    assert_eq!(server["value"]["deltas"], json!([{"toolUse": {"input": "{}"}}]));
}
