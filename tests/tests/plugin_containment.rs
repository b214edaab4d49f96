//! Hostile guests lose their own call and nothing else.

use serde_json::Value;
use torana_tests::chat::{Chat, Streamed};
use torana_tests::eventually::eventually;
use torana_tests::gateway::{Config, Gateway};
use torana_tests::guest;
use torana_tests::load::{Failure, Load};
use torana_tests::openai;
use torana_tests::provider::{Asked, Provider};
use torana_tests::script::{Gate, Script};

use crate::setup::{NEIGHBOUR, plugin};

/// How a guest misbehaves, what the client is told about it, and limits that let it come as
/// far as the bound that is tried.
const BEHAVIOURS: [(&str, &str, &str); 7] = [
    ("loop", "CPU", ""),
    ("memory", "memory", "cpu_ms = 5_000"),
    ("recursion", "recurs", "cpu_ms = 5_000"),
    ("trap", "trap", ""),
    ("huge-result", "bytes", "cpu_ms = 30_000, memory_mib = 512"),
    ("log-flood", "CPU", ""),
    ("handles", "trap", "cpu_ms = 5_000"),
];

/// Kills within ten seconds that put a plugin into quarantine.
const KILLS: usize = 3;

/// One plugin for each behaviour, so that the quarantine of one is not that of the next.
fn hostile() -> Config {
    let file = guest::path("provider-hostile");
    let mut tables = NEIGHBOUR.to_owned();
    for (behaviour, _, limits) in BEHAVIOURS {
        tables +=
            &plugin(behaviour, &file, &format!("limits = {{ {limits} }}\nlog_content = true"));
        tables += &format!("[providers.{behaviour}]\nplugin = \"{behaviour}\"\n");
        tables += &format!(
            "[models.helped-{behaviour}]\nrouter = \"priority\"\n\
             endpoints = [\"{behaviour}/{behaviour}\", \"sim/demo\"]\n"
        );
    }
    Config::new(tables)
}

/// Clients of the neighbour, streams included.
fn neighbours(gateway: &Gateway) -> Load<()> {
    let address = gateway.address();
    Load::start(3, move |worker, _| {
        if worker == 0 {
            let mut stream =
                openai::completion(&openai::streaming_chat("neighbour")).try_stream(address)?;
            let (events, end) = stream.try_rest()?;
            if !Streamed::of(events, end).looks_complete() {
                return Err(Failure("a stream was cut".into()));
            }
            return Ok(());
        }
        let reply = openai::completion(&openai::chat("neighbour")).try_send(address)?;
        match reply.status {
            200 if reply.is_complete => Ok(()),
            _ => Err(Failure(reply.to_string())),
        }
    })
}

#[test]
fn hostile_provider_loses_its_call_and_neighbours_are_served() {
    let gateway = Gateway::start(&hostile());
    gateway.chat(&openai::chat("neighbour")).expect(200);
    let before = gateway.resident_bytes();
    let load = neighbours(&gateway);
    for (behaviour, cause, _) in BEHAVIOURS {
        for _ in 0..KILLS {
            let reply =
                gateway.chat(&openai::chat(&format!("{behaviour}/{behaviour}"))).expect(502);
            assert_eq!(reply.error("code"), "plugin_failed", "{behaviour}: {reply}");
            let message = reply.message();
            assert!(message.contains(behaviour), "{behaviour} is not named: {message}");
            assert!(message.contains(cause), "{behaviour}: no {cause:?} in {message}");
        }
        let reply = gateway.chat(&openai::chat(&format!("{behaviour}/{behaviour}"))).expect(502);
        assert!(reply.message().contains("quarantine"), "{behaviour}: {reply}");
        let status = gateway.plugin(behaviour);
        assert_eq!(status["state"], "quarantined", "{status:#}");
        assert_eq!(gateway.account(behaviour, "kills"), KILLS as u64, "{status:#}");
    }
    load.wait_for_turns(20);
    load.finish();
    let grown = gateway.resident_bytes().saturating_sub(before);
    assert!(grown < 512 << 20, "grown by {} MiB", grown >> 20);
    let flood = gateway.log().matches("one line of a flood").count();
    assert!(flood <= 100 * KILLS * 2, "{flood} lines of a flood in the log");
}

#[test]
fn request_to_a_hostile_provider_is_served_by_the_next_endpoint() {
    let gateway = Gateway::start(&hostile());
    for (behaviour, _, _) in BEHAVIOURS {
        // Beyond the kills that close its door: a closed door is passed by as well.
        for _ in 0..=KILLS {
            let reply = gateway.chat(&openai::chat(&format!("helped-{behaviour}"))).expect(200);
            assert_eq!(reply.only_header("x-torana-endpoint"), "sim/demo", "{behaviour}");
        }
    }
}

