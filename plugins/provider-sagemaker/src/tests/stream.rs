//! Streams: recorded ones in event messages that cut them anywhere, and whatever bytes.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};
use torana_plugin_sdk::chat::FinishReason;
use torana_plugin_sdk::provider::{Frame, Provider, StreamParser};
use torana_plugin_sdk::wire::openai;
use torana_plugin_sdk::{CallErrorKind, StreamEvent};

use super::{endpoint, golden};
use crate::SageMaker;

fn part(bytes: &[u8]) -> Frame {
    Frame { event: Some("PayloadPart".into()), data: bytes.to_vec() }
}

fn decode(frames: &[Frame]) -> Vec<StreamEvent> {
    let mut parser = SageMaker::stream(&endpoint(json!({})));
    let mut events = Vec::new();
    frames.iter().for_each(|frame| parser.push(frame, &mut events));
    parser.finish(&mut events);
    events
}

fn chunk(delta: Value, reason: Value) -> String {
    json!({"id": "r", "object": "chat.completion.chunk", "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
    .to_string()
}

fn chunks() -> Vec<String> {
    let usage = json!({"id": "r", "choices": [], "usage":
        {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}});
    vec![
        chunk(json!({"role": "assistant", "content": "hé"}), Value::Null),
        chunk(json!({"content": "llo\n{\"Bytes\":\"AA==\"}"}), Value::Null),
        chunk(json!({}), "stop".into()),
        usage.to_string(),
        "[DONE]".into(),
    ]
}

fn sse(chunks: &[String]) -> Vec<u8> {
    chunks.iter().flat_map(|chunk| format!("data: {chunk}\n\n").into_bytes()).collect()
}

#[test]
fn stream_golden() {
    let bytes = sse(&chunks());
    let frames: Vec<Frame> = bytes.chunks(17).map(part).collect();
    golden::check("stream.txt", &golden::lines(&decode(&frames)));
}

#[test]
fn half_stream_does_not_finish() {
    let bytes = sse(&chunks()[..2]);
    for length in 0..=bytes.len() {
        let events = decode(&[part(&bytes[..length])]);
        assert!(!events.iter().any(|event| matches!(event, StreamEvent::Finish(_))), "{length}");
        assert!(!events.iter().any(|event| matches!(event, StreamEvent::Failed(_))), "{length}");
    }
}

#[test]
fn parts_written_as_json_are_unwrapped() {
    let bytes = sse(&chunks());
    let wrapped = |key: &str| -> Vec<Frame> {
        let wrap = |bytes: &[u8]| json!({key: STANDARD.encode(bytes), "p": "abc"}).to_string();
        bytes.chunks(23).map(|bytes| part(wrap(bytes).as_bytes())).collect()
    };
    for key in ["Bytes", "bytes"] {
        assert_eq!(decode(&wrapped(key)), decode(&[part(&bytes)]));
    }
}

#[test]
fn json_lines_are_taken_like_events() {
    let lines: String = chunks().iter().map(|chunk| format!("{chunk}\n")).collect();
    // `[DONE]` is no object; the reason is enough.
    let events = decode(&[part(lines.as_bytes())]);
    assert_eq!(events.last(), Some(&StreamEvent::Finish(FinishReason::Stop)));
}

#[test]
fn last_event_may_lack_its_blank_line() {
    let mut bytes = sse(&chunks());
    bytes.truncate(bytes.len() - 2);
    assert_eq!(decode(&[part(&bytes)]), decode(&[part(&sse(&chunks()))]));
}

#[test]
fn words_of_tgi_for_the_end_are_understood() {
    let bytes = sse(&[chunk(json!({"content": "a"}), "eos_token".into())]);
    assert_eq!(decode(&[part(&bytes)]).pop(), Some(StreamEvent::Finish(FinishReason::Stop)));
}

#[test]
fn failures_end_the_stream_and_nothing_follows() {
    let whole = part(&sse(&chunks()));
    let error = |event: &str, data: Value| Frame {
        event: Some(event.into()),
        data: data.to_string().into_bytes(),
    };
    let timeout = json!({"ErrorCode": "ModelInvocationTimeExceeded", "Message": "slow"});
    let broken = json!({"ErrorCode": "StreamBroken", "Message": "reset"});
    let container = part(b"data: {\"error\":{\"message\":\"oom\",\"code\":500}}\n\n");
    for (frame, kind, message) in [
        (error("ModelStreamError", timeout), CallErrorKind::Timeout, "slow"),
        (error("ModelStreamError", broken), CallErrorKind::Server, "reset"),
        (error("InternalStreamFailure", json!({"Message": "x"})), CallErrorKind::Server, "x"),
        (error("ThrottlingException", json!({"message": "y"})), CallErrorKind::RateLimited, "y"),
        (container, CallErrorKind::Server, "oom"),
    ] {
        let events = decode(&[frame, whole.clone()]);
        let Some(StreamEvent::Failed(error)) = events.last() else {
            panic!("{events:?}");
        };
        assert_eq!((error.kind, error.message.as_str(), events.len()), (kind, message, 1));
    }
}

#[test]
fn endless_event_fails_the_stream() {
    let frames = vec![part(&vec![b'x'; 1 << 20]); 18];
    let events = decode(&frames);
    assert!(matches!(&events[..], [StreamEvent::Failed(error)]
        if error.kind == CallErrorKind::MalformedResponse));
}

/// Recorded streams of servers on OpenAI's wire, as lists of payloads.
fn recordings() -> Vec<(String, Vec<String>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/recordings");
    let mut folders = vec![root.clone()];
    let mut streams: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            println!("skipped: no recordings at {}", folder.display());
            break;
        };
        for path in entries.map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => folders.push(path),
                false if path.to_string_lossy().ends_with(".chunks.txt") => streams.push(path),
                false => {}
            }
        }
    }
    streams.sort();
    let texts = streams
        .into_iter()
        .map(|path| (path.display().to_string(), std::fs::read_to_string(path).unwrap()));
    texts
        .filter(|(_, text)| text.contains("chat.completion.chunk"))
        .map(|(name, text)| (name, text.lines().map(str::to_owned).collect()))
        .collect()
}

