//! Recorded traffic of real providers decodes to whole answers.
//!
//! The recordings lie beside the checkout and are never committed; without them the tests
//! say so and pass.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::path::{Path, PathBuf};

use torana_wire::assemble::assemble;
use torana_wire::chat::{Block, FinishReason, Response};
use torana_wire::conformance::assert_whole;
use torana_wire::error::CallErrorKind;
use torana_wire::event::StreamEvent;
use torana_wire::{anthropic, completions, openai};

fn recordings(suffix: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/recordings");
    if !root.is_dir() {
        eprintln!("skipped: no recordings at {}", root.display());
        return Vec::new();
    }
    let mut files: Vec<PathBuf> = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.to_string_lossy().ends_with(suffix) => files.push(path),
                false => {}
            }
        }
    }
    files.sort();
    let name = |path: &Path| path.strip_prefix(&root).unwrap().display().to_string();
    files.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

fn says_something(response: &Response) -> bool {
    response.blocks.iter().any(|block| match block {
        Block::Text { text, .. } | Block::Reasoning { text, .. } => !text.is_empty(),
        Block::ToolCall { name, arguments, .. } => {
            assert!(!name.is_empty());
            serde_json::from_str::<serde_json::Value>(arguments).is_ok()
        }
        Block::Other { .. } => true,
        _ => false,
    })
}

/// What a client on the OpenAI wire makes of it.
fn through_the_client(events: &[StreamEvent]) -> Vec<StreamEvent> {
    let identity = openai::Identity { id: "i", model: "m", created: 1 };
    let mut encoder = openai::stream::Encoder::new(&identity, true);
    let mut out = Vec::new();
    events.iter().for_each(|event| encoder.push(event, &mut out));
    encoder.end(&mut out);
    let text = String::from_utf8(out).unwrap();
    assert!(text.ends_with("data: [DONE]\n\n"));
    let mut decoder = openai::stream::Decoder::default();
    let mut decoded = Vec::new();
    for event in text.split_terminator("\n\n") {
        decoder.push(event.strip_prefix("data: ").unwrap().as_bytes(), &mut decoded);
    }
    decoded
}

#[test]
fn recorded_openai_streams_decode_to_whole_answers() {
    let mut count = 0;
    for (name, text) in recordings(".chunks.txt") {
        if !text.contains("chat.completion.chunk") {
            continue;
        }
        let mut decoder = openai::stream::Decoder::default();
        let mut events = Vec::new();
        for line in text.lines() {
            decoder.push(line.as_bytes(), &mut events);
        }
        assert!(!events.iter().any(|event| matches!(event, StreamEvent::Finish(_))), "{name}");
        decoder.finish(&mut events);
        assert_whole(&name, &events);
        let response = assemble(&events);
        assert!(says_something(&response), "{name}");
        assert!(response.usage.is_some_and(|usage| usage.input > 0 && usage.output > 0), "{name}");
        assert!(!response.model.is_empty(), "{name}");
        let again = assemble(&through_the_client(&events));
        assert_eq!((&again.blocks, again.usage), (&response.blocks, response.usage), "{name}");
        assert_eq!(again.finish_reason, response.finish_reason, "{name}");
        let has_calls = response.blocks.iter().any(|block| matches!(block, Block::ToolCall { .. }));
        let by_calls = response.finish_reason == Some(FinishReason::ToolCalls);
        assert_eq!(has_calls, by_calls, "{name}");
        count += 1;
    }
    eprintln!("{count} OpenAI streams");
}

#[test]
fn recorded_openai_answers_decode() {
    let mut count = 0;
    for (name, text) in recordings(".json") {
        if !text.contains("\"chat.completion\"") {
            continue;
        }
        let response = openai::response::decode(text.as_bytes()).unwrap();
        assert!(says_something(&response), "{name}");
        assert!(response.usage.is_some_and(|usage| usage.input > 0), "{name}");
        assert!(response.finish_reason.is_some(), "{name}");
        count += 1;
    }
    eprintln!("{count} OpenAI answers");
}

#[test]
fn recorded_completions_decode_and_reach_the_client_unchanged() {
    let mut count = 0;
    for (name, text) in recordings("openai-completion-text.chunks.txt") {
        let mut decoder = completions::stream::Decoder::default();
        let mut events = Vec::new();
        text.lines().for_each(|line| decoder.push(line.as_bytes(), &mut events));
        decoder.finish(&mut events);
        assert_whole(&name, &events);
        let response = assemble(&events);
        assert!(says_something(&response), "{name}");
        assert!(response.usage.is_some_and(|usage| usage.input > 0 && usage.output > 0), "{name}");
        let identity = openai::Identity { id: &response.id, model: &response.model, created: 1 };
        let whole = completions::response::encode(&response, &identity);
        assert_eq!(completions::response::decode(&whole).unwrap(), response, "{name}");
        count += 1;
    }
    for (name, text) in recordings("openai-completion-text.json") {
        let response = completions::response::decode(text.as_bytes()).unwrap();
        assert!(says_something(&response), "{name}");
        assert_eq!(response.finish_reason, Some(FinishReason::Length), "{name}");
        assert!(response.usage.is_some_and(|usage| usage.input > 0), "{name}");
        count += 1;
    }
    eprintln!("{count} completions");
}

fn decode_anthropic(text: &str) -> Vec<StreamEvent> {
    let mut decoder = anthropic::stream::Decoder::default();
    let mut events = Vec::new();
    for line in text.lines() {
        decoder.push(None, line.as_bytes(), &mut events);
    }
    decoder.finish(&mut events);
    events
}

#[test]
fn recorded_anthropic_streams_decode_to_whole_answers() {
    let mut count = 0;
    for (name, text) in recordings(".chunks.txt") {
        if !name.starts_with("anthropic/") || name.contains("spliced") {
            continue;
        }
        let events = decode_anthropic(&text);
        assert_whole(&name, &events);
        let response = assemble(&events);
        assert!(says_something(&response), "{name}");
        assert!(response.usage.is_some_and(|usage| usage.input > 0 && usage.output > 0), "{name}");
        count += 1;
    }
    eprintln!("{count} Anthropic streams");
}

#[test]
fn recorded_anthropic_answers_decode() {
    let mut count = 0;
    for (name, text) in recordings(".json") {
        if !name.starts_with("anthropic/model") {
            continue;
        }
        let response = anthropic::response::decode(text.as_bytes()).unwrap();
        assert!(response.finish_reason.is_some(), "{name}");
        assert!(response.usage.is_some_and(|usage| usage.input > 0), "{name}");
        let refused = response.finish_reason == Some(FinishReason::Refusal);
        assert!(says_something(&response) || refused, "{name}");
        count += 1;
    }
    eprintln!("{count} Anthropic answers");
}

#[test]
fn anthropic_stream_that_begins_again_in_the_middle_fails() {
    for (name, text) in recordings("spliced-message-start.chunks.txt") {
        let events = decode_anthropic(&text);
        match events.last() {
            Some(StreamEvent::Failed(error)) => {
                assert_eq!(error.kind, CallErrorKind::MalformedResponse);
            }
            other => unreachable!("{name}: {other:?}"),
        }
    }
}
