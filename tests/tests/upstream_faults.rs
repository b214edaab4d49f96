//! What goes wrong at a provider: before the first byte another endpoint helps; afterwards
//! nothing ever looks complete.

use serde_json::Value;
use torana_tests::chat::{Chat, Streamed};
use torana_tests::client::End;
use torana_tests::faults::{Early, Late};
use torana_tests::gateway::{Config, Gateway};
use torana_tests::openai::{self, TEXT};
use torana_tests::provider::{Asked, Provider, refusing_port};
use torana_tests::script::{Gate, Script};

use crate::setup::{PATHS, SINK, both_paths, compatible};

/// The default policy learns, and would soon spare the faulty endpoint.
const IN_ORDER: &str = "default_router = \"priority\"";

/// A fault of [`Early::ALL`] for each model name `fault-<position>`.
fn faulty() -> Provider {
    Provider::start(|asked: &Asked| {
        let model = asked.json()["model"].as_str().unwrap_or_default().to_owned();
        let position: usize = model.trim_start_matches("fault-").parse().unwrap();
        Early::ALL[position].script()
    })
}

/// Models `<path>-<position>`: the faulty endpoint first, the healthy one second.
fn with_fallback(faulty: &Provider, healthy: &Provider) -> Config {
    let refused = format!("http://127.0.0.1:{}/v1", refusing_port());
    let mut tables = compatible("healthy", &healthy.url(), "");
    for (path, keys) in [("forwarded", ""), ("translated", "forward = false")] {
        tables += &compatible(&format!("faulty-{path}"), &faulty.url(), keys);
        tables += &compatible(&format!("refused-{path}"), &refused, keys);
        for (position, fault) in Early::ALL.iter().enumerate() {
            let provider = if *fault == Early::Refused { "refused" } else { "faulty" };
            tables += &format!(
                "[models.{path}-{position}]\n\
                 endpoints = [\"{provider}-{path}/fault-{position}\", \"healthy/scripted\"]\n\n"
            );
        }
    }
    Config::new(tables + SINK).top(IN_ORDER)
}

#[test]
fn another_endpoint_answers_whatever_happens_before_the_first_byte() {
    let (faulty, healthy) = (faulty(), Provider::start(openai::respond));
    let gateway = Gateway::start(&with_fallback(&faulty, &healthy));
    // Side by side: some of the faults are waits.
    std::thread::scope(|scope| {
        for (position, fault) in Early::ALL.iter().enumerate() {
            for path in PATHS {
                let gateway = &gateway;
                let model = format!("{path}-{position}");
                scope.spawn(move || falls_back(gateway, &model, *fault));
            }
        }
    });
}

