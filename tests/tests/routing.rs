//! How a plan is carried out, through the real binary: hedges and what they leave on record,
//! budgets that bound them and fallbacks, the client's own fallback models, and conversations
//! that stay where their prompt is cached.

use std::time::Duration;

use serde_json::{Value, json};
use torana_tests::chat::{Chat, Streamed};
use torana_tests::dialects::{self, Dialect};
use torana_tests::eventually::eventually;
use torana_tests::faults::Early;
use torana_tests::gateway::{Config, Gateway};
use torana_tests::guest;
use torana_tests::openai::{self, TEXT};
use torana_tests::provider::{Asked, Provider};
use torana_tests::script::{Gate, Script};

use crate::setup::{PATHS, SINK, compatible, plugin};

/// Longer than any answer that comes through takes, so that it follows a hedge.
const LATE: Duration = Duration::from_millis(200);

/// Models `forwarded` and `translated`: the endpoint of `first` is hedged by that of `second`
/// after a moment.
fn hedged(first: &Provider, second: &Provider) -> Config {
    let mut tables = plugin("hedging", &guest::path("router-hedging"), "") + SINK;
    for (path, keys) in [("forwarded", ""), ("translated", "forward = false")] {
        tables += &compatible(&format!("first-{path}"), &first.url(), keys);
        tables += &compatible(&format!("second-{path}"), &second.url(), keys);
        // Written the other way round: the order is the policy's.
        tables += &format!(
            "[routers.{path}]\nplugin = \"hedging\"\n\
             settings = {{ order = [\"first-{path}\"], hedge_after_ms = 50 }}\n\
             [models.{path}]\nrouter = \"{path}\"\n\
             endpoints = [\"second-{path}/m\", \"first-{path}/m\"]\n"
        );
    }
    Config::new(tables)
}

/// A sample of the metrics page by its name.
fn sample(gateway: &Gateway, name: &str) -> u64 {
    let metrics = gateway.metrics();
    let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap()
}

/// The rows of a call's attempts: endpoint, reason and outcome.
fn attempts(record: &Value) -> Vec<[&str; 3]> {
    let rows = record["model_inferences"].as_array().unwrap();
    rows.iter().map(|row| ["endpoint", "reason", "outcome"].map(|it| word(row, it))).collect()
}

fn word<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_else(|| panic!("no {key}: {row:#}"))
}

#[test]
fn the_faster_of_a_hedged_pair_answers_and_the_slow_one_is_let_go() {
    let slow = Provider::always(Early::Silence.script());
    let fast = Provider::start(openai::respond);
    let gateway = Gateway::start(&hedged(&slow, &fast));
    let mut hedges = 0;
    for path in PATHS {
        for body in [openai::chat(path), openai::streaming_chat(path)] {
            let reply = openai::completion(&body).stream(gateway.address());
            assert_eq!(reply.status, 200, "{path}");
            assert_eq!(reply.header("x-torana-attempts"), Some("2"), "{path}");
            let endpoint = format!("second-{path}/m");
            assert_eq!(reply.header("x-torana-endpoint"), Some(&*endpoint));
            let id = reply.header("x-torana-inference-id").unwrap().to_owned();
            if body["stream"] == true {
                assert_eq!(Streamed::read(reply).expect_complete().chat.text, TEXT);
            } else {
                assert_eq!(Chat::of(&reply.into_reply().unwrap()).text, TEXT);
            }
            hedges += 1;
            eventually("the slow one's connection is closed", || {
                (slow.abandoned() == hedges).then_some(())
            });
            assert_eq!(sample(&gateway, "torana_hedges_total"), hedges as u64);
            let record = gateway.inference(&id);
            let slow = format!("first-{path}/m");
            let rows = [[&*slow, "first", "lost"], [&*endpoint, "hedge", "ok"]];
            assert_eq!(attempts(&record), rows, "{record:#}");
            assert_eq!(record["endpoint"], endpoint, "{record:#}");
            assert_eq!(record["outcome"], "ok", "{record:#}");
            assert!(record["model_inferences"][0]["error"].is_null(), "losing is no error");
        }
    }
}

