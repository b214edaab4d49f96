//! The first signal ends the process in order, the second at once.

use std::time::Duration;

use torana_tests::chat::Streamed;
use torana_tests::client::{Connection, Request, Stream};
use torana_tests::eventually::eventually;
use torana_tests::gateway::{Config, Folder, Gateway, Signal};
use torana_tests::openai::{self, TEXT};
use torana_tests::provider::Provider;
use torana_tests::script::{Gate, Script};

use crate::setup::{PATHS, both_paths};

/// Far more than a drained process needs to end.
const END: Duration = Duration::from_secs(10);

/// A provider whose streams stop in their middle until the gate is open.
fn held() -> (Provider, Gate) {
    let gate = Gate::default();
    let held = gate.clone();
    let provider = Provider::start(move |_| {
        let events = openai::events(TEXT);
        let (first, rest) = events.split_at(3);
        Script::sse().bytes(openai::sse(first)).gate(&held).bytes(openai::sse_done(rest))
    });
    (provider, gate)
}

/// Streams that have begun, on both paths.
fn open_streams(gateway: &Gateway) -> Vec<(Stream, Vec<String>)> {
    let begin = |path| {
        let mut stream = gateway.chat_stream(&openai::streaming_chat(path));
        let first = stream.next_event().unwrap();
        (stream, vec![first])
    };
    (0..5).flat_map(|_| PATHS).map(begin).collect()
}

/// The gateway takes no new connections.
fn wait_for_closed_door(gateway: &Gateway) {
    eventually("new connections are refused", || {
        let reply = Request::get("/v1/models").try_send(gateway.address());
        reply.is_err().then_some(())
    });
}

#[test]
fn streams_end_complete_and_the_exit_code_is_zero() {
    let (provider, gate) = held();
    let mut gateway = Gateway::start(&both_paths(&provider));
    let streams = open_streams(&gateway);
    gateway.signal(Signal::TERM);
    wait_for_closed_door(&gateway);
    assert!(gateway.is_running(), "it waits for its streams");
    gate.open();
    for (mut stream, mut events) in streams {
        let (rest, end) = stream.rest();
        events.extend(rest);
        assert_eq!(Streamed::of(events, end).expect_complete().chat.text, TEXT);
    }
    assert_eq!(gateway.wait_for_end(END), 0);
}

#[test]
fn drain_time_bounds_the_end_even_when_every_connection_is_in_use() {
    let slow = "[providers.sim]\nsettings = { tokens = 500, tokens_per_second = 5 }\n\
                [models.slow]\nendpoints = [\"sim/slow\"]";
    let config = Config::new(slow).server("max_connections = 1\ndrain_timeout_ms = 200");
    let mut gateway = Gateway::start(&config);
    let mut stream = gateway.chat_stream(&openai::streaming_chat("slow"));
    let first = stream.next_event().unwrap();
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait_for_end(END), 0);
    let (mut events, end) = stream.rest();
    events.insert(0, first);
    assert!(!Streamed::of(events, end).looks_complete(), "a stream that was cut");
}

#[test]
fn calls_answered_before_the_end_are_there_after_a_restart() {
    let provider = Provider::start(openai::respond);
    let config = both_paths(&provider);
    let mut gateway = Gateway::start(&config);
    let ids: Vec<String> = (0..20)
        .map(|_| gateway.chat(&openai::chat("forwarded")).expect(200))
        .map(|reply| reply.only_header("x-torana-inference-id").to_owned())
        .collect();
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait_for_end(END), 0);
    let again = Gateway::start_in(gateway.folder.clone(), &[]);
    for id in ids {
        again.inference(&id);
    }
}

#[test]
fn streams_that_do_not_end_are_cut_visibly_after_the_drain_time() {
    let (provider, _gate) = held();
    let config = both_paths(&provider).server("drain_timeout_ms = 300");
    let mut gateway = Gateway::start(&config);
    let streams = open_streams(&gateway);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait_for_end(END), 0);
    for (mut stream, mut events) in streams {
        // The connection may be reset as well: whatever was seen must not look complete.
        while let Ok(Some(event)) = stream.try_next_event() {
            events.push(event);
        }
        assert!(!events.iter().any(|event| event == "[DONE]"), "{events:?}");
    }
}

#[test]
fn second_signal_ends_the_process_at_once() {
    let (provider, _gate) = held();
    let config = both_paths(&provider).server("drain_timeout_ms = 600_000");
    let mut gateway = Gateway::start(&config);
    let _streams = open_streams(&gateway);
    gateway.signal(Signal::TERM);
    wait_for_closed_door(&gateway);
    assert!(gateway.is_running());
    gateway.signal(Signal::TERM);
    assert_ne!(gateway.wait_for_end(Duration::from_secs(2)), 0, "it did not drain");
}

#[test]
fn interrupt_from_the_keyboard_is_the_same_as_the_signal_to_end() {
    let provider = Provider::start(openai::respond);
    let mut gateway = Gateway::start(&both_paths(&provider));
    gateway.chat(&openai::chat("forwarded")).expect(200);
    gateway.signal(Signal::INT);
    assert_eq!(gateway.wait_for_end(END), 0);
}

#[test]
fn idle_connections_do_not_hold_up_the_end() {
    let provider = Provider::start(openai::respond);
    let mut gateway = Gateway::start(&both_paths(&provider));
    let mut kept = Connection::open(gateway.address()).unwrap();
    assert_eq!(kept.send(&Request::get("/v1/models")).unwrap().status, 200);
    let _silent = Connection::open(gateway.address()).unwrap();
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait_for_end(END), 0);
}

#[test]
fn port_in_use_is_an_error_that_names_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let text = format!(
        "[server]\nlisten = \"{address}\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[providers.sim]\n"
    );
    let output = Folder::with_text(&text).run(&["serve"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(torana_tests::gateway::both(&output).contains(&address), "{output:?}");
}
