//! A stream that breaks off is gone on with at another endpoint, where the operator wants it:
//! the client gets one answer, whole and once. Otherwise it breaks as it always did.

use serde_json::{Value, json};
use torana_tests::anthropic;
use torana_tests::chat::Streamed;
use torana_tests::client::Reply;
use torana_tests::dialects::Dialect;
use torana_tests::faults::{Early, Late};
use torana_tests::gateway::{Config, Gateway};
use torana_tests::openai::{self, TEXT};
use torana_tests::provider::{Asked, Provider};
use torana_tests::script::{Gate, Script};

use crate::setup::{SINK, compatible};

/// More breaks in a few seconds than a gateway at work would pay for.
const BUDGET: &str = "[routing]\nretries_per_second = 1000\n";

const WIRES: [&str; 2] = ["openai", "claude"];

/// Endpoints of both wires at one scripted provider, as `<name>-<wire>`.
fn providers(name: &str, provider: &Provider) -> String {
    let url = provider.url();
    compatible(&format!("{name}-openai"), &url, "")
        + &format!(
            "[providers.{name}-claude]\nplugin = \"provider-anthropic\"\nbase_url = \"{url}\"\n\
             timeouts = {{ first_byte_ms = 1500, idle_ms = 1500, total_ms = 5000 }}\n"
        )
}

fn model(name: &str, keys: &str, endpoints: &[String]) -> String {
    let endpoints = endpoints.join(", ");
    format!("[models.{name}]\nrouter = \"priority\"\n{keys}\nendpoints = [{endpoints}]\n")
}

fn endpoint(provider: &str, model: &str) -> String {
    format!("{{ provider = \"{provider}\", model = \"{model}\" }}")
}

fn prefilled(provider: &str, model: &str) -> String {
    format!("{{ provider = \"{provider}\", model = \"{model}\", prefill = true }}")
}

/// The parts of the whole stream in the dialect that was asked for, without `[DONE]`.
fn parts(asked: &Asked, text: &str) -> Vec<Vec<u8>> {
    if asked.path.ends_with("/messages") {
        let message = anthropic::message(asked, &[anthropic::text(text)]);
        let events = anthropic::events(&message);
        events.iter().map(|event| anthropic::sse(std::slice::from_ref(event))).collect()
    } else {
        let events = openai::events(text);
        events.iter().map(|event| openai::sse(std::slice::from_ref(event))).collect()
    }
}

/// The stream up to its event number `cut`, each event in a write of its own.
fn cut(asked: &Asked, text: &str, cut: usize) -> Script {
    let begun = parts(asked, text).into_iter().take(cut);
    begun.fold(Script::sse(), Script::bytes)
}

/// The number in the name of the model that is asked, such as `cut-3`.
fn number(asked: &Asked) -> usize {
    let name = asked.json()["model"].as_str().unwrap().to_owned();
    name.rsplit('-').next().unwrap().parse().unwrap()
}

/// What the assistant has said already, as the provider is told.
fn said(asked: &Asked) -> String {
    let body = asked.json();
    let messages = body["messages"].as_array().unwrap();
    let last = messages.last().unwrap();
    if last["role"] != "assistant" {
        assert_eq!(messages.len(), 1, "{body:#}");
        return String::new();
    }
    assert_eq!(messages.len(), 2, "{body:#}");
    let blocks = last["content"].as_array().cloned().unwrap_or_default();
    let text: String = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
    let text = last["content"].as_str().map_or(text, str::to_owned);
    assert_eq!(text.trim_end(), text, "providers refuse white space at the end");
    assert!(!text.is_empty(), "providers refuse an empty message");
    text
}

/// What is left of [`TEXT`] to say.
fn rest(asked: &Asked) -> String {
    let said = said(asked);
    TEXT.strip_prefix(&said).unwrap_or_else(|| panic!("{said:?} is not how it began")).to_owned()
}

/// Goes on with [`TEXT`] from where the assistant is.
fn go_on(asked: &Asked) -> Script {
    let text = rest(asked);
    let whole = parts(asked, &text).into_iter().fold(Script::sse(), Script::bytes);
    if asked.path.ends_with("/messages") { whole } else { whole.bytes("data: [DONE]\n\n") }
}

fn events(reply: &Reply) -> Vec<String> {
    let data = |line: &str| line.strip_prefix("data: ").map(str::to_owned);
    reply.text().lines().filter_map(data).collect()
}