#[test]
fn a_hedge_that_fails_leaves_the_answer_to_the_one_it_was_for() {
    let gate = Gate::default();
    let held = gate.clone();
    let slow = Provider::start(move |asked: &Asked| {
        let answer = openai::answer(TEXT).to_string();
        assert!(!asked.streams());
        Script::promise("application/json", answer.len()).gate(&held).wait(LATE).bytes(answer)
    });
    let broken = Provider::always(Early::Status(500).script());
    let gateway = Gateway::start(&hedged(&slow, &broken));
    std::thread::scope(|scope| {
        let reply = scope.spawn(|| gateway.chat(&openai::chat("forwarded")).expect(200));
        eventually("the hedge is asked", || (broken.asked().len() == 1).then_some(()));
        gate.open();
        let reply = reply.join().unwrap();
        assert_eq!(reply.only_header("x-torana-endpoint"), "first-forwarded/m");
        assert_eq!(reply.only_header("x-torana-attempts"), "2");
        let record = gateway.inference(reply.only_header("x-torana-inference-id"));
        let rows = [["first-forwarded/m", "first", "ok"], ["second-forwarded/m", "hedge", "error"]];
        assert_eq!(attempts(&record), rows, "{record:#}");
        assert_eq!(record["endpoint"], "first-forwarded/m", "who answered: {record:#}");
    });
}

#[test]
fn a_hedge_that_is_slower_still_is_the_one_to_lose() {
    let gate = Gate::default();
    let held = gate.clone();
    let slow = Provider::start(move |asked: &Asked| {
        let events = openai::events(TEXT);
        assert!(asked.streams());
        Script::sse().gate(&held).bytes(openai::sse_done(&events))
    });
    let silent = Provider::always(Early::Silence.script());
    let gateway = Gateway::start(&hedged(&slow, &silent));
    let body = openai::streaming_chat("translated");
    std::thread::scope(|scope| {
        let stream = scope.spawn(|| openai::completion(&body).stream(gateway.address()));
        eventually("the hedge is asked", || (silent.asked().len() == 1).then_some(()));
        gate.open();
        let stream = stream.join().unwrap();
        let id = stream.header("x-torana-inference-id").unwrap().to_owned();
        assert_eq!(Streamed::read(stream).expect_complete().chat.text, TEXT);
        eventually("the hedge is let go", || (silent.abandoned() == 1).then_some(()));
        let record = gateway.inference(&id);
        let rows =
            [["first-translated/m", "first", "ok"], ["second-translated/m", "hedge", "lost"]];
        assert_eq!(attempts(&record), rows, "{record:#}");
        assert_eq!(record["endpoint"], "first-translated/m", "{record:#}");
    });
}

#[test]
fn an_endpoint_has_as_long_as_the_policy_says_and_then_the_next_one_is_tried() {
    let silent = Provider::always(Early::Silence.script());
    let healthy = Provider::start(openai::respond);
    let config = hedged(&silent, &healthy).replace("hedge_after_ms = 50", "timeout_ms = 100");
    let gateway = Gateway::start(&config);
    for body in [openai::chat("forwarded"), openai::streaming_chat("forwarded")] {
        let reply = openai::completion(&body).stream(gateway.address());
        let reply = reply.into_reply().unwrap().expect(200);
        let record = gateway.inference(reply.only_header("x-torana-inference-id"));
        let rows =
            [["first-forwarded/m", "first", "error"], ["second-forwarded/m", "fallback", "ok"]];
        assert_eq!(attempts(&record), rows, "{record:#}");
        let error = &record["model_inferences"][0]["error"];
        assert_eq!(error["kind"], "timeout", "{record:#}");
        // The operator's time-out is longer by far.
        assert!(error["message"].as_str().unwrap().contains("100 ms"), "{record:#}");
    }
}

