//! Every dialect that clients speak, at every kind of endpoint: forwarded byte for byte,
//! translated without loss, ended as the dialect's clients expect it, and honest about what
//! was left out, estimated or wrong.

use std::time::Duration;

use serde_json::{Value, json};
use torana_tests::anthropic;
use torana_tests::chat::Chat;
use torana_tests::client::{End, Reply, Request, Stream};
use torana_tests::dialects::{self, Dialect, PROVIDERS_RESPONSE, Said};
use torana_tests::eventually::eventually;
use torana_tests::gateway::{Config, Folder, Gateway};
use torana_tests::openai::{self, TEXT};
use torana_tests::provider::{Asked, Provider};
use torana_tests::script::{Gate, Script};

use crate::setup::SINK;

/// All routes of a provider that speaks OpenAI's dialects.
const ALL_WIRES: &str = "wires = [\"chat\", \"completions\", \"responses\", \"embeddings\"]";

/// One upstream, reached in three ways: `openai` and `claude` have their dialects' routes,
/// `chat` is translated to. The models `openai-model`, `claude-model` and `chat-model` are
/// there, each asked for as `scripted`.
fn tables(provider: &Provider) -> String {
    let url = provider.url();
    let timeouts = "timeouts = { first_byte_ms = 3000, idle_ms = 3000, total_ms = 8000 }";
    format!(
        "[providers.openai]\nplugin = \"provider-openai\"\nbase_url = \"{url}\"\n{timeouts}\n\
         settings = {{ {ALL_WIRES} }}\n\
         [providers.claude]\nplugin = \"provider-anthropic\"\nbase_url = \"{url}\"\n{timeouts}\n\
         [providers.chat]\nplugin = \"provider-openai\"\nbase_url = \"{url}\"\n{timeouts}\n\
         forward = false\n\
         [models.openai-model]\nendpoints = [\"openai/scripted\"]\n\
         [models.claude-model]\nendpoints = [\"claude/scripted\"]\n\
         [models.chat-model]\nendpoints = [\"chat/scripted\"]\n{SINK}"
    )
}

fn start(provider: &Provider) -> Gateway {
    Gateway::start(&Config::new(tables(provider)))
}

/// Which model has the dialect's own route, and which ones do not.
fn own(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Messages => "claude-model",
        _ => "openai-model",
    }
}

fn foreign(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::Messages => &["openai-model", "chat-model"],
        _ => &["claude-model", "chat-model"],
    }
}

/// The whole bytes of an answer that streams.
fn streamed(gateway: &Gateway, request: &Request) -> Reply {
    request.stream(gateway.address()).into_reply().unwrap()
}

#[track_caller]
fn events(stream: &mut Stream) -> Vec<String> {
    let (events, end) = stream.rest();
    assert_eq!(end, End::Complete, "{events:#?}");
    events
}

#[test]
fn every_route_answers_under_both_prefixes() {
    let provider = Provider::start(dialects::respond);
    let gateway = start(&provider);
    let embeddings = json!({ "model": "openai-model", "input": "hello" });
    let count = Dialect::Messages.body("claude-model");
    for prefix in ["/v1", "/openai/v1"] {
        for dialect in Dialect::ALL {
            let path = dialect.path().replace("/v1", prefix);
            let reply = gateway.send(&Request::post(path, &dialect.body(own(dialect))));
            assert_eq!(dialect.said(&reply.expect(200)).text, TEXT, "{prefix} {dialect:?}");
        }
        let reply = gateway.send(&Request::post(format!("{prefix}/embeddings"), &embeddings));
        assert_eq!(reply.expect(200).json(), dialects::embeddings());
        let path = format!("{prefix}/messages/count_tokens");
        let reply = gateway.send(&Request::post(path, &count)).expect(200);
        assert_eq!(reply.json(), json!({ "input_tokens": 42 }));
        gateway.get(&format!("{prefix}/models")).expect(200);
        gateway.get(&format!("{prefix}/models/openai-model")).expect(200);
        gateway.get(&format!("{prefix}/inferences")).expect(200);
    }
}