fn resumes(reply: &Reply) -> Vec<String> {
    let comment = |line: &str| line.strip_prefix(": x-torana-resumed: ").map(str::to_owned);
    reply.text().lines().filter_map(comment).collect()
}

#[track_caller]
fn expect_whole(dialect: Dialect, reply: &Reply, context: &str) {
    let events = events(reply);
    assert_eq!(dialect.said_in(&events).text, TEXT, "{context}: {reply}");
    let ends = events.iter().filter(|data| dialect.ends(data)).count();
    assert_eq!(ends, 1, "{context}: {reply}");
    assert!(dialect.ends(events.last().unwrap()), "{context}: {reply}");
    assert!(events.iter().all(|data| dialect.failure(data).is_none()), "{context}: {reply}");
}

#[track_caller]
fn expect_broken(dialect: Dialect, reply: &Reply, context: &str) -> String {
    assert!(!reply.text().contains(dialect.end_marker()), "{context}: {reply}");
    let failure = dialect.failure(events(reply).last().unwrap());
    failure.unwrap_or_else(|| panic!("{context}: no error: {reply}"))
}

#[test]
fn answer_cut_after_any_event_is_whole_and_once_in_every_dialect() {
    let first = Provider::start(|asked| cut(asked, TEXT, number(asked)).close());
    let second = Provider::start(go_on);
    // As many as the longer of both streams has, and one more.
    let most = TEXT.chars().count() / 4 + 8;
    let mut gone_on = 0;
    for dialect in Dialect::ALL {
        gone_on += ask_each(dialect, &first, &second, most);
    }
    assert!(gone_on > 4 * 4 * 10, "{gone_on}");
}

/// Asks for an answer that is cut after each event, and says how many were gone on with.
fn ask_each(dialect: Dialect, first: &Provider, second: &Provider, most: usize) -> usize {
    // An endpoint for each question: after three failures in a row one is not asked any more.
    let pairs = WIRES.into_iter().flat_map(|one| WIRES.map(|other| (one, other)));
    let questions: Vec<(&str, &str, String)> = pairs
        .flat_map(|(one, other)| {
            (1..=most).map(move |cut| (one, other, format!("{one}-{other}-{cut}")))
        })
        .collect();
    let mut tables = providers("first", first) + &providers("second", second) + BUDGET;
    for (one, other, name) in &questions {
        let endpoints =
            [endpoint(&format!("first-{one}"), name), prefilled(&format!("second-{other}"), "s")];
        tables += &model(name, "resume = true", &endpoints);
    }
    let gateway = Gateway::start(&Config::new(tables));
    let mut gone_on = 0;
    for (_, _, name) in &questions {
        let context = format!("{dialect:?} {name}");
        second.forget();
        let reply = gateway.send(&dialect.request(&dialect.streaming(name))).expect(200);
        expect_whole(dialect, &reply, &context);
        assert!(reply.only_header("x-torana-endpoint").starts_with("first"), "{context}");
        assert_eq!(resumes(&reply).len(), second.asked().len(), "{context}: {reply}");
        gone_on += second.asked().len();
    }
    gone_on
}

/// A model whose first endpoint breaks and whose second goes on.
fn pair(keys: &str, first: &Provider, second: &Provider, prefill: bool) -> Gateway {
    let with = if prefill { prefilled } else { endpoint };
    let tables = providers("first", first)
        + &providers("second", second)
        + &model("m", keys, &[endpoint("first-openai", "a-3"), with("second-openai", "b")])
        + SINK;
    Gateway::start(&Config::new(tables))
}

fn ask(gateway: &Gateway, body: &Value) -> Reply {
    gateway.send(&openai::completion(body)).expect(200)
}

