//! Recorded traffic of the Responses wire decodes to whole answers and survives translation.
//!
//! The recordings lie beside the checkout and are never committed; without them the tests
//! say so and pass.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::path::{Path, PathBuf};

use serde_json::Value;
use torana_wire::assemble::assemble;
use torana_wire::chat::{Block, FinishReason, Request, Response};
use torana_wire::conformance::{assert_whole, in_batches};
use torana_wire::error::CallErrorKind;
use torana_wire::event::StreamEvent;
use torana_wire::openai;
use torana_wire::responses::stream::{Decoder, Encoder};
use torana_wire::responses::{Echo, Identity, response};

const FOLDERS: [&str; 4] = ["openai/responses", "azure/model", "xai/responses", "open-responses"];

fn recordings(suffix: &str, folders: &[&str]) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/recordings");
    if !root.is_dir() {
        eprintln!("skipped: no recordings at {}", root.display());
        return Vec::new();
    }
    let mut files: Vec<PathBuf> = Vec::new();
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false if path.to_string_lossy().ends_with(suffix) => files.push(path),
                false => {}
            }
        }
    }
    files.sort();
    let name = |path: &Path| path.strip_prefix(&root).unwrap().display().to_string();
    files.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

/// Some files hold the streams of a whole conversation, one after the other.
fn streams() -> Vec<(String, Vec<String>)> {
    let mut streams: Vec<(String, Vec<String>)> = Vec::new();
    for (name, text) in recordings(".chunks.txt", &FOLDERS) {
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        for (number, line) in lines.enumerate() {
            // One line of one recording lacks its last brace.
            let repaired = format!("{line}}}");
            let line = if serde_json::from_str::<Value>(line).is_ok() { line } else { &repaired };
            let value: Value = serde_json::from_str(line).unwrap();
            if number == 0 || value["type"] == "response.created" {
                streams.push((format!("{name}:{number}"), Vec::new()));
            }
            streams.last_mut().unwrap().1.push(line.to_owned());
        }
    }
    streams
}

fn decode<'a>(lines: impl IntoIterator<Item = &'a String>) -> Vec<StreamEvent> {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    lines.into_iter().for_each(|line| decoder.push(None, line.as_bytes(), &mut events));
    decoder.finish(&mut events);
    events
}

const IDENTITY: Identity<'_> = Identity { id: "resp_1", model: "shown", created: 7 };

fn through_the_client(events: &[StreamEvent]) -> (Vec<StreamEvent>, String) {
    let mut encoder = Encoder::new(&IDENTITY, Echo::of(&Request::default()));
    let mut out = Vec::new();
    events.iter().for_each(|event| encoder.push(event, &mut out));
    encoder.end(&mut out);
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<String> = text
        .split_terminator("\n\n")
        .map(|event| event.split_once("\ndata: ").unwrap().1.to_owned())
        .collect();
    (decode(&lines), text)
}

/// OpenAI encrypts anew every time it tells of an item.
fn without_blobs(blocks: &[Block]) -> Value {
    fn hide(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    match key.as_str() {
                        "signature" | "encrypted" | "encrypted_content" | "fingerprint" => {
                            *value = value.is_string().into();
                        }
                        _ => hide(value),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(hide),
            _ => {}
        }
    }
    let mut value = serde_json::to_value(blocks).unwrap();
    hide(&mut value);
    value
}

#[test]
fn streams_decode_to_the_response_they_end_with() {
    let mut count = 0;
    for (name, lines) in streams() {
        let last: Value = serde_json::from_str(lines.last().unwrap()).unwrap();
        let events = decode(&lines);
        if last["type"] == "response.failed" {
            assert!(matches!(events.last(), Some(StreamEvent::Failed(_))), "{name}");
            continue;
        }
        // One recording was cut short: a half stream must not look whole.
        if last["type"] != "response.completed" {
            assert!(!events.iter().any(|event| matches!(event, StreamEvent::Finish(_))), "{name}");
            eprintln!("cut short: {name}");
            continue;
        }
        assert_whole(&name, &events);
        let streamed = assemble(&events);
        let mut whole = response::decode(last["response"].to_string().as_bytes()).unwrap();
        // These give an item or the response another id in every event.
        if name.contains("id-rotation") {
            whole.id.clone_from(&streamed.id);
            let marker = |block: &Block| matches!(block, Block::Other { dialect, .. } if dialect.ends_with("item-fields"));
            let without = |blocks: &[Block]| -> Vec<Block> {
                blocks.iter().filter(|block| !marker(block)).cloned().collect()
            };
            assert_eq!(without(&streamed.blocks), without(&whole.blocks), "{name}");
            count += 1;
            continue;
        }
        assert_eq!(streamed.usage, whole.usage, "{name}");
        // Made by hand: the deltas of one add up to another text than its end tells, the end
        // of the other tells nothing. What was streamed counts.
        if ["shell-container.1", "parallel-tool-call-wrapper"].iter().any(|it| name.contains(it)) {
            assert!(streamed.blocks.len() >= whole.blocks.len(), "{name}");
            continue;
        }
        assert_eq!(streamed.finish_reason, whole.finish_reason, "{name}");
        assert_eq!(without_blobs(&streamed.blocks), without_blobs(&whole.blocks), "{name}");
        count += 1;
    }
    eprintln!("{count} Responses streams");
}