#[test]
fn forwarded_bodies_and_answers_are_the_same_bytes_but_for_the_model() {
    let provider = Provider::start(dialects::respond);
    let gateway = start(&provider);
    // Spellings that a parser would not keep: spaces, exponents, escapes, order, strangers.
    let odd = r#" , "temperature" : 1.50e0, "x_new":{"b":[1E2,"\u00e9\/"],"a":null}, "zz": 7 }"#;
    let cases = [
        (
            Dialect::Chat.path(),
            "openai-model",
            r#""messages":[{"role":"user","content":"h\u0069"}]"#,
        ),
        (Dialect::Completions.path(), "openai-model", r#""prompt":["a" ,"b"]"#),
        (Dialect::Responses.path(), "openai-model", r#""input":[{"role":"user","content":"hi"}]"#),
        ("/v1/embeddings", "openai-model", r#""input":["a", "b"],"encoding_format":"float""#),
        (
            Dialect::Messages.path(),
            "claude-model",
            r#""max_tokens":9,"messages":[{"role":"user","content":"hi"}]"#,
        ),
        (
            "/v1/messages/count_tokens",
            "claude-model",
            r#""messages":[{"role":"user","content":"hi"}]"#,
        ),
    ];
    for (path, model, question) in cases {
        provider.forget();
        let body = |model: &str| format!("{{ \"model\" :\"{model}\", {question}{odd}");
        let request = Request::post_bytes(path, body(model).into_bytes());
        let reply = gateway.send(&request).expect(200);
        let asked = provider.only_asked();
        assert_eq!(asked.path, path);
        assert_eq!(asked.text(), body("scripted"), "{path}");
        let direct = Request::post_bytes(path, body("scripted").into_bytes());
        assert_eq!(reply.text(), direct.send(provider.address()).text(), "{path}");
    }
}

#[test]
fn forwarded_streams_are_the_same_bytes() {
    let provider = Provider::start(dialects::respond);
    let gateway = start(&provider);
    for dialect in Dialect::ALL {
        let body = dialect.streaming(own(dialect));
        let reply = streamed(&gateway, &dialect.request(&body)).expect(200);
        let direct = streamed_directly(&provider, dialect);
        assert_eq!(reply.text(), direct, "{dialect:?}");
    }
}

fn streamed_directly(provider: &Provider, dialect: Dialect) -> String {
    let request = dialect.request(&dialect.streaming("scripted"));
    request.stream(provider.address()).into_reply().unwrap().text()
}

#[test]
fn every_dialect_says_the_same_at_endpoints_of_another() {
    let provider = Provider::start(dialects::respond);
    let gateway = start(&provider);
    let expected = Said { text: TEXT.to_owned(), calls: Vec::new(), usage: Some((11, 7)) };
    for dialect in Dialect::ALL {
        for model in [own(dialect)].iter().chain(foreign(dialect)) {
            let reply = gateway.send(&dialect.request(&dialect.body(model))).expect(200);
            assert_eq!(dialect.said(&reply), expected, "{dialect:?} at {model}: {reply}");
            let request = dialect.request(&dialect.streaming(model));
            let mut stream = request.stream(gateway.address());
            assert_eq!(stream.status, 200, "{dialect:?} at {model}");
            let events = events(&mut stream);
            let last = events.last().unwrap();
            assert!(dialect.ends(last), "{dialect:?} at {model}: {last}");
            assert_eq!(dialect.said_in(&events), expected, "{dialect:?} at {model}: {events:#?}");
        }
    }
}

#[test]
fn tool_calls_survive_between_all_dialects() {
    let provider = Provider::start(call_tools);
    let gateway = start(&provider);
    let calls: Vec<(String, Value)> =
        ["Zürich", "Paris"].map(|city| ("weather".to_owned(), json!({ "city": city }))).into();
    for dialect in Dialect::WITH_TOOLS {
        for model in ["claude-model", "chat-model"] {
            let body = dialect.with_tool(dialect.body(model));
            let reply = gateway.send(&dialect.request(&body)).expect(200);
            assert_eq!(dialect.said(&reply).calls, calls, "{dialect:?} at {model}: {reply}");
            assert_eq!(reply.header("x-torana-invalid-tool-calls"), None, "{reply}");
            assert_eq!(reply.header(DROPPED), None, "nothing is lost: {reply}");
            let body = dialect.with_tool(dialect.streaming(model));
            let events = events(&mut dialect.request(&body).stream(gateway.address()));
            assert_eq!(
                dialect.said_in(&events).calls,
                calls,
                "{dialect:?} at {model}: {events:#?}"
            );
            let asked = provider.asked().pop().unwrap().json();
            let tool = &asked["tools"][0];
            let schema = match model {
                "claude-model" => &tool["input_schema"],
                _ => &tool["function"]["parameters"],
            };
            assert_eq!(schema["required"], json!(["city"]), "{dialect:?} at {model}: {asked:#}");
        }
    }
}

fn call_tools(asked: &Asked) -> Script {
    if !asked.path.ends_with("/messages") {
        return openai::respond_with_tools(asked);
    }
    let call = |id: &str, city: &str| anthropic::tool_use(id, "weather", &json!({ "city": city }));
    anthropic::respond(asked, &[call("toolu_1", "Zürich"), call("toolu_2", "Paris")])
}

#[test]
fn cut_stream_ends_with_an_error_of_its_dialect_and_never_with_an_end_marker() {
    for ending in ["closed", "clean"] {
        let provider = Provider::start(move |asked| {
            let begun = begun(route_of(asked));
            if ending == "closed" { begun.close() } else { begun }
        });
        let gateway = start(&provider);
        for dialect in Dialect::ALL {
            for model in [own(dialect)].iter().chain(foreign(dialect)) {
                let case = format!("{dialect:?} at {model}, {ending}");
                let reply = streamed(&gateway, &dialect.request(&dialect.streaming(model)));
                expect_broken(dialect, &reply, &case);
            }
        }
    }
}

/// Half of the ordinary stream of the dialect.
fn begun(dialect: Dialect) -> Script {
    let events = dialects::stream_events(dialect);
    let half = events.len() / 2;
    Script::sse().bytes(events.into_iter().take(half).collect::<Vec<_>>().concat())
}

fn route_of(asked: &Asked) -> Dialect {
    let found = [Dialect::Chat, Dialect::Completions, Dialect::Responses, Dialect::Messages];
    found.into_iter().find(|dialect| asked.path.ends_with(dialect.path())).unwrap()
}

/// The message of the error event that a stream has to end with.
#[track_caller]
fn expect_broken(dialect: Dialect, reply: &Reply, case: &str) -> String {
    assert_eq!(reply.status, 200, "{case}: {reply}");
    let text = reply.text();
    for marker in ["[DONE]", "message_stop", "response.completed", "response.incomplete"] {
        assert!(!text.contains(marker), "{case}: it looks complete ({marker}): {text}");
    }
    let last = text.trim_end().rsplit("\n\n").next().unwrap();
    let data = last.lines().find_map(|line| line.strip_prefix("data: "));
    let message = data.and_then(|data| dialect.failure(data));
    message.unwrap_or_else(|| panic!("{case}: the last event is no {dialect:?} error: {text}"))
}

#[test]
fn json_error_after_the_begin_of_a_stream_becomes_an_error_event() {
    let provider = Provider::start(|asked| {
        let error = match route_of(asked) {
            Dialect::Messages => anthropic::error("overloaded_error", "the engine fell over"),
            _ => openai::error("the engine fell over", "server_error", "engine_dead"),
        };
        begun(route_of(asked)).bytes(error.to_string())
    });
    let gateway = start(&provider);
    for dialect in Dialect::ALL {
        for model in [own(dialect)].iter().chain(foreign(dialect)) {
            let case = format!("{dialect:?} at {model}");
            let reply = streamed(&gateway, &dialect.request(&dialect.streaming(model)));
            let message = expect_broken(dialect, &reply, &case);
            assert!(message.contains("the engine fell over"), "{case}: {reply}");
        }
    }
}

#[test]
fn end_marker_comes_only_after_the_row_is_written() {
    let gate = Gate::default();
    let held = gate.clone();
    let provider = Provider::start(move |asked| {
        let mut events = dialects::stream_events(route_of(asked));
        let last = events.pop().unwrap_or_default();
        Script::sse().bytes(events.concat()).gate(&held).bytes(last)
    });
    let gateway = start(&provider);
    let mut streams = Vec::new();
    for dialect in Dialect::ALL {
        for model in [own(dialect)].iter().chain(foreign(dialect)) {
            let mut stream = dialect.request(&dialect.streaming(model)).stream(gateway.address());
            let first = stream.next_event().unwrap();
            let id = stream.header("x-torana-inference-id").unwrap().to_owned();
            assert!(!journal_has(&gateway, &id), "{dialect:?} at {model}: it still runs");
            streams.push((dialect, *model, id, stream, first));
        }
    }
    gate.open();
    for (dialect, model, id, mut stream, mut data) in streams {
        while !dialect.ends(&data) {
            data = stream.next_event().unwrap_or_else(|| panic!("no end: {dialect:?} at {model}"));
        }
        assert!(journal_has(&gateway, &id), "{dialect:?} at {model}: told before it was kept");
        let reply = gateway.get(&format!("/v1/inferences/{id}")).expect(200);
        let record = reply.json();
        assert_eq!(record["outcome"], "ok", "{dialect:?} at {model}: {record:#}");
        assert_eq!(record["usage"]["input"], 11, "{dialect:?} at {model}: {record:#}");
        assert_eq!(record["usage"]["output"], 7, "{dialect:?} at {model}: {record:#}");
    }
}

/// The row is in the journal's files, whatever the sinks have of it.
fn journal_has(gateway: &Gateway, id: &str) -> bool {
    let files = std::fs::read_dir(gateway.folder.path("data/journal")).unwrap();
    files
        .filter_map(|file| std::fs::read(file.unwrap().path()).ok())
        .any(|bytes| bytes.windows(id.len()).any(|it| it == id.as_bytes()))
}

#[test]
fn silence_is_bridged_with_comments_in_every_dialect() {
    let gate = Gate::default();
    let held = gate.clone();
    let provider = Provider::start(move |asked| {
        let events = dialects::stream_events(route_of(asked));
        let half = events.len() / 2;
        let (first, rest) = events.split_at(half);
        Script::sse().bytes(first.concat()).gate(&held).bytes(rest.concat())
    });
    let config = Config::new(tables(&provider)).server("keep_alive_comment_ms = 40");
    let gateway = Gateway::start(&config);
    let mut streams: Vec<(Dialect, Stream)> = Vec::new();
    for dialect in Dialect::ALL {
        for model in [own(dialect)].iter().chain(foreign(dialect)) {
            let mut stream = dialect.request(&dialect.streaming(model)).stream(gateway.address());
            stream.wait_for_comment();
            streams.push((dialect, stream));
        }
    }
    gate.open();
    for (dialect, mut stream) in streams {
        let events = events(&mut stream);
        assert!(dialect.ends(events.last().unwrap()), "{dialect:?}: {events:#?}");
        assert_eq!(dialect.said_in(&events).text, TEXT, "{dialect:?}");
    }
}

#[test]
fn missing_usage_is_estimated_and_marked() {
    let provider = Provider::start(|asked| {
        if !asked.streams() {
            let mut answer = openai::answer(TEXT);
            answer.as_object_mut().unwrap().remove("usage");
            return Script::json(200, &answer);
        }
        let mut events = openai::events(TEXT);
        events.pop();
        Script::sse().bytes(openai::sse_done(&events))
    });
    let gateway = start(&provider);
    // Forwarded chat, and every dialect that is translated to it.
    let cases = Dialect::ALL.map(|dialect| (dialect, "chat-model"));
    for (dialect, model) in cases.into_iter().chain([(Dialect::Chat, "openai-model")]) {
        let case = format!("{dialect:?} at {model}");
        let reply = gateway.send(&dialect.request(&dialect.body(model))).expect(200);
        assert_eq!(reply.header("x-torana-estimated"), Some("usage"), "{case}: {reply}");
        if model == "chat-model" {
            let (input, output) = dialect.said(&reply).usage.unwrap();
            assert!(input > 0 && output > 0, "{case}: {reply}");
        }
        expect_estimated(&gateway, reply.only_header("x-torana-inference-id"), &case);

        let mut stream = dialect.request(&dialect.streaming(model)).stream(gateway.address());
        let id = stream.header("x-torana-inference-id").unwrap().to_owned();
        let events = events(&mut stream);
        assert!(dialect.ends(events.last().unwrap()), "{case}: {events:#?}");
        if model == "chat-model" {
            let usage = dialect.said_in(&events).usage;
            assert!(usage.is_some_and(|(_, output)| output > 0), "{case}: {usage:?} {events:#?}");
        }
        expect_estimated(&gateway, &id, &case);
        let raw = streamed(&gateway, &dialect.request(&dialect.streaming(model))).text();
        assert!(raw.contains(": x-torana-estimated: usage\n\n"), "{case}: {raw}");
    }
}

#[track_caller]
fn expect_estimated(gateway: &Gateway, id: &str, case: &str) {
    let record = gateway.inference(id);
    assert_eq!(record["usage"]["estimated"], true, "{case}: {record:#}");
    let output = record["usage"]["output"].as_u64().unwrap();
    // Four bytes a token, within the third that is promised.
    let expected = TEXT.len() as u64 / 4;
    assert!((expected / 2..=expected * 2).contains(&output), "{case}: {record:#}");
}

/// Two endpoints: `poor`, which takes neither a seed nor audio, before `rich`.
fn unequal(provider: &Provider) -> String {
    let url = provider.url();
    let poor = "unsupported = [\"seed\", \"top_k\"], inputs = []";
    format!(
        "[providers.poor]\nplugin = \"provider-openai\"\nbase_url = \"{url}\"\nforward = false\n\
         settings = {{ {poor} }}\n\
         [providers.rich]\nplugin = \"provider-openai\"\nbase_url = \"{url}\"\nforward = false\n\
         [models.poor-model]\nendpoints = [\"poor/p\"]\n\
         [models.both]\nrouter = \"priority\"\nendpoints = [\"poor/p\", \"rich/r\"]\n{SINK}"
    )
}

const POLICY: &str = "x-torana-unsupported-params";
const DROPPED: &str = "x-torana-dropped-params";

fn seeded(model: &str) -> Value {
    let mut body = openai::chat(model);
    body["seed"] = json!(7);
    body["temperature"] = json!(0.5);
    body
}

#[test]
fn parameters_that_an_endpoint_lacks_follow_the_request_then_the_key_then_the_server() {
    let provider = Provider::start(openai::respond);
    let keys = "[keys.plain]\nsecret = \"env:PLAIN\"\n\
                [keys.strict]\nsecret = \"env:STRICT\"\nunsupported_params = \"reject\"\n";
    let tables = unequal(&provider) + keys;
    let config = Config::new(tables).server("unsupported_params = \"ignore\"");
    let environment = [("PLAIN", "sk-plain"), ("STRICT", "sk-strict")];
    let gateway = Gateway::start_in(Folder::new(&config), &environment);
    let ask = |key: &str, policy: Option<&str>| {
        let key = format!("Bearer sk-{key}");
        let request = openai::completion(&seeded("poor-model")).header("authorization", &key);
        let request = policy.iter().fold(request, |it, policy| it.header(POLICY, policy));
        gateway.send(&request)
    };
    let cases = [
        ("plain", None, "ignore"),
        ("strict", None, "reject"),
        ("plain", Some("reject"), "reject"),
        ("plain", Some("drop-and-report"), "drop-and-report"),
        ("strict", Some("ignore"), "ignore"),
    ];
    for (key, policy, expected) in cases {
        provider.forget();
        let reply = ask(key, policy);
        let case = format!("{key} {policy:?}: {reply}");
        if expected == "reject" {
            let reply = reply.expect(400);
            let message = reply.message();
            assert!(message.contains("poor/p") && message.contains("seed"), "{case}");
            assert_eq!(reply.error("code"), "unsupported_feature", "{case}");
            assert!(provider.asked().is_empty(), "{case}");
            continue;
        }
        let reply = reply.expect(200);
        let reported = (expected == "drop-and-report").then_some("seed");
        assert_eq!(reply.header(DROPPED), reported, "{case}");
        let asked = provider.only_asked().json();
        assert_eq!(asked["seed"], Value::Null, "{case}");
        assert_eq!(asked["temperature"], 0.5, "{case}");
    }
    let reply = ask("plain", Some("drop")).expect(400);
    assert_eq!(reply.error("param"), POLICY, "{reply}");
}

#[test]
fn dropped_parameters_are_reported_by_default_in_the_clients_words_and_recorded() {
    let provider = Provider::start(dialects::respond);
    let gateway = Gateway::start(&Config::new(unequal(&provider)));
    let reply = gateway.chat(&seeded("poor-model")).expect(200);
    assert_eq!(reply.only_header(DROPPED), "seed");
    let record = gateway.inference(reply.only_header("x-torana-inference-id"));
    assert_eq!(record["dropped_params"], json!(["seed"]), "{record:#}");
    let mut body = seeded("poor-model");
    body["stream"] = json!(true);
    let stream = gateway.chat_stream(&body);
    assert_eq!(stream.header(DROPPED), Some("seed"));
    let mut body = Dialect::Messages.body("poor-model");
    body["top_k"] = json!(5);
    let reply = gateway.send(&Dialect::Messages.request(&body)).expect(200);
    assert_eq!(reply.only_header(DROPPED), "top_k");
}

#[test]
fn what_one_endpoint_cannot_take_goes_to_another() {
    let provider = Provider::start(openai::respond);
    let gateway = Gateway::start(&Config::new(unequal(&provider)));
    let request = openai::completion(&seeded("both")).header(POLICY, "reject");
    let reply = gateway.send(&request).expect(200);
    assert_eq!(reply.only_header("x-torana-endpoint"), "rich/r");
    assert_eq!(reply.only_header("x-torana-attempts"), "2");

    for (dialect, body, place) in [
        (Dialect::Chat, with_audio("both"), "/messages/0/content/1/type"),
        (Dialect::Responses, with_picture("both"), "/messages/0/content/1/type"),
    ] {
        provider.forget();
        let reply = gateway.send(&dialect.request(&body)).expect(200);
        assert_eq!(reply.only_header("x-torana-endpoint"), "rich/r", "{reply}");
        let asked = provider.only_asked().json();
        assert!(asked.pointer(place).is_some(), "{dialect:?}: {asked:#}");
    }
}

#[test]
fn several_prompts_go_past_an_endpoint_that_takes_one_to_one_that_takes_all() {
    let provider = Provider::start(dialects::respond);
    let tables = tables(&provider)
        + "[models.either]\nrouter = \"priority\"\n\
           endpoints = [\"chat/scripted\", \"openai/scripted\"]\n";
    let gateway = Gateway::start(&Config::new(tables));
    for stream in [false, true] {
        provider.forget();
        let mut body = Dialect::Completions.body("either");
        body["prompt"] = json!(["one", "two"]);
        body["stream"] = json!(stream);
        let reply = streamed(&gateway, &Dialect::Completions.request(&body)).expect(200);
        assert_eq!(reply.only_header("x-torana-endpoint"), "openai/scripted", "{reply}");
        let asked = provider.only_asked();
        assert!(asked.path.ends_with("/v1/completions"), "{}", asked.path);
        assert_eq!(asked.json()["prompt"], json!(["one", "two"]), "{}", asked.text());
    }
    // One prompt is for either, and so for the first.
    let body = Dialect::Completions.body("either");
    let reply = gateway.send(&Dialect::Completions.request(&body)).expect(200);
    assert_eq!(reply.only_header("x-torana-endpoint"), "chat/scripted", "{reply}");
}

fn with_audio(model: &str) -> Value {
    let mut body = openai::chat(model);
    body["messages"][0]["content"] = json!([
        { "type": "text", "text": "What is said?" },
        { "type": "input_audio", "input_audio": { "data": "UklGRg==", "format": "wav" } },
    ]);
    body
}

fn with_picture(model: &str) -> Value {
    json!({ "model": model, "input": [{ "role": "user", "content": [
        { "type": "input_text", "text": "What is this?" },
        { "type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=" },
    ] }] })
}

#[test]
fn content_that_no_endpoint_takes_is_refused_with_endpoint_and_feature() {
    let provider = Provider::start(openai::respond);
    let gateway = Gateway::start(&Config::new(unequal(&provider)));
    let picture = |model: &str| {
        let mut body = Dialect::Messages.body(model);
        body["messages"][0]["content"] = json!([{ "type": "image",
            "source": { "type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo=" } }]);
        body
    };
    for (dialect, body, feature) in [
        (Dialect::Chat, with_audio("poor-model"), "audio"),
        (Dialect::Responses, with_picture("poor-model"), "image"),
        (Dialect::Messages, picture("poor-model"), "image"),
    ] {
        let reply = gateway.send(&dialect.request(&body)).expect(400);
        let message = dialect.error_message(&reply);
        assert!(message.contains("poor/p"), "the endpoint is named: {reply}");
        assert!(message.contains(feature), "the feature is named: {reply}");
        assert_eq!(dialect.error_code(&reply), "unsupported_feature", "{reply}");
    }
    assert!(provider.asked().is_empty());
}

#[test]
fn tool_calls_that_do_not_fit_are_delivered_raw_and_flagged() {
    // A city that is a number, and a tool that nobody offered.
    let provider = Provider::start(|asked| {
        if asked.path.ends_with("/messages") {
            let wrong = anthropic::tool_use("toolu_1", "weather", &json!({ "city": 5 }));
            let unknown = anthropic::tool_use("toolu_2", "launch", &json!({}));
            return anthropic::respond(asked, &[wrong, unknown]);
        }
        let call = |index: u32, name: &str, arguments: &str| {
            json!({ "index": index, "id": format!("call_{index}"), "type": "function",
                    "function": { "name": name, "arguments": arguments } })
        };
        let calls = [call(0, "weather", "{\"city\": 5}"), call(1, "launch", "{}")];
        let mut answer = openai::tool_answer();
        answer["choices"][0]["message"]["tool_calls"] = json!(calls);
        if !asked.streams() {
            return Script::json(200, &answer);
        }
        let chunk = |delta: Value, finish: Value| {
            json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
                    "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] })
            .to_string()
        };
        let events = [
            chunk(json!({ "role": "assistant", "tool_calls": calls }), Value::Null),
            chunk(json!({}), json!("tool_calls")),
        ];
        Script::sse().bytes(openai::sse_done(&events))
    });
    let gateway = start(&provider);
    let expected: Vec<(String, Value)> =
        vec![("weather".into(), json!({ "city": 5 })), ("launch".into(), json!({}))];
    for (dialect, model) in [
        (Dialect::Chat, "openai-model"),
        (Dialect::Messages, "claude-model"),
        (Dialect::Chat, "claude-model"),
        (Dialect::Responses, "chat-model"),
        (Dialect::Messages, "chat-model"),
    ] {
        let case = format!("{dialect:?} at {model}");
        let body = dialect.with_tool(dialect.body(model));
        let reply = gateway.send(&dialect.request(&body)).expect(200);
        assert_eq!(dialect.said(&reply).calls, expected, "{case}: {reply}");
        assert_eq!(
            reply.only_header("x-torana-invalid-tool-calls"),
            "weather, launch",
            "{case}: {reply}"
        );
        let record = gateway.inference(reply.only_header("x-torana-inference-id"));
        let flagged = record["invalid_tool_calls"].as_array().unwrap();
        let reasons: Vec<&Value> = flagged.iter().map(|call| &call["reason"]).collect();
        assert_eq!(reasons, ["schema", "unknown_tool"], "{case}: {record:#}");

        let body = dialect.with_tool(dialect.streaming(model));
        let raw = streamed(&gateway, &dialect.request(&body)).expect(200);
        let text = raw.text();
        let comment = text.find(": x-torana-invalid-tool-calls: weather, launch\n\n");
        let end = text.find(dialect.end_marker());
        assert!(comment.is_some() && comment < end, "{case}: {text}");
        let events = events(&mut dialect.request(&body).stream(gateway.address()));
        assert_eq!(dialect.said_in(&events).calls, expected, "{case}: {events:#?}");
    }
}

#[test]
fn tokens_are_counted_by_the_provider_or_estimated_and_marked() {
    let provider = Provider::start(dialects::respond);
    let gateway = start(&provider);
    let count = |model: &str| {
        let body = Dialect::Messages.body(model);
        let request = Request::post("/v1/messages/count_tokens", &body);
        gateway.send(&request.header("anthropic-version", "2023-06-01")).expect(200)
    };
    let counted = count("claude-model");
    assert_eq!(counted.json(), json!({ "input_tokens": 42 }));
    assert_eq!(counted.header("x-torana-estimated"), None, "{counted}");
    provider.forget();
    let estimated = count("chat-model");
    assert!(estimated.json()["input_tokens"].as_u64().is_some_and(|it| it > 1), "{estimated}");
    assert_eq!(estimated.only_header("x-torana-estimated"), "input_tokens");
    assert!(provider.asked().is_empty());
}

#[test]
fn models_are_listed_in_the_shape_of_the_client_that_asks() {
    let provider = Provider::start(dialects::respond);
    let gateway = start(&provider);
    let openai = gateway.get("/v1/models").expect(200).json();
    assert_eq!(openai["object"], "list", "{openai:#}");
    let ask =
        |path: &str| gateway.send(&Request::get(path).header("anthropic-version", "2023-06-01"));
    let (mut ids, mut query) = (Vec::new(), "limit=2".to_owned());
    loop {
        let page = ask(&format!("/v1/models?{query}")).expect(200).json();
        let data = page["data"].as_array().unwrap();
        assert!(data.iter().all(|it| it["type"] == "model"), "{page:#}");
        assert_eq!(page["first_id"], data[0]["id"], "{page:#}");
        ids.extend(data.iter().map(|it| it["id"].clone()));
        if page["has_more"] == false {
            break;
        }
        query = format!("limit=2&after_id={}", page["last_id"].as_str().unwrap());
        assert!(ids.len() < 10, "pages go on: {ids:?}");
    }
    let expected: Vec<Value> =
        openai["data"].as_array().unwrap().iter().map(|it| it["id"].clone()).collect();
    assert_eq!(ids, expected);
    let one = ask("/v1/models/claude-model").expect(200).json();
    assert_eq!((&one["type"], &one["id"]), (&json!("model"), &json!("claude-model")), "{one:#}");
    let absent = ask("/v1/models/absent").expect(404);
    assert_eq!(Dialect::Messages.error_code(&absent), "model_not_found", "{absent}");
    let reply = ask("/v1/models?limit=0").expect(400);
    assert!(Dialect::Messages.error_message(&reply).contains("limit"), "{reply}");
}

#[test]
fn keys_are_taken_from_either_header() {
    let provider = Provider::start(dialects::respond);
    let tables = tables(&provider) + "[keys.team]\nsecret = \"env:CLIENT_KEY\"\n";
    let folder = Folder::new(&Config::new(tables));
    let gateway = Gateway::start_in(folder, &[("CLIENT_KEY", "sk-team")]);
    for dialect in Dialect::ALL {
        let request = dialect.request(&dialect.body(own(dialect)));
        gateway.send(&request.clone().header("x-api-key", "sk-team")).expect(200);
        gateway.send(&request.clone().header("authorization", "Bearer sk-team")).expect(200);
        let reply = gateway.send(&request.clone().header("x-api-key", "sk-other")).expect(401);
        assert_eq!(dialect.error_code(&reply), "invalid_api_key", "{reply}");
        let reply = gateway.send(&request).expect(401);
        assert_eq!(dialect.error_code(&reply), "missing_api_key", "{reply}");
    }
    for asked in provider.asked() {
        assert!(!format!("{asked:?}").contains("sk-team"), "a client's key went on: {asked:?}");
    }
}

#[test]
fn bare_model_names_mean_the_endpoint_that_has_them_or_the_default_provider() {
    let provider = Provider::start(dialects::respond);
    let tables = tables(&provider).replace("claude/scripted", "claude/claude-9");
    let gateway = Gateway::start(&Config::new(tables.clone()));
    let reply = gateway.send(&Dialect::Messages.request(&Dialect::Messages.body("claude-9")));
    assert_eq!(reply.expect(200).only_header("x-torana-endpoint"), "claude/claude-9");
    // At two endpoints, and at none.
    for model in ["scripted", "gpt-99"] {
        let reply = gateway.chat(&openai::chat(model)).expect(404);
        assert_eq!(reply.error("code"), "model_not_found", "{model}: {reply}");
    }
    drop(gateway);
    let config = Config::new(tables).top("default_provider = \"openai\"");
    let gateway = Gateway::start(&config);
    for model in ["scripted", "gpt-99"] {
        provider.forget();
        let reply = gateway.chat(&openai::chat(model)).expect(200);
        assert_eq!(reply.only_header("x-torana-endpoint"), format!("openai/{model}"));
        assert_eq!(provider.only_asked().json()["model"], model);
        assert_eq!(Chat::of(&reply).text, TEXT);
    }
}

#[test]
fn objects_at_a_provider_are_reached_under_its_credential_and_nothing_of_the_client() {
    let provider = Provider::start(|_| Script::json(200, &json!({ "object": "list" })));
    let tables = tables(&provider).replacen(
        "[providers.claude]",
        "credential = \"env:UPSTREAM\"\n[providers.claude]",
        1,
    );
    let config = Config::new(tables).top("resource_provider = \"openai\"");
    let gateway = Gateway::start_in(Folder::new(&config), &[("UPSTREAM", "sk-upstream")]);
    let provided = format!("/v1/responses/{PROVIDERS_RESPONSE}");
    let cases = [
        ("GET", "/v1/chat/completions?limit=2&after=a%20b&metadata[k]=v".to_owned(), ""),
        ("GET", "/v1/chat/completions/chatcmpl-1/messages?order=asc".to_owned(), ""),
        ("POST", "/v1/chat/completions/chatcmpl-1".to_owned(), "{\"metadata\":{\"a\" :\"b\"}}"),
        ("DELETE", "/v1/chat/completions/chatcmpl-1".to_owned(), ""),
        ("GET", format!("{provided}?include[]=usage"), ""),
        ("GET", format!("{provided}/input_items?limit=5"), ""),
        ("POST", format!("{provided}/cancel"), ""),
        ("DELETE", provided.clone(), ""),
        ("POST", "/v1/responses/compact".to_owned(), "{\"model\": \"m\"}"),
        ("POST", "/v1/responses/input_tokens".to_owned(), "{\"model\": \"m\"}"),
        ("GET", "/v1/models/gpt-99".to_owned(), ""),
        ("DELETE", "/v1/models/ft:gpt-99:acme::x".to_owned(), ""),
    ];
    for (method, path, body) in cases {
        provider.forget();
        let request = Request::new(method, &path, body.as_bytes().to_vec())
            .header("authorization", "Bearer sk-client")
            .header("cookie", "session=secret")
            .header("x-api-key", "sk-client")
            .header("openai-organization", "org-of-the-client")
            .header("x-forwarded-for", "10.0.0.1");
        let reply = gateway.send(&request).expect(200);
        assert_eq!(reply.json(), json!({ "object": "list" }), "{method} {path}");
        let asked = provider.only_asked();
        assert_eq!((&*asked.method, &*asked.path), (method, &*path), "{asked:?}");
        assert_eq!(asked.text(), body, "{asked:?}");
        assert_eq!(asked.header("authorization"), Some("Bearer sk-upstream"), "{asked:?}");
        for name in ["cookie", "x-api-key", "openai-organization", "x-forwarded-for"] {
            assert_eq!(asked.header(name), None, "{name} leaked: {asked:?}");
        }
    }
}

#[test]
fn paths_cannot_leave_the_resource_provider() {
    let provider = Provider::start(|_| Script::json(200, &json!({})));
    let config = Config::new(tables(&provider)).top("resource_provider = \"openai\"");
    let gateway = Gateway::start(&config);
    for path in [
        "/v1/responses/..",
        "/v1/responses/../cancel",
        "/v1/responses/%2e%2e/input_items",
        "/v1/responses/..%2f..%2fadmin",
        "/v1/responses/%2e%2e%2f%2e%2e%2fadmin",
        "/v1/responses/..%5c..%5cadmin",
        "/v1/chat/completions/../messages",
        "/v1/chat/completions//messages",
        "/v1/models/..%2f..%2fadmin",
        "/v1/models/../../admin",
    ] {
        let reply = gateway.get(path);
        for asked in provider.asked() {
            let climbs = asked.path.to_lowercase().replace("%2e", ".").contains("..");
            let below = asked.path.starts_with("/v1/") && !climbs;
            assert!(below, "{path} left the base URL: {asked:?}");
        }
        if reply.status != 200 {
            assert!((400..500).contains(&reply.status), "a client's mistake: {path}: {reply}");
        }
        provider.forget();
    }
}

#[test]
fn objects_at_a_provider_are_not_reached_unless_that_is_configured() {
    let provider = Provider::start(dialects::respond);
    let gateway = start(&provider);
    for (method, path) in [
        ("GET", "/v1/chat/completions"),
        ("DELETE", "/v1/chat/completions/chatcmpl-1"),
        ("GET", "/v1/responses/resp_677efb5139a88190b512bc3fef8e535d"),
        ("POST", "/v1/responses/compact"),
        ("DELETE", "/v1/models/gpt-99"),
    ] {
        let reply = gateway.send(&Request::new(method, path, Vec::new())).expect(404);
        assert_eq!(reply.error("code"), "no_resource_provider", "{method} {path}: {reply}");
        assert!(reply.message().contains("resource_provider"), "the remedy is named: {reply}");
    }
    assert!(provider.asked().is_empty());
}

#[test]
fn functions_put_their_system_message_into_every_dialect() {
    let provider = Provider::start(dialects::respond);
    let tables = tables(&provider)
        + "[functions.greet.variants.only]\nmodel = \"chat-model\"\nsystem = \"greet.txt\"\n\
           temperature = 0.25\nmax_output_tokens = 33\n\
           [functions.native.variants.only]\nmodel = \"claude-model\"\nsystem = \"greet.txt\"\n";
    let files = [("greet.txt", "You serve {{ user_id }}.")];
    let folder = Folder::with_files(&Config::new(tables), &files);
    let gateway = Gateway::start_in(folder, &[]);
    for dialect in Dialect::WITH_TOOLS {
        provider.forget();
        let mut body = dialect.body("function::greet");
        body["metadata"] = json!({ "user_id": "Ada" });
        match dialect {
            Dialect::Responses => body["instructions"] = json!("Be brief."),
            Dialect::Messages => body["system"] = json!("Be brief."),
            _ => {
                let own = json!({ "role": "system", "content": "Be brief." });
                body["messages"].as_array_mut().unwrap().insert(0, own);
            }
        }
        let reply = gateway.send(&dialect.request(&body)).expect(200);
        assert_eq!(dialect.said(&reply).text, TEXT, "{dialect:?}");
        assert_eq!(reply.only_header("x-torana-variant"), "only");
        let asked = provider.only_asked().json();
        let system: String = asked["messages"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|it| it["role"] == "system" || it["role"] == "developer")
            .map(|it| it["content"].to_string())
            .collect();
        let (ours, own) = (system.find("You serve Ada."), system.find("Be brief."));
        assert!(ours.is_some() && ours < own, "{dialect:?}: {asked:#}");
        assert_eq!(asked["temperature"], 0.25, "{dialect:?}: {asked:#}");
        // Anthropic's dialect has the limit always, and the client's word counts.
        let limit = if dialect == Dialect::Messages { 100 } else { 33 };
        let limits = ["max_tokens", "max_completion_tokens"].map(|name| asked[name].as_u64());
        assert!(limits.contains(&Some(limit)), "{dialect:?}: {asked:#}");
        let record = gateway.inference(reply.only_header("x-torana-inference-id"));
        assert_eq!(record["function"], "greet", "{record:#}");
    }
    provider.forget();
    let mut body = Dialect::Messages.body("function::native");
    body["metadata"] = json!({ "user_id": "Ada" });
    body["system"] = json!([{ "type": "text", "text": "Be brief." }]);
    gateway.send(&Dialect::Messages.request(&body)).expect(200);
    let asked = provider.only_asked().json();
    let texts: Vec<&Value> =
        asked["system"].as_array().unwrap().iter().map(|it| &it["text"]).collect();
    assert_eq!(texts, ["You serve Ada.", "Be brief."], "{asked:#}");
    // A variable that is not there is told by its name.
    let body = Dialect::Messages.body("function::native");
    let reply = gateway.send(&Dialect::Messages.request(&body)).expect(400);
    assert_eq!(Dialect::Messages.error_code(&reply), "template_failed", "{reply}");
    let body = Dialect::Completions.body("function::greet");
    let reply = gateway.send(&Dialect::Completions.request(&body)).expect(400);
    assert!(reply.message().contains("greet"), "{reply}");
}

#[test]
fn beta_features_reach_providers_of_the_dialect_only() {
    let provider = Provider::start(dialects::respond);
    let gateway = start(&provider);
    let ask = |dialect: Dialect, model: &str| {
        provider.forget();
        let request = Request::post(dialect.path(), &dialect.body(model))
            .header("anthropic-version", "2024-10-22")
            .header("anthropic-beta", "files-api-2025-04-14,context-1m-2025-08-07");
        gateway.send(&request).expect(200);
        provider.only_asked()
    };
    let asked = ask(Dialect::Messages, "claude-model");
    let beta = asked.header("anthropic-beta").unwrap_or_default();
    assert_eq!(beta, "files-api-2025-04-14,context-1m-2025-08-07", "{asked:?}");
    assert_eq!(asked.header("anthropic-version"), Some("2024-10-22"), "{asked:?}");
    let asked = ask(Dialect::Messages, "chat-model");
    assert_eq!(asked.header("anthropic-beta"), None, "{asked:?}");
    let asked = ask(Dialect::Chat, "claude-model");
    assert_eq!(asked.header("anthropic-beta"), None, "{asked:?}");
    assert_eq!(asked.header("anthropic-version"), Some("2023-06-01"), "{asked:?}");
}

#[test]
fn every_answer_has_the_id_that_its_sdk_looks_for() {
    let provider = Provider::start(dialects::respond);
    let gateway = start(&provider);
    for dialect in Dialect::ALL {
        let unknown = dialect.request(&dialect.body("nowhere/model"));
        for request in [dialect.request(&dialect.body("chat-model")), unknown] {
            let reply = gateway.send(&request);
            let id = reply.only_header("x-torana-inference-id");
            assert_eq!(reply.only_header("x-request-id"), id, "{dialect:?}");
            let anthropic = (dialect == Dialect::Messages).then_some(id);
            assert_eq!(reply.header("request-id"), anthropic, "{dialect:?}");
            let record = gateway.inference(id);
            assert_eq!(record["id"], id);
        }
        let request = dialect.request(&dialect.streaming("chat-model"));
        let stream = request.stream(gateway.address());
        assert_eq!(stream.header("x-request-id"), stream.header("x-torana-inference-id"));
    }
}

#[test]
fn provider_errors_are_told_in_the_clients_dialect_whatever_the_providers() {
    let provider = Provider::start(|asked| {
        if asked.path.ends_with("/messages") {
            let error = anthropic::error("invalid_request_error", "max_tokens is too large");
            Script::json(400, &error)
        } else {
            let error =
                openai::error("max_tokens is too large", "invalid_request_error", "too_big");
            Script::json(400, &error)
        }
    });
    let gateway = start(&provider);
    for dialect in Dialect::ALL {
        for model in [own(dialect)].iter().chain(foreign(dialect)) {
            for body in [dialect.body(model), dialect.streaming(model)] {
                let reply = gateway.send(&dialect.request(&body)).expect(400);
                let message = dialect.error_message(&reply);
                assert!(message.contains("max_tokens is too large"), "{dialect:?}: {reply}");
                dialect.error_code(&reply);
            }
        }
    }
    // All of it is on the record.
    let listed = eventually("all calls in the store", || {
        let page = gateway.get("/v1/inferences?limit=100&outcome=error").expect(200).json();
        let data = page["data"].as_array().unwrap().clone();
        (data.len() == 24).then_some(data)
    });
    assert!(listed.iter().all(|row| row["status"] == 400), "{listed:#?}");
}

#[test]
fn embeddings_are_refused_where_nobody_makes_them() {
    let provider = Provider::start(dialects::respond);
    let gateway = start(&provider);
    let body = json!({ "model": "claude-model", "input": "hello" });
    let reply = gateway.send(&Request::post("/v1/embeddings", &body)).expect(400);
    assert_eq!(reply.error("code"), "unsupported_feature", "{reply}");
    assert!(reply.message().contains("claude/scripted"), "{reply}");
    assert!(provider.asked().is_empty());
}

#[test]
fn first_words_of_a_translated_stream_do_not_wait_for_the_rest() {
    let gate = Gate::default();
    let held = gate.clone();
    let provider = Provider::start(move |asked| {
        let events = dialects::stream_events(route_of(asked));
        let (first, rest) = events.split_at(events.len() / 2);
        Script::sse().bytes(first.concat()).gate(&held).bytes(rest.concat())
    });
    let gateway = start(&provider);
    let begun = std::time::Instant::now();
    for dialect in Dialect::ALL {
        for model in [own(dialect)].iter().chain(foreign(dialect)) {
            let mut stream = dialect.request(&dialect.streaming(model)).stream(gateway.address());
            let mut seen = Vec::new();
            while dialect_text(dialect, &seen).is_empty() {
                seen.push(stream.next_event().unwrap());
            }
            assert!(TEXT.starts_with(&dialect_text(dialect, &seen)), "{seen:?}");
        }
    }
    // Well below the idle timeout of the endpoints: nobody waited for one.
    assert!(begun.elapsed() < Duration::from_secs(3) * 12, "{:?}", begun.elapsed());
    gate.open();
}

fn dialect_text(dialect: Dialect, events: &[String]) -> String {
    dialect.said_in(events).text
}