#[test]
fn nothing_is_hedged_without_a_budget_for_it() {
    let slow = Provider::start(|asked: &Asked| {
        let answer = openai::answer(TEXT).to_string();
        assert!(!asked.streams());
        Script::promise("application/json", answer.len()).wait(LATE).bytes(answer)
    });
    let fast = Provider::start(openai::respond);
    let budget = "[routing]\nhedge_burst = 0\nhedge_percent = 0";
    let gateway = Gateway::start(&hedged(&slow, &fast).and(budget));
    for path in PATHS {
        let reply = gateway.chat(&openai::chat(path)).expect(200);
        assert_eq!(reply.only_header("x-torana-endpoint"), format!("first-{path}/m"));
        assert_eq!(reply.only_header("x-torana-attempts"), "1");
    }
    assert_eq!(fast.asked().len(), 0);
    assert_eq!(sample(&gateway, "torana_hedges_total"), 0);
}

#[test]
fn a_client_that_leaves_takes_both_attempts_of_a_hedged_pair_along() {
    let (first, second) =
        (Provider::always(Early::Silence.script()), Provider::always(Early::Silence.script()));
    let gateway = Gateway::start(&hedged(&first, &second));
    let client = openai::completion(&openai::chat("forwarded")).send_only(gateway.address());
    eventually("both are asked", || {
        (first.asked().len() == 1 && second.asked().len() == 1).then_some(())
    });
    drop(client);
    eventually("both connections are closed", || {
        (first.abandoned() == 1 && second.abandoned() == 1).then_some(())
    });
    let row = eventually("the call in the store", || {
        let page = gateway.get("/v1/inferences").expect(200).json();
        page["data"].as_array().unwrap().first().cloned()
    });
    assert_eq!(row["outcome"], "cancelled", "{row:#}");
}

/// The model `m`: three endpoints in this order.
fn in_order(providers: [&Provider; 3]) -> Config {
    let mut tables = SINK.to_owned();
    for (name, provider) in ["one", "two", "three"].into_iter().zip(providers) {
        tables += &compatible(name, &provider.url(), "");
    }
    tables += "[models.m]\nendpoints = [\"one/m\", \"two/m\", \"three/m\"]\n";
    Config::new(tables).top("default_router = \"priority\"")
}

#[test]
fn the_first_error_is_returned_when_the_retry_budget_is_empty() {
    let (broken, healthy) =
        (Provider::always(Early::Status(503).script()), Provider::start(openai::respond));
    let budget = "[routing]\nretry_percent = 0\nretries_per_second = 0";
    let gateway = Gateway::start(&in_order([&broken, &healthy, &healthy]).and(budget));
    for body in [openai::chat("m"), openai::streaming_chat("m")] {
        let reply = gateway.chat(&body).expect(503);
        assert!(reply.message().contains("scripted failure"), "{reply}");
        assert_eq!(reply.only_header("x-torana-attempts"), "1");
        let record = gateway.inference(reply.only_header("x-torana-inference-id"));
        assert_eq!(record["decision"]["gave_up"], "retry_budget", "{record:#}");
    }
    assert_eq!(healthy.asked().len(), 0);
}

#[test]
fn no_more_attempts_are_made_than_the_operator_allows() {
    let broken = Provider::always(Early::Status(500).script());
    let healthy = Provider::start(openai::respond);
    let bound = "[routing]\nmax_attempts = 2";
    let gateway = Gateway::start(&in_order([&broken, &broken, &healthy]).and(bound));
    let reply = gateway.chat(&openai::chat("m")).expect(500);
    assert_eq!(reply.only_header("x-torana-attempts"), "2");
    let record = gateway.inference(reply.only_header("x-torana-inference-id"));
    assert_eq!(record["decision"]["gave_up"], "max_attempts", "{record:#}");
    assert_eq!(healthy.asked().len(), 0);
}

/// Refuses the model `picky` as the client's mistake; says of others that it is them.
fn picky(asked: &Asked) -> Script {
    let body = asked.json();
    if body["model"] == "picky" {
        let error = openai::error("not for picky", "invalid_request_error", "picky");
        return Script::json(400, &error);
    }
    if !asked.path.ends_with("/chat/completions") {
        return dialects::respond(asked);
    }
    let mut answer = openai::answer(TEXT);
    answer["model"] = body["model"].clone();
    Script::json(200, &answer)
}