fn falls_back(gateway: &Gateway, model: &str, fault: Early) {
    let reply = gateway.chat(&openai::chat(model)).expect(200);
    assert_eq!(Chat::of(&reply).text, TEXT, "{model} {fault:?}");
    assert_eq!(reply.only_header("x-torana-endpoint"), "healthy/scripted", "{fault:?}");
    assert_eq!(reply.only_header("x-torana-attempts"), "2", "{fault:?}");

    let record = gateway.inference(reply.only_header("x-torana-inference-id"));
    assert_eq!(record["outcome"], "ok", "{record:#}");
    let attempts = record["model_inferences"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{fault:?}: {record:#}");
    assert!(attempts[0]["error"].is_object(), "{fault:?}: {record:#}");
    assert_eq!(attempts[1]["endpoint"], "healthy/scripted", "{record:#}");
    assert!(attempts[1].get("error").is_none_or(Value::is_null), "{record:#}");

    let stream = gateway.chat_stream(&openai::streaming_chat(model));
    assert_eq!(stream.header("x-torana-endpoint"), Some("healthy/scripted"), "{fault:?}");
    assert_eq!(Streamed::read(stream).expect_complete().chat.text, TEXT, "{fault:?}");
}

/// Statuses that say that the request is wrong, wherever it goes.
const REFUSALS: [u16; 3] = [400, 413, 422];

/// Statuses that say that the operator's credential or name of the model is wrong there.
const MISPLACED: [u16; 3] = [401, 403, 404];

/// Models `<path>-<status>`: an endpoint that refuses first, a healthy one second.
fn refusing(refusing: &Provider, healthy: &Provider) -> Gateway {
    let mut tables = compatible("healthy", &healthy.url(), "") + SINK;
    for (path, keys) in [("forwarded", ""), ("translated", "forward = false")] {
        tables += &compatible(path, &refusing.url(), keys);
        for status in REFUSALS.into_iter().chain(MISPLACED) {
            tables += &format!(
                "[models.{path}-{status}]\n\
                 endpoints = [\"{path}/{status}\", \"healthy/scripted\"]\n"
            );
        }
    }
    Gateway::start(&Config::new(tables).top(IN_ORDER))
}

fn refuse(asked: &Asked) -> Script {
    let model = asked.json()["model"].as_str().unwrap_or_default().to_owned();
    Script::json(model.parse().unwrap(), &refusal())
}

#[test]
fn mistake_of_the_client_is_told_with_the_providers_status_and_words_and_asks_nobody_else() {
    let (provider, healthy) = (Provider::start(refuse), Provider::start(openai::respond));
    let gateway = refusing(&provider, &healthy);
    for path in PATHS {
        for status in REFUSALS {
            for body in [openai::chat, openai::streaming_chat] {
                let reply = gateway.chat(&body(&format!("{path}-{status}"))).expect(status);
                assert!(reply.message().contains("your request is odd"), "{path}: {reply}");
                assert_eq!(reply.only_header("x-torana-attempts"), "1", "{path} {status}");
                if path == "forwarded" {
                    assert_eq!(reply.json(), refusal(), "the provider's own body");
                }
            }
        }
    }
    assert_eq!(healthy.asked().len(), 0);
}

#[test]
fn refused_credential_or_unknown_model_is_the_operators_mistake_and_another_endpoint_helps() {
    let (provider, healthy) = (Provider::start(refuse), Provider::start(openai::respond));
    let gateway = refusing(&provider, &healthy);
    for path in PATHS {
        for status in MISPLACED {
            let reply = gateway.chat(&openai::chat(&format!("{path}-{status}"))).expect(200);
            assert_eq!(reply.only_header("x-torana-endpoint"), "healthy/scripted");
            assert_eq!(reply.only_header("x-torana-attempts"), "2", "{path} {status}");
            // Who names the endpoint is told what it said.
            let reply = gateway.chat(&openai::chat(&format!("{path}/{status}"))).expect(status);
            assert_eq!(reply.message(), "your request is odd", "{path}: {reply}");
        }
    }
}

#[test]
fn providers_error_code_reaches_the_client_on_both_paths() {
    let (provider, healthy) = (Provider::start(refuse), Provider::start(openai::respond));
    let gateway = refusing(&provider, &healthy);
    for path in PATHS {
        let reply = gateway.chat(&openai::chat(&format!("{path}-400"))).expect(400);
        assert_eq!(reply.error("code"), "odd_request", "{path}: {reply}");
        assert_eq!(reply.message(), "your request is odd", "{path}: {reply}");
    }
}

fn refusal() -> Value {
    openai::error("your request is odd", "invalid_request_error", "odd_request")
}

#[test]
fn failure_of_every_endpoint_lists_every_attempt_with_the_real_status() {
    let faulty = Provider::start(|asked: &Asked| {
        let status = asked.json()["model"].as_str().unwrap_or_default().parse().unwrap();
        Script::json(status, &openai::error("no luck today", "server_error", "scripted"))
    });
    let tables = compatible("first", &faulty.url(), "")
        + &compatible("second", &faulty.url(), "forward = false")
        + "[models.doomed]\nendpoints = [\"first/500\", \"second/503\"]\n"
        + "[models.limited]\nendpoints = [\"first/429\"]\n"
        + SINK;
    let gateway = Gateway::start(&Config::new(tables));
    for body in [openai::chat("doomed"), openai::streaming_chat("doomed")] {
        let reply = gateway.chat(&body);
        assert!((500..=503).contains(&reply.status), "{reply}");
        let message = reply.message();
        for part in ["first/500", "second/503", "no luck today"] {
            assert!(message.contains(part), "no {part}: {message}");
        }
        assert_eq!(reply.only_header("x-torana-attempts"), "2");
        let record = gateway.inference(reply.only_header("x-torana-inference-id"));
        assert_eq!(record["outcome"], "error", "{record:#}");
    }
    let limited = gateway.chat(&openai::chat("limited")).expect(429);
    assert!(limited.message().contains("no luck today"), "{limited}");
}

/// A fault of [`Late::ALL`] at the endpoint `<path>/<position>`, each behind its own gate.
struct Breaking {
    gateway: Gateway,
    gates: Vec<[Gate; 2]>,
    _provider: Provider,
}

impl Breaking {
    fn start() -> Self {
        let gates: Vec<[Gate; 2]> = Late::ALL.iter().map(|_| Default::default()).collect();
        let held = gates.clone();
        let provider = Provider::start(move |asked: &Asked| {
            let model = asked.json()["model"].as_str().unwrap_or_default().to_owned();
            let (path, position) = model.split_once('-').unwrap();
            let position: usize = position.parse().unwrap();
            let path: usize = path.parse().unwrap();
            Late::ALL[position].script(asked, &held[position][path])
        });
        let tables = compatible("forwarded", &provider.url(), "")
            + &compatible("translated", &provider.url(), "forward = false")
            + SINK;
        let gateway = Gateway::start(&Config::new(tables));
        Self { gateway, gates, _provider: provider }
    }

    /// Side by side: some of the faults are waits.
    fn for_each(&self, check: impl Fn(&Gateway, &str, Late, &Gate) + Sync) {
        std::thread::scope(|scope| {
            for (position, fault) in Late::ALL.into_iter().enumerate() {
                for (path, name) in PATHS.into_iter().enumerate() {
                    let (gateway, check) = (&self.gateway, &check);
                    let gate = &self.gates[position][path];
                    let model = format!("{name}/{path}-{position}");
                    scope.spawn(move || check(gateway, &model, fault, gate));
                }
            }
        });
    }
}

#[test]
fn half_stream_ends_with_error_and_never_with_done() {
    Breaking::start().for_each(|gateway, model, fault, gate| {
        let mut stream = gateway.chat_stream(&openai::streaming_chat(model));
        let id = stream.header("x-torana-inference-id").unwrap().to_owned();
        let mut events = vec![stream.next_event().unwrap()];
        gate.open();
        let (rest, end) = stream.rest();
        events.extend(rest);
        let streamed = Streamed::of(events, end);
        let error = streamed.expect_broken();
        assert_eq!(streamed.chat.finish_reason, None, "{model} {fault:?}: {streamed:#?}");
        assert!(TEXT.starts_with(&streamed.chat.text), "{model} {fault:?}: {streamed:#?}");
        assert!(!streamed.chat.text.is_empty(), "{model} {fault:?}: {streamed:#?}");
        if fault == Late::ErrorEvent {
            let message = error["message"].as_str().unwrap_or_default();
            assert!(message.contains("the model fell over"), "{model}: {message}");
        }
        let record = gateway.inference(&id);
        assert_eq!(record["outcome"], "error", "{model} {fault:?}: {record:#}");
    });
}

#[test]
fn half_answer_is_an_error_and_never_a_clean_200() {
    Breaking::start().for_each(|gateway, model, fault, _| {
        let reply = gateway.chat(&openai::chat(model));
        assert!(reply.status >= 500, "{model} {fault:?}: {reply}");
        assert!(!reply.message().is_empty());
    });
}

#[test]
fn stream_that_says_finish_but_not_done_is_completed_or_failed_but_never_left_open() {
    let events = openai::events(TEXT);
    let provider = Provider::always(Script::sse().bytes(openai::sse(&events)));
    let gateway = Gateway::start(&both_paths(&provider));
    for path in PATHS {
        let streamed = Streamed::read(gateway.chat_stream(&openai::streaming_chat(path)));
        assert_eq!(streamed.end, End::Complete, "{path}");
        assert!(streamed.looks_complete() || streamed.error.is_some(), "{path}: {streamed:#?}");
    }
}

#[test]
fn provider_that_fails_every_second_time_costs_no_client_an_answer() {
    let (first, second) = (Provider::start(flapping()), Provider::start(openai::respond));
    let tables = compatible("first", &first.url(), "")
        + &compatible("second", &second.url(), "")
        + "[models.m]\nendpoints = [\"first/a\", \"second/b\"]\n";
    let gateway = Gateway::start(&Config::new(tables));
    for _ in 0..40 {
        gateway.chat(&openai::chat("m")).expect(200);
    }
    assert!(!first.asked().is_empty());
}

/// Fails every second time.
fn flapping() -> impl Fn(&Asked) -> Script + Send + Sync {
    let turn = std::sync::atomic::AtomicUsize::new(0);
    move |asked| match turn.fetch_add(1, std::sync::atomic::Ordering::SeqCst) % 2 {
        0 => Early::Status(500).script(),
        _ => openai::respond(asked),
    }
}