#[test]
fn resume_is_marked_in_stream_and_record_and_usage_counts_both() {
    let first = Provider::start(|asked| cut(asked, TEXT, number(asked)).close());
    let second = Provider::start(go_on);
    let gateway = pair("resume = true", &first, &second, true);
    let reply = ask(&gateway, &openai::streaming_chat("m"));
    expect_whole(Dialect::Chat, &reply, "");
    assert_eq!(resumes(&reply), ["second-openai/b"]);
    let ids: Vec<Value> = events(&reply)
        .iter()
        .filter_map(|data| serde_json::from_str::<Value>(data).ok())
        .map(|chunk| chunk["id"].clone())
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert!(reply.text().contains(": x-torana-estimated: usage"), "{reply}");

    let record = gateway.inference(reply.only_header("x-torana-inference-id"));
    assert_eq!(record["outcome"], "ok", "{record:#}");
    // The role, then two pieces of four characters.
    let expected = json!([{ "endpoint": "second-openai/b", "after_characters": 8 }]);
    assert_eq!(record["resumed"], expected, "{record:#}");
    assert_eq!(record["endpoint"], "second-openai/b");
    assert_eq!(record["response"]["blocks"][0]["text"], TEXT, "{record:#}");
    let attempts = record["model_inferences"].as_array().unwrap();
    assert_eq!(
        (&attempts[0]["reason"], &attempts[0]["outcome"]),
        (&json!("first"), &json!("error"))
    );
    assert_eq!((&attempts[1]["reason"], &attempts[1]["outcome"]), (&json!("resume"), &json!("ok")));
    assert_eq!(attempts[1]["usage"]["input"], 11, "as its provider reports it");
    // "Bonjour," is eight bytes, counted as two tokens; seven are reported.
    assert_eq!(record["usage"]["output"], 2 + 7, "{record:#}");
    assert_eq!(record["usage"]["estimated"], true, "{record:#}");
    let metrics = gateway.metrics();
    assert!(metrics.contains("torana_resumes_total 1"), "{metrics}");
}

#[test]
fn without_the_operators_word_a_stream_breaks_as_it_always_did() {
    let first = Provider::start(|asked| cut(asked, TEXT, number(asked)).close());
    let second = Provider::start(go_on);
    for (keys, prefill) in [("", true), ("resume = false", true), ("resume = true", false)] {
        let gateway = pair(keys, &first, &second, prefill);
        let reply = ask(&gateway, &openai::streaming_chat("m"));
        expect_broken(Dialect::Chat, &reply, keys);
        assert_eq!(second.asked().len(), 0, "{keys} {prefill}");
    }
}

#[test]
fn whatever_breaks_a_stream_another_endpoint_goes_on() {
    let gate = Gate::default();
    gate.open();
    let first = Provider::start(move |asked| Late::ALL[number(asked)].script(asked, &gate));
    let second = Provider::start(go_on);
    let mut tables = providers("first", &first) + &providers("second", &second);
    for fault in 0..Late::ALL.len() {
        let endpoints =
            [endpoint("first-openai", &format!("late-{fault}")), prefilled("second-claude", "b")];
        tables += &model(&format!("m-{fault}"), "resume = true", &endpoints);
    }
    let gateway = Gateway::start(&Config::new(tables));
    std::thread::scope(|scope| {
        for (position, fault) in Late::ALL.into_iter().enumerate() {
            let gateway = &gateway;
            scope.spawn(move || {
                let reply = ask(gateway, &openai::streaming_chat(&format!("m-{position}")));
                expect_whole(Dialect::Chat, &reply, &format!("{fault:?}"));
                assert_eq!(resumes(&reply).len(), 1, "{fault:?}: {reply}");
            });
        }
    });
}

#[test]
fn one_that_cannot_go_on_is_followed_by_another_and_two_are_the_most() {
    let broken = Provider::start(|asked| {
        if asked.json()["model"] == "down" {
            Early::Status(500).script()
        } else {
            cut(asked, TEXT, 3).close()
        }
    });
    let good = Provider::start(go_on);
    let first = || endpoint("bad-openai", "cut-3");
    let tables = providers("bad", &broken)
        + &providers("good", &good)
        + &model(
            "second",
            "resume = true",
            &[first(), prefilled("bad-openai", "down"), prefilled("good-openai", "b")],
        )
        + &model(
            "third",
            "resume = true",
            &[
                first(),
                prefilled("bad-openai", "down"),
                prefilled("bad-claude", "down"),
                prefilled("good-openai", "b"),
            ],
        )
        + SINK;
    let gateway = Gateway::start(&Config::new(tables));
    let reply = ask(&gateway, &openai::streaming_chat("second"));
    expect_whole(Dialect::Chat, &reply, "");
    assert_eq!(resumes(&reply), ["good-openai/b"]);
    let record = gateway.inference(reply.only_header("x-torana-inference-id"));
    assert_eq!(record["attempts"], 3, "{record:#}");

    good.forget();
    let reply = ask(&gateway, &openai::streaming_chat("third"));
    let message = expect_broken(Dialect::Chat, &reply, "two are the most");
    assert!(message.contains("broke off") || message.contains("ended before"), "{message}");
    assert_eq!(good.asked().len(), 0);
    let record = gateway.inference(reply.only_header("x-torana-inference-id"));
    assert_eq!(
        (&record["outcome"], &record["attempts"]),
        (&json!("error"), &json!(3)),
        "{record:#}"
    );
    assert!(record["resumed"].is_null(), "{record:#}");
}

