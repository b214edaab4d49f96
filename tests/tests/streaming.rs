//! Streams: the same events however the bytes arrive, at once and not at the end, and nothing
//! goes on for a client that left.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config as ProptestConfig, TestRunner};
use serde_json::{Value, json};
use torana_tests::chat::{Chat, DONE, Streamed};
use torana_tests::eventually::within;
use torana_tests::gateway::Gateway;
use torana_tests::openai::{self, TEXT};
use torana_tests::provider::{Asked, Provider};
use torana_tests::repository;
use torana_tests::script::{Gate, Script};

use crate::setup::{PATHS, both_paths};

/// A provider that streams whatever bytes it was given last, cut where it was told.
struct Cutting {
    provider: Provider,
    next: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Cutting {
    fn start() -> Self {
        let next = Arc::new(Mutex::new(Vec::<Vec<u8>>::new()));
        let script = next.clone();
        let provider = Provider::start(move |_| {
            let pieces = script.lock().unwrap().clone();
            pieces.into_iter().fold(Script::sse(), Script::bytes)
        });
        Self { provider, next }
    }

    fn stream(&self, gateway: &Gateway, path: &str, pieces: Vec<Vec<u8>>) -> Streamed {
        *self.next.lock().unwrap() = pieces;
        Streamed::read(gateway.chat_stream(&openai::streaming_chat(path))).expect_complete()
    }
}

/// Ids and times that a translating gateway makes up itself.
fn comparable(streamed: &Streamed) -> Vec<Value> {
    let parsed = |data: &String| match serde_json::from_str::<Value>(data) {
        Ok(mut chunk) => {
            chunk["created"] = json!(0);
            chunk["id"] = json!("");
            chunk
        }
        Err(_) => json!(data),
    };
    streamed.events.iter().map(parsed).collect()
}

fn pieces(bytes: &[u8], size: usize) -> Vec<Vec<u8>> {
    bytes.chunks(size).map(<[u8]>::to_vec).collect()
}

#[test]
fn events_do_not_depend_on_how_the_bytes_were_cut() {
    let cutting = Cutting::start();
    let gateway = Gateway::start(&both_paths(&cutting.provider));
    for path in PATHS {
        for events in [openai::events(TEXT), openai::tool_events()] {
            let bytes = openai::sse_done(&events);
            let whole = cutting.stream(&gateway, path, vec![bytes.clone()]);
            for size in 1..=17 {
                let cut = cutting.stream(&gateway, path, pieces(&bytes, size));
                assert_eq!(comparable(&cut), comparable(&whole), "{path}, {size} bytes a time");
            }
        }
    }
}

#[test]
fn events_do_not_depend_on_where_the_bytes_were_cut() {
    let cutting = Cutting::start();
    let gateway = Gateway::start(&both_paths(&cutting.provider));
    let bytes = openai::sse_done(&openai::events(TEXT));
    // Both line ends that the format knows beside the usual one, and a comment.
    let text = String::from_utf8(bytes.clone()).unwrap();
    let dialects = [
        bytes,
        text.replace('\n', "\r\n").into_bytes(),
        text.replacen("data: ", ": keep-alive\n\ndata:", 3).into_bytes(),
    ];
    let expected =
        PATHS.map(|path| comparable(&cutting.stream(&gateway, path, vec![dialects[0].clone()])));
    let configuration =
        ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() };
    let cuts = (0..dialects.len(), 0..PATHS.len(), prop::collection::vec(any::<u16>(), 0..24));
    let run = TestRunner::new(configuration).run(&cuts, |(dialect, path, cuts)| {
        let bytes = &dialects[dialect];
        let mut places: Vec<usize> = cuts.iter().map(|it| usize::from(*it) % bytes.len()).collect();
        places.extend([0, bytes.len()]);
        places.sort_unstable();
        places.dedup();
        let cut = places.windows(2).map(|it| bytes[it[0]..it[1]].to_vec()).collect();
        let streamed = cutting.stream(&gateway, PATHS[path], cut);
        prop_assert_eq!(&comparable(&streamed), &expected[path]);
        Ok(())
    });
    run.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn recorded_streams_say_the_same_forwarded_and_translated_however_they_are_cut() {
    let recordings = recorded_streams();
    if recordings.is_empty() {
        eprintln!("skipped: no recordings in ../shared/data");
        return;
    }
    let cutting = Cutting::start();
    let gateway = Gateway::start(&both_paths(&cutting.provider));
    for (name, events) in recordings {
        let bytes = openai::sse_done(&events);
        let stream = |path, size| cutting.stream(&gateway, path, pieces(&bytes, size));
        let forwarded = stream("forwarded", 1_000);
        let sent: Vec<String> = forwarded.events.iter().filter(|it| *it != DONE).cloned().collect();
        assert_eq!(sent, events, "{name}: forwarded events are the provider's");
        let translated = stream("translated", 1_000);
        assert_eq!(translated.chat.text, forwarded.chat.text, "{name}");
        assert_eq!(translated.chat.reasoning, forwarded.chat.reasoning, "{name}");
        assert_eq!(translated.chat.tool_calls, forwarded.chat.tool_calls, "{name}");
        assert_eq!(translated.chat.finish_reason, forwarded.chat.finish_reason, "{name}");
        let cut = stream("translated", 61);
        assert_eq!(comparable(&cut), comparable(&translated), "{name}");
    }
}

/// Chat streams recorded at providers that speak OpenAI's dialect, where they are present.
fn recorded_streams() -> Vec<(String, Vec<String>)> {
    let root = repository().join("../shared/data/recordings");
    let folders = ["openai/chat", "groq/model", "mistral/model", "deepseek/chat", "xai/model"];
    let files = folders.iter().filter_map(|it| std::fs::read_dir(root.join(it)).ok()).flatten();
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.retain(|path| path.to_string_lossy().ends_with(".chunks.txt"));
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let events = text.lines().filter(|it| !it.is_empty()).map(str::to_owned).collect();
        (path.display().to_string(), events)
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn words_reach_the_client_while_the_provider_still_speaks() {
    let gate = Gate::default();
    let held = gate.clone();
    let provider = Provider::start(move |_| {
        let events = openai::events(TEXT);
        let (first, rest) = events.split_at(3);
        Script::sse().bytes(openai::sse(first)).gate(&held).bytes(openai::sse_done(rest))
    });
    let gateway = Gateway::start(&both_paths(&provider));
    let mut streams = PATHS.map(|path| gateway.chat_stream(&openai::streaming_chat(path)));
    for stream in &mut streams {
        let mut text = String::new();
        while text.is_empty() {
            let event: Value = serde_json::from_str(&stream.next_event().unwrap()).unwrap();
            text.push_str(event["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
        }
        assert!(TEXT.starts_with(&text), "{text:?}");
    }
    gate.open();
    for mut stream in streams {
        let (events, end) = stream.rest();
        Streamed::of(events, end).expect_complete();
    }
}

#[test]
fn usage_is_sent_to_those_who_ask_for_it_and_recorded_for_all() {
    let provider = Provider::start(|asked: &Asked| {
        let mut events = openai::events(TEXT);
        if asked.json()["stream_options"]["include_usage"] != true {
            events.pop();
        }
        Script::sse().bytes(openai::sse_done(&events))
    });
    let gateway = Gateway::start(&both_paths(&provider));
    for path in PATHS {
        let mut body = openai::streaming_chat(path);
        let asked = Streamed::read(gateway.chat_stream(&body)).expect_complete();
        assert_eq!(asked.chat.usage, Some((11, 7)), "{path}");
        body.as_object_mut().unwrap().remove("stream_options");
        let stream = gateway.chat_stream(&body);
        let id = stream.header("x-torana-inference-id").unwrap().to_owned();
        let silent = Streamed::read(stream).expect_complete();
        assert_eq!(silent.chat.usage, None, "{path}");
        assert_eq!(silent.chat, Chat { usage: None, ..asked.chat }, "{path}");
        let record = gateway.inference(&id);
        assert_eq!(record["usage"]["input"], 11, "{path}: {record:#}");
        assert_eq!(record["usage"]["output"], 7, "{path}: {record:#}");
    }
}

#[test]
fn silent_stream_gets_comments_that_no_client_takes_for_an_event() {
    let gate = Gate::default();
    let held = gate.clone();
    let provider = Provider::start(move |_| {
        let events = openai::events(TEXT);
        let (first, rest) = events.split_at(3);
        Script::sse().bytes(openai::sse(first)).gate(&held).bytes(openai::sse_done(rest))
    });
    let gateway = Gateway::start(&both_paths(&provider).server("keep_alive_comment_ms = 50"));
    for path in PATHS {
        let mut stream = gateway.chat_stream(&openai::streaming_chat(path));
        stream.wait_for_comment();
    }
    gate.open();
    let streamed = Streamed::read(gateway.chat_stream(&openai::streaming_chat("forwarded")));
    assert_eq!(streamed.expect_complete().chat.text, TEXT);
}

#[test]
fn client_that_leaves_a_stream_frees_the_provider_at_once() {
    let provider = Provider::start(|_| {
        let events = openai::events(TEXT);
        Script::sse().bytes(openai::sse(&events[..3])).until_closed()
    });
    let gateway = Gateway::start(&both_paths(&provider));
    for (before, path) in PATHS.into_iter().enumerate() {
        let mut stream = gateway.chat_stream(&openai::streaming_chat(path));
        let id = stream.header("x-torana-inference-id").unwrap().to_owned();
        stream.next_event().unwrap();
        assert_eq!(provider.abandoned(), before);
        stream.abandon();
        within(Duration::from_secs(1), "the provider is let go", || {
            (provider.abandoned() == before + 1).then_some(())
        });
        let record = gateway.inference(&id);
        assert_eq!(record["outcome"], "cancelled", "{path}: {record:#}");
    }
}

#[test]
fn client_that_leaves_before_the_answer_frees_the_provider_at_once() {
    let provider = Provider::always(Script::default().until_closed());
    let gateway = Gateway::start(&both_paths(&provider));
    for (before, path) in PATHS.into_iter().enumerate() {
        let waiting = openai::completion(&openai::chat(path)).send_only(gateway.address());
        within(Duration::from_secs(10), "the provider is asked", || {
            (provider.asked().len() == before + 1).then_some(())
        });
        drop(waiting);
        within(Duration::from_secs(1), "the provider is let go", || {
            (provider.abandoned() == before + 1).then_some(())
        });
    }
}

#[test]
fn drained_stream_is_read_to_its_end_without_its_client() {
    let gate = Gate::default();
    let held = gate.clone();
    let provider = Provider::start(move |_| {
        let events = openai::events(TEXT);
        let (first, rest) = events.split_at(3);
        Script::sse().bytes(openai::sse(first)).gate(&held).bytes(openai::sse_done(rest))
    });
    let gateway = Gateway::start(&both_paths(&provider).server("on_disconnect = \"drain\""));
    let mut stream = gateway.chat_stream(&openai::streaming_chat("forwarded"));
    let id = stream.header("x-torana-inference-id").unwrap().to_owned();
    stream.next_event().unwrap();
    stream.abandon();
    gate.open();
    let record = gateway.inference(&id);
    assert_eq!(record["usage"]["output"], 7, "{record:#}");
    assert_eq!(provider.abandoned(), 0);
}