fn directly(payloads: &[String]) -> Vec<StreamEvent> {
    let mut decoder = openai::stream::Decoder::default();
    let mut events = Vec::new();
    payloads.iter().for_each(|payload| decoder.push(payload.as_bytes(), &mut events));
    decoder.finish(&mut events);
    events
}

#[test]
fn recorded_streams_are_the_same_through_event_messages() {
    let mut count = 0;
    for (name, payloads) in recordings() {
        let bytes = sse(&payloads);
        let expected = directly(&payloads);
        assert!(matches!(expected.last(), Some(StreamEvent::Finish(_))), "{name}");
        for size in [1, 7, 1000, usize::MAX] {
            let frames: Vec<Frame> = bytes.chunks(size).map(part).collect();
            assert_eq!(decode(&frames), expected, "{name} in parts of {size}");
        }
        count += 1;
    }
    println!("{count} recorded streams");
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_events(cuts in proptest::collection::vec(0_usize..700, 0..20)) {
        let bytes = sse(&chunks());
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let frames: Vec<Frame> =
            cuts.windows(2).map(|pair| part(&bytes[pair[0]..pair[1]])).collect();
        prop_assert_eq!(decode(&frames), directly(&chunks()));
    }

    #[test]
    fn no_bytes_panic(
        parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..6),
        name in "[a-zA-Z]{0,20}",
    ) {
        let frames: Vec<Frame> = parts.iter().map(|bytes| part(bytes)).collect();
        decode(&frames);
        let named = |data: &Vec<u8>| Frame { event: Some(name.clone()), data: data.clone() };
        decode(&parts.iter().map(named).collect::<Vec<_>>());
    }
}
