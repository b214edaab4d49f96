//! Recorded traffic of Google decodes to whole answers.
//!
//! The recordings lie beside the checkout and are never committed; without them the tests
//! say so and pass.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::path::Path;

use serde_json::{Value, json};
use torana_plugin_sdk::chat::{Block, FinishReason, Response};
use torana_plugin_sdk::provider::{HttpResponse, Provider};
use torana_plugin_sdk::{CallErrorKind, StreamEvent};

use super::{assemble, assert_well_formed, endpoint};
use crate::settings::Platform;
use crate::stream::Decoder;
use crate::{Gemini, answer};

fn recordings(suffix: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/recordings");
    let folder = root.join("google/model");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!("skipped: no recordings at {}", folder.display());
        return Vec::new();
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.ends_with(suffix) {
            found.push((name, std::fs::read_to_string(path).unwrap()));
        }
    }
    found.sort();
    found
}

fn says_something(response: &Response) -> bool {
    response.blocks.iter().any(|block| match block {
        Block::Text { text, .. } => !text.is_empty(),
        Block::ToolCall { id, name, arguments, .. } => {
            assert!(!id.is_empty() && !name.is_empty());
            serde_json::from_str::<Value>(arguments).unwrap().is_object()
        }
        _ => false,
    })
}

fn assert_whole(name: &str, response: &Response) {
    assert!(says_something(response), "{name}");
    assert!(!response.id.is_empty() && response.model.starts_with("gemini-3"), "{name}");
    let usage = response.usage.unwrap();
    assert!(usage.input > 0 && usage.output > usage.reasoning && usage.reasoning > 0, "{name}");
    let has_calls = response.blocks.iter().any(|block| matches!(block, Block::ToolCall { .. }));
    let reason = if has_calls { FinishReason::ToolCalls } else { FinishReason::Stop };
    assert_eq!(response.finish_reason, Some(reason), "{name}");
}

/// Where the decoder is given `size` lines at a time, as an array.
fn events(text: &str, size: usize) -> Vec<StreamEvent> {
    let lines: Vec<&str> = text.lines().collect();
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    for batch in lines.chunks(size) {
        match batch {
            [line] => decoder.push(line.as_bytes(), &mut events),
            batch => decoder.push(format!("[{}]", batch.join(",")).as_bytes(), &mut events),
        }
    }
    assert!(!events.iter().any(|event| matches!(event, StreamEvent::Finish(_))));
    decoder.finish(&mut events);
    events
}

#[test]
fn recorded_streams_decode_to_whole_answers() {
    let mut count = 0;
    for (name, text) in recordings(".chunks.txt") {
        let events = events(&text, 1);
        assert_well_formed(&name, &events);
        let response = assemble(&events);
        if name == "google-text.chunks.txt" {
            assert!(says_something(&response), "{name}");
            assert_eq!(response.finish_reason, Some(FinishReason::Stop), "{name}");
        } else {
            assert_whole(&name, &response);
        }
        count += 1;
    }
    eprintln!("{count} Gemini streams");
}

#[test]
fn recorded_streams_give_the_same_events_in_any_batches() {
    for (name, text) in recordings(".chunks.txt") {
        let one_by_one = events(&text, 1);
        for size in [2, 3, 7, usize::MAX] {
            assert_eq!(events(&text, size), one_by_one, "{name} by {size}");
        }
    }
}

#[test]
fn recorded_streams_that_are_cut_never_look_whole() {
    for (name, text) in recordings(".chunks.txt") {
        let mut decoder = Decoder::default();
        let mut events = Vec::new();
        let lines: Vec<&str> = text.lines().collect();
        for line in lines.iter().take(lines.len() - 1) {
            decoder.push(line.as_bytes(), &mut events);
        }
        decoder.finish(&mut events);
        assert!(!events.iter().any(|event| matches!(event, StreamEvent::Finish(_))), "{name}");
    }
}

#[test]
fn recorded_answers_decode() {
    let mut count = 0;
    for (name, text) in recordings(".json") {
        if name.starts_with("google-429") {
            continue;
        }
        assert_whole(&name, &answer::decode(text.as_bytes()).unwrap());
        count += 1;
    }
    eprintln!("{count} Gemini answers");
}

#[test]
fn recorded_arguments_in_pieces_come_together() {
    let calls = |name: &str| -> Vec<(String, Value)> {
        let found = recordings(".chunks.txt").into_iter().find(|(found, _)| found == name);
        let Some((_, text)) = found else {
            return Vec::new();
        };
        let blocks = assemble(&events(&text, 1)).blocks;
        blocks
            .into_iter()
            .filter_map(|block| match block {
                Block::ToolCall { name, arguments, .. } => {
                    Some((name, serde_json::from_str(&arguments).unwrap()))
                }
                _ => None,
            })
            .collect()
    };
    if calls("google-stream-tool-call-arguments.chunks.txt").is_empty() {
        return;
    }
    let weather = |city: &str| ("getWeather".to_owned(), json!({ "location": city }));
    let expected = [weather("Boston"), weather("San Francisco")];
    assert_eq!(calls("google-stream-tool-call-arguments.chunks.txt"), expected);
    let screens = calls("google-stream-no-args-tool-call.chunks.txt");
    let arguments: Vec<Value> = screens.into_iter().map(|(_, arguments)| arguments).collect();
    let expected = [json!({}), json!({"id": "A"}), json!({"id": "B"}), json!({"id": "C"})];
    assert_eq!(arguments, expected);
    let nested = calls("google-vertex-stream-tool-call-arguments-nested.1.chunks.txt");
    let recipe = &nested[0].1["recipe"];
    assert_eq!(recipe["name"], "Lasagna");
    assert_eq!(recipe["ingredients"].as_array().unwrap().len(), 10);
    assert_eq!(recipe["ingredients"][9], json!({"amount": "1/2 tsp", "name": "Pepper"}));
    assert_eq!(recipe["steps"].as_array().unwrap().len(), 10);
    assert_eq!(recipe["steps"][9], "Let stand for 15 minutes before serving.");
}

#[test]
fn recorded_rate_limit_says_how_long_to_wait() {
    for (_, body) in recordings("429-retry-info.json") {
        let answer = HttpResponse { status: 429, headers: Vec::new(), body: body.into_bytes() };
        let endpoint = endpoint("gemini-3.8-flash", Platform::AiStudio);
        let error = Gemini::parse(&endpoint, &answer).unwrap_err();
        assert_eq!((error.kind, error.retry_after_ms), (CallErrorKind::RateLimited, Some(34_400)));
    }
}

#[test]
fn recorded_embeddings_of_vertex_decode() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/recordings");
    let Ok(body) = std::fs::read(root.join("google-vertex/model/google-vertex-embedding.json"))
    else {
        return;
    };
    let endpoint = endpoint("gemini-embedding-001", Platform::Vertex);
    let answer = HttpResponse { status: 200, headers: Vec::new(), body };
    let decoded = Gemini::parse_embeddings(&endpoint, &answer).unwrap();
    assert_eq!(decoded["data"].as_array().unwrap().len(), 2);
    assert_eq!(decoded["data"][1]["embedding"][1], 0.004907649010419846);
    assert_eq!(decoded["usage"], json!({"prompt_tokens": 11, "total_tokens": 11}));
}