#[test]
fn answer_that_breaks_again_is_gone_on_with_again() {
    let first = Provider::start(|asked| cut(asked, TEXT, 3).close());
    let second = Provider::start(|asked| cut(asked, &rest(asked), 4).close());
    let third = Provider::start(go_on);
    let mut tables =
        providers("first", &first) + &providers("second", &second) + &providers("third", &third);
    for dialect in Dialect::ALL {
        let endpoints = [
            endpoint("first-openai", &format!("{dialect:?}")),
            prefilled("second-claude", &format!("{dialect:?}")),
            prefilled("third-openai", "c"),
        ];
        tables += &model(&format!("{dialect:?}"), "resume = true", &endpoints);
    }
    let gateway = Gateway::start(&Config::new(tables));
    for dialect in Dialect::ALL {
        let body = dialect.streaming(&format!("{dialect:?}"));
        let reply = gateway.send(&dialect.request(&body)).expect(200);
        expect_whole(dialect, &reply, &format!("{dialect:?}"));
        assert_eq!(resumes(&reply).len(), 2, "{dialect:?}: {reply}");
    }
}

#[test]
fn before_any_text_whoever_there_is_goes_on() {
    let first = Provider::start(|asked| cut(asked, TEXT, 1).close());
    let second = Provider::start(|asked| {
        assert_eq!(said(asked), "");
        go_on(asked)
    });
    let endpoints = [
        endpoint("first-openai", "a"),
        endpoint("second-openai", "b"),
        prefilled("second-openai", "c"),
    ];
    let tables = providers("first", &first)
        + &providers("second", &second)
        + &model("m", "resume = true", &endpoints);
    let gateway = Gateway::start(&Config::new(tables));
    let reply = ask(&gateway, &openai::streaming_chat("m"));
    expect_whole(Dialect::Chat, &reply, "");
    assert_eq!(resumes(&reply), ["second-openai/b"]);
}

#[test]
fn tool_call_that_has_begun_is_not_gone_on_with() {
    let first = Provider::start(|_| {
        let events = openai::tool_events();
        Script::sse().bytes(openai::sse(&events[..4])).close()
    });
    let second = Provider::start(go_on);
    let gateway = pair("resume = true", &first, &second, true);
    let body = Dialect::Chat.with_tool(openai::streaming_chat("m"));
    expect_broken(Dialect::Chat, &ask(&gateway, &body), "tool call");
    assert_eq!(second.asked().len(), 0);
}

#[test]
fn what_cannot_be_gone_on_with_passes_as_it_is() {
    let first = Provider::start(openai::respond);
    let second = Provider::start(go_on);
    let gateway = pair("resume = true", &first, &second, true);
    let mut body = openai::streaming_chat("m");
    body["response_format"] = json!({ "type": "json_object" });
    let reply = ask(&gateway, &body);
    assert!(reply.text().contains("chatcmpl-scripted"), "the provider's own bytes: {reply}");
    let streamed = Streamed::read(gateway.chat_stream(&openai::streaming_chat("m")));
    assert_eq!(streamed.expect_complete().chat.text, TEXT);
}

#[test]
fn parameters_that_a_prefill_needs_are_sent_with_it() {
    let first = Provider::start(|asked| cut(asked, TEXT, 3).close());
    let second = Provider::start(go_on);
    let with = "{ provider = \"second-openai\", model = \"b\", prefill = true, prefill_parameters = \
                { continue_final_message = true, add_generation_prompt = false } }";
    let tables = providers("first", &first)
        + &providers("second", &second)
        + &model("m", "resume = true", &[endpoint("first-openai", "a"), with.to_owned()]);
    let gateway = Gateway::start(&Config::new(tables));
    let mut body = openai::streaming_chat("m");
    body["max_tokens"] = json!(50);
    expect_whole(Dialect::Chat, &ask(&gateway, &body), "");
    let asked = second.only_asked().json();
    assert_eq!(
        (&asked["continue_final_message"], &asked["add_generation_prompt"]),
        (&json!(true), &json!(false))
    );
    let limit = asked["max_tokens"].as_u64().or(asked["max_completion_tokens"].as_u64());
    assert_eq!(limit, Some(48), "what was said counts: {asked:#}");
}