/// Models `a` (refused by its endpoint), `b` and `c`, and `closed`, whose credential is not
/// there.
fn fallbacks(provider: &Provider) -> Gateway {
    let tables = compatible("forwarded", &provider.url(), "")
        + &compatible("translated", &provider.url(), "forward = false")
        // Its preset's key is nowhere in the environment.
        + "[providers.mistral]\n"
        + "[models.a]\nendpoints = [\"forwarded/picky\", \"translated/picky\"]\n\
           [models.b]\nendpoints = [\"forwarded/real-b\"]\n\
           [models.c]\nendpoints = [\"translated/real-c\"]\n\
           [models.closed]\nendpoints = [\"mistral/x\"]\n"
        + SINK;
    Gateway::start(&Config::new(tables).top("default_router = \"priority\""))
}

fn with_models(mut body: Value, models: &[&str]) -> Value {
    body["models"] = json!(models);
    body
}

#[test]
fn the_next_model_answers_where_the_first_is_refused_as_a_mistake_of_the_client() {
    let provider = Provider::start(picky);
    let gateway = fallbacks(&provider);
    for (next, real, endpoint) in
        [("b", "real-b", "forwarded/real-b"), ("c", "real-c", "translated/real-c")]
    {
        provider.forget();
        let reply = gateway.chat(&with_models(openai::chat("a"), &[next])).expect(200);
        assert_eq!(reply.only_header("x-torana-endpoint"), endpoint);
        assert_eq!(reply.json()["model"], real, "{reply}");
        // The other endpoint of the same model would say the same.
        assert_eq!(reply.only_header("x-torana-attempts"), "2", "{reply}");
        let record = gateway.inference(reply.only_header("x-torana-inference-id"));
        let considered = record["decision"]["models"].as_array().unwrap();
        let names: Vec<_> = considered.iter().map(|it| it["model"].as_str().unwrap()).collect();
        assert_eq!(names, ["a", next], "{record:#}");
    }
    for dialect in [Dialect::Responses, Dialect::Messages] {
        let body = with_models(dialect.body("a"), &["b", "c"]);
        let reply = gateway.send(&dialect.request(&body)).expect(200);
        assert_eq!(dialect.said(&reply).text, TEXT, "{dialect:?}");
        assert_eq!(reply.only_header("x-torana-endpoint"), "forwarded/real-b", "{dialect:?}");
    }
}

#[test]
fn a_model_that_is_named_more_than_once_is_tried_once() {
    let provider = Provider::start(picky);
    let gateway = fallbacks(&provider);
    let repeated = with_models(openai::chat("b"), &["b", "b", "c"]);
    let reply = gateway.chat(&repeated).expect(200);
    assert_eq!(reply.only_header("x-torana-endpoint"), "forwarded/real-b");
    let record = gateway.inference(reply.only_header("x-torana-inference-id"));
    assert_eq!(
        record["decision"]["plan"],
        json!(["forwarded/real-b", "translated/real-c"]),
        "{record:#}"
    );
    let refused = gateway.chat(&openai::chat("a")).expect(400);
    assert_eq!(refused.message(), "not for picky");
}

#[test]
fn an_unknown_model_among_the_fallbacks_is_named() {
    let provider = Provider::start(picky);
    let gateway = fallbacks(&provider);
    for dialect in [Dialect::Chat, Dialect::Responses, Dialect::Messages] {
        let body = with_models(dialect.body("b"), &["c", "nobody-knows-me"]);
        let reply = gateway.send(&dialect.request(&body)).expect(404);
        assert!(dialect.error_message(&reply).contains("`nobody-knows-me`"), "{reply}");
    }
    assert_eq!(provider.asked().len(), 0, "a typing mistake costs nothing");
}

#[test]
fn a_model_that_nobody_can_serve_is_passed_over_for_the_next() {
    let provider = Provider::start(picky);
    let gateway = fallbacks(&provider);
    let reply = gateway.chat(&with_models(openai::chat("closed"), &["b"])).expect(200);
    assert_eq!(reply.only_header("x-torana-endpoint"), "forwarded/real-b");
    let record = gateway.inference(reply.only_header("x-torana-inference-id"));
    let left_out = &record["decision"]["models"][0]["left_out"][0];
    assert_eq!(left_out["endpoint"], "mistral/x", "{record:#}");
    assert_eq!(left_out["reason"], "no_credential", "{record:#}");
}