#[test]
fn streams_reach_a_client_of_this_wire_unchanged() {
    for (name, lines) in streams() {
        let events = decode(&lines);
        if !matches!(events.last(), Some(StreamEvent::Finish(_))) {
            continue;
        }
        let expected = assemble(&events);
        let (again, text) = through_the_client(&events);
        assert_whole(&name, &again);
        let again = assemble(&again);
        assert_eq!(again.blocks, expected.blocks, "{name}");
        assert_eq!(again.finish_reason, expected.finish_reason, "{name}");
        assert_eq!(again.usage, expected.usage, "{name}");
        assert_eq!(again.extra, expected.extra, "{name}");
        let numbers: Vec<u64> = text
            .split_terminator("\n\n")
            .map(|event| {
                let data = event.split_once("\ndata: ").unwrap().1;
                let value: Value = serde_json::from_str(data).unwrap();
                value["sequence_number"].as_u64().unwrap()
            })
            .collect();
        assert!(numbers.iter().copied().eq(0..numbers.len() as u64), "{name}");
    }
}

#[test]
fn any_batching_of_frames_gives_the_same_events() {
    for (name, lines) in streams() {
        let whole = decode(&lines);
        for size in [1, 2, 3, 7] {
            let mut decoder = Decoder::default();
            let push = |line: &String, events: &mut _| decoder.push(None, line.as_bytes(), events);
            let mut batched = in_batches(&lines, &[size], push);
            decoder.finish(&mut batched);
            assert_eq!(batched, whole, "{name}");
        }
    }
}

fn answers() -> Vec<(String, String)> {
    let all = recordings(".json", &FOLDERS);
    all.into_iter().filter(|(_, text)| text.contains("\"response\"")).collect()
}

#[test]
fn answers_decode_and_come_back_from_a_client_unchanged() {
    let mut count = 0;
    for (name, text) in answers() {
        let decoded = response::decode(text.as_bytes()).unwrap();
        assert!(!decoded.blocks.is_empty(), "{name}");
        assert!(decoded.usage.is_some(), "{name}");
        assert!(decoded.finish_reason.is_some(), "{name}");
        let identity = Identity { id: &decoded.id, model: &decoded.model, created: 1 };
        let body = response::encode(&decoded, &identity, &Echo::of(&Request::default()));
        assert_eq!(response::decode(&body).unwrap(), decoded, "{name}");
        count += 1;
    }
    eprintln!("{count} Responses answers");
}

#[test]
fn recorded_failures_are_told_apart() {
    for (name, lines) in streams().into_iter().filter(|(name, _)| name.contains("error")) {
        match decode(&lines).last() {
            Some(StreamEvent::Failed(error)) => {
                assert_eq!(error.kind, CallErrorKind::Permission, "{name}");
                assert_eq!(error.provider_code.as_deref(), Some("insufficient_quota"));
            }
            other => unreachable!("{name}: {other:?}"),
        }
    }
}

fn texts(blocks: &[Block]) -> String {
    let text = |block: &Block| match block {
        Block::Text { text, .. } => Some(text.clone()),
        _ => None,
    };
    blocks.iter().filter_map(text).collect()
}

type Essence =
    (String, String, Vec<(String, String, String)>, Option<FinishReason>, Option<(u64, u64)>);

/// Text, reasoning, calls, finish reason and usage.
fn essence(response: &Response) -> Essence {
    let reasoning = response.blocks.iter().filter_map(|block| match block {
        Block::Reasoning { text, .. } => Some(text.clone()),
        _ => None,
    });
    let calls = response.blocks.iter().filter_map(|block| match block {
        Block::ToolCall { id, name, arguments, .. } => {
            Some((id.clone(), name.clone(), arguments.clone()))
        }
        _ => None,
    });
    let usage = response.usage.map(|usage| (usage.input, usage.output));
    let reason = response.finish_reason.clone();
    (texts(&response.blocks), reasoning.collect(), calls.collect(), reason, usage)
}

#[test]
fn answers_reach_chat_clients_with_text_calls_reasoning_and_usage() {
    for (name, text) in answers() {
        let decoded = response::decode(text.as_bytes()).unwrap();
        let body = openai::response::encode(&decoded, &IDENTITY);
        let again = openai::response::decode(&body).unwrap();
        assert_eq!(essence(&again), essence(&decoded), "{name}");
    }
}

#[test]
fn chat_answers_reach_clients_of_this_wire_with_text_calls_reasoning_and_usage() {
    let mut count = 0;
    for (name, text) in recordings(".json", &[""]) {
        if !text.contains("\"chat.completion\"") {
            continue;
        }
        let decoded = openai::response::decode(text.as_bytes()).unwrap();
        let body = response::encode(&decoded, &IDENTITY, &Echo::of(&Request::default()));
        let again = response::decode(&body).unwrap();
        assert_eq!(essence(&again), essence(&decoded), "{name}");
        count += 1;
    }
    for (name, text) in recordings(".chunks.txt", &[""]) {
        if !text.contains("chat.completion.chunk") {
            continue;
        }
        let mut decoder = openai::stream::Decoder::default();
        let mut events = Vec::new();
        text.lines().for_each(|line| decoder.push(line.as_bytes(), &mut events));
        decoder.finish(&mut events);
        let (again, _) = through_the_client(&events);
        assert_whole(&name, &again);
        assert_eq!(essence(&assemble(&again)), essence(&assemble(&events)), "{name}");
        count += 1;
    }
    eprintln!("{count} chat answers");
}