#[test]
fn quarantine_ends_with_a_probe_that_goes_well() {
    let gateway = Gateway::start(&hostile());
    for _ in 0..KILLS {
        gateway.chat(&openai::chat("trap/trap")).expect(502);
    }
    assert_eq!(gateway.plugin("trap")["state"], "quarantined");
    eventually("the plugin is let in again", || {
        let reply = gateway.chat(&openai::chat("trap/behave"));
        (reply.status == 200).then_some(())
    });
    assert_ne!(gateway.plugin("trap")["state"], "quarantined");
}

#[test]
fn quarantine_ends_with_a_reload() {
    let gateway = Gateway::start(&hostile());
    for _ in 0..KILLS {
        gateway.chat(&openai::chat("loop/loop")).expect(502);
    }
    assert_eq!(gateway.plugin("loop")["state"], "quarantined");
    gateway.reload().expect(200);
    assert_eq!(gateway.plugin("loop")["state"], "running");
    gateway.chat(&openai::chat("loop/behave")).expect(200);
}

#[test]
fn guest_that_dies_inside_a_stream_breaks_that_stream_visibly() {
    let gate = Gate::default();
    let held = gate.clone();
    let provider = Provider::start(move |_: &Asked| {
        let frame = "data: {}\n\n";
        Script::sse().bytes(frame).gate(&held).bytes(frame).bytes(frame)
    });
    let mut tables = NEIGHBOUR.to_owned();
    for behaviour in ["trap", "loop"] {
        let name = format!("hostile-{behaviour}");
        tables += &plugin(&name, &guest::path("provider-hostile"), "");
        tables += &format!("[providers.{name}]\nplugin = \"{name}\"\n");
        tables += &format!("base_url = \"{}\"\n", provider.url());
    }
    let gateway = Gateway::start(&Config::new(tables));
    let mut streams = ["trap", "loop"].map(|behaviour| {
        let model = format!("hostile-{behaviour}/stream-{behaviour}");
        let mut stream = gateway.chat_stream(&openai::streaming_chat(&model));
        let first: Vec<String> = std::iter::from_fn(|| stream.next_event())
            .take_while(|event| !event.contains("first words"))
            .collect();
        assert!(first.len() < 5, "{first:?}");
        (behaviour, stream)
    });
    gate.open();
    for (behaviour, stream) in &mut streams {
        let (events, end) = stream.rest();
        let streamed = Streamed::of(events, end);
        let error = streamed.expect_broken();
        let message = error["message"].as_str().unwrap_or_default();
        assert!(message.contains(&format!("hostile-{behaviour}")), "{message}");
    }
    gateway.chat(&openai::chat("neighbour")).expect(200);
}

#[test]
fn request_is_served_in_priority_order_when_the_policy_dies() {
    let mut tables = plugin("hostile", &guest::path("router-hostile"), "") + "[providers.sim]\n";
    for behaviour in ["trap", "loop", "nonsense", "none"] {
        // A quarantined policy is no test of the next behaviour.
        tables += &plugin(&format!("policy-{behaviour}"), &guest::path("router-hostile"), "");
        tables += &format!(
            "[routers.{behaviour}]\nplugin = \"policy-{behaviour}\"\n\
             settings = {{ route = \"{behaviour}\" }}\n\
             [models.{behaviour}]\nrouter = \"{behaviour}\"\n\
             endpoints = [\"sim/first\", \"sim/second\"]\n"
        );
    }
    let gateway = Gateway::start(&Config::new(tables));
    let endpoint = |model: &str| {
        let reply = gateway.chat(&openai::chat(model)).expect(200);
        assert!(!Chat::of(&reply).text.is_empty());
        reply.only_header("x-torana-endpoint").to_owned()
    };
    assert_eq!(endpoint("none"), "sim/second", "the policy that behaves decides");
    for behaviour in ["trap", "loop", "nonsense"] {
        for _ in 0..=KILLS {
            assert_eq!(endpoint(behaviour), "sim/first", "{behaviour}");
        }
    }
    for behaviour in ["trap", "loop"] {
        let status: Value = gateway.plugin(&format!("policy-{behaviour}"));
        assert_eq!(status["state"], "quarantined", "{status:#}");
    }
}

#[test]
fn client_that_leaves_during_guest_calls_leaks_no_instance() {
    let provider = Provider::start(|_| {
        let events = openai::events(openai::TEXT);
        Script::sse().bytes(openai::sse(&events[..3])).until_closed()
    });
    let config = crate::setup::both_paths(&provider);
    let gateway = Gateway::start(&config);
    // More than the 200 instances that there may be at a time.
    for _ in 0..30 {
        let mut streams: Vec<_> =
            (0..10).map(|_| gateway.chat_stream(&openai::streaming_chat("translated"))).collect();
        for stream in &mut streams {
            stream.next_event().unwrap();
        }
        streams.into_iter().for_each(torana_tests::client::Stream::abandon);
    }
    eventually("every stream was let go", || (provider.abandoned() == 300).then_some(()));
    let mut stream = gateway.chat_stream(&openai::streaming_chat("translated"));
    assert!(stream.next_event().unwrap().contains("chat.completion.chunk"));
}