/// Two endpoints that cost the same and give a rebate for what they have cached.
fn cached(provider: &Provider) -> Gateway {
    let price = "price = { input = 2.0, output = 8.0, cached_input = 0.2 }";
    let endpoint = |name: &str| format!("{{ provider = \"{name}\", model = \"m\", {price} }}");
    let tables = compatible("left", &provider.url(), "")
        + &compatible("right", &provider.url(), "")
        + &format!("[models.m]\nendpoints = [{}, {}]\n", endpoint("left"), endpoint("right"))
        + SINK;
    Gateway::start(&Config::new(tables))
}

/// What the policy was told to be cached at each endpoint, for a call by its id.
fn cached_tokens(gateway: &Gateway, id: &str) -> Vec<(String, u64)> {
    let record = gateway.inference(id);
    let policy = &record["decision"]["models"][0]["policy"];
    let names = policy["endpoints"].as_array().unwrap().iter();
    let rows = policy["candidates"].as_array().unwrap().iter();
    names
        .zip(rows)
        .map(|(endpoint, row)| {
            // Zeros are not written.
            let tokens = row["cached_tokens"].as_u64().unwrap_or_default();
            let saving = row["cache_saving_usd"].as_f64().unwrap_or_default();
            assert_eq!(saving > 0.0, tokens > 0, "a rebate for what is cached: {record:#}");
            (endpoint["name"].as_str().unwrap().to_owned(), tokens)
        })
        .collect()
}

#[test]
fn a_session_is_worth_its_cached_prompt_where_it_was_before_and_nowhere_else() {
    let provider = Provider::start(|_: &Asked| {
        let mut answer = openai::answer(TEXT);
        answer["usage"]["prompt_tokens_details"] = json!({ "cached_tokens": 10 });
        Script::json(200, &answer)
    });
    let gateway = cached(&provider);
    let prompt = "words that are worth caching ".repeat(50);
    let ask = |session: Option<&str>, header: Option<&str>, number: usize| {
        let mut body = openai::chat("m");
        body["messages"][0]["content"] = json!(format!("{number} {prompt}"));
        if let Some(session) = session {
            body["session_id"] = json!(session);
        }
        let mut request = openai::completion(&body);
        if let Some(header) = header {
            request = request.header("x-session-id", header);
        }
        let reply = gateway.send(&request).expect(200);
        let header = |name: &str| reply.only_header(name).to_owned();
        (header("x-torana-endpoint"), header("x-torana-inference-id"))
    };
    // Each opens with other words: only the name says that they are one conversation.
    let (served, first) = ask(Some("talk-1"), None, 1);
    assert!(cached_tokens(&gateway, &first).iter().all(|(_, tokens)| *tokens == 0));
    for (session, header, number) in
        [(Some("talk-1"), None, 2), (None, Some("talk-1"), 3), (Some("talk-1"), Some("other"), 4)]
    {
        let (_, id) = ask(session, header, number);
        let cached = cached_tokens(&gateway, &id);
        let here = cached.iter().find(|(name, _)| *name == served).unwrap();
        assert!(here.1 > 0, "{session:?} {header:?}: {cached:?}");
    }
    let (_, stranger) = ask(Some("talk-2"), None, 5);
    let cached = cached_tokens(&gateway, &stranger);
    assert!(cached.iter().all(|(_, tokens)| *tokens == 0), "{cached:?}");
}

#[test]
fn a_cache_that_gives_nothing_is_not_counted_on_for_long() {
    // Its usage says nothing of a cache.
    let provider = Provider::start(openai::respond);
    let gateway = cached(&provider);
    let mut body = openai::chat("m");
    body["session_id"] = json!("talk");
    body["messages"][0]["content"] = json!("words that are worth caching ".repeat(50));
    let seen: Vec<u64> = (0..3)
        .map(|_| {
            let reply = gateway.send(&openai::completion(&body)).expect(200);
            let cached = cached_tokens(&gateway, reply.only_header("x-torana-inference-id"));
            cached.iter().map(|(_, tokens)| tokens).sum()
        })
        .collect();
    assert!(seen[0] == 0 && seen[1] > 0 && seen[2] == 0, "{seen:?}");
}
