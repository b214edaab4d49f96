//! Ten thousand bodies that are wrong or odd, in every dialect and at every kind of endpoint:
//! nothing of it is the gateway's failure, and every refusal says where and what in the
//! client's own dialect.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use torana_tests::client::{Connection, Reply, Request};
use torana_tests::dialects::{self, Dialect};
use torana_tests::gateway::{Config, Gateway};
use torana_tests::mutate::{Random, mutated};
use torana_tests::openai::TEXT;
use torana_tests::provider::Provider;

use crate::setup::SINK;

/// All of them, over all routes and endpoints.
const BODIES: usize = 10_000;

/// More would only wait for one another on a small machine.
const CLIENTS: usize = 3;

/// The same bodies every time.
const SEED: u64 = 20_261_122;

/// Of a message; a client's own text in it is cut.
const LONGEST_MESSAGE: usize = 2_000;

/// Faults that are printed, and characters of their bodies and answers.
const SHOWN_FAULTS: usize = 12;
const SHOWN_CHARACTERS: usize = 1_200;

/// How bodies were answered.
#[derive(Default)]
struct Seen {
    statuses: BTreeMap<u16, usize>,
    faults: Vec<String>,
}

/// `simulated` answers by itself, `forwarded` has every route of OpenAI's and, for Anthropic's,
/// `claude` stands beside it; `translated` has no route of its own.
fn start(provider: &Provider, server: &str) -> Gateway {
    let url = provider.url();
    let tables = format!(
        "[providers.sim]\nplugin = \"provider-sim\"\n\
         [providers.openai]\nplugin = \"provider-openai\"\nbase_url = \"{url}\"\n\
         settings = {{ wires = [\"chat\", \"completions\", \"responses\", \"embeddings\"] }}\n\
         [providers.claude]\nplugin = \"provider-anthropic\"\nbase_url = \"{url}\"\n\
         [providers.chat]\nplugin = \"provider-openai\"\nbase_url = \"{url}\"\nforward = false\n\
         [models.simulated]\nendpoints = [\"sim/demo\"]\n\
         [models.forwarded]\nendpoints = [\"openai/scripted\"]\n\
         [models.claude]\nendpoints = [\"claude/scripted\"]\n\
         [models.translated]\nendpoints = [\"chat/scripted\"]\n{SINK}"
    );
    Gateway::start(&Config::new(tables).server(server))
}

/// A route with rich bodies that are right.
struct Route {
    path: &'static str,
    /// Whose errors it gives.
    dialect: Dialect,
    bodies: Vec<Value>,
}

fn routes() -> Vec<Route> {
    let route = |path, dialect, bodies| Route { path, dialect, bodies };
    let embeddings = json!({ "model": "", "input": ["a", [1, 2, 3]], "encoding_format": "base64",
                             "dimensions": 3, "user": "u" });
    let messages = rich(Dialect::Messages);
    let mut count = messages.clone();
    count.as_object_mut().unwrap().remove("max_tokens");
    let mut routes: Vec<Route> = Dialect::ALL
        .map(|it| route(it.path(), it, vec![rich(it), it.streaming(""), structured(it)]))
        .into();
    routes.push(route("/v1/embeddings", Dialect::Chat, vec![embeddings]));
    routes.push(route("/v1/messages/count_tokens", Dialect::Messages, vec![count]));
    routes
}

/// A body that uses much of what its dialect has.
fn rich(dialect: Dialect) -> Value {
    let schema = json!({ "type": "object", "properties": { "city": { "type": "string",
        "enum": ["Paris", "Zürich"] } }, "required": ["city"], "additionalProperties": false });
    let picture = "data:image/png;base64,iVBORw0KGgo=";
    match dialect {
        Dialect::Chat => json!({
            "model": "", "temperature": 0.5, "top_p": 0.9, "max_tokens": 50, "n": 1, "seed": 7,
            "stop": ["END"], "user": "u", "metadata": { "k": "v" }, "logit_bias": { "50256": -100 },
            "presence_penalty": 0.1, "parallel_tool_calls": true, "reasoning_effort": "low",
            "messages": [
                { "role": "system", "content": "Be brief." },
                { "role": "user", "name": "ada", "content": [
                    { "type": "text", "text": "Was ist das?" },
                    { "type": "image_url", "image_url": { "url": picture, "detail": "low" } }] },
                { "role": "assistant", "content": null, "tool_calls": [{ "id": "call_1",
                    "type": "function",
                    "function": { "name": "weather", "arguments": "{\"city\":\"Paris\"}" } }] },
                { "role": "tool", "tool_call_id": "call_1", "content": "sunny" },
            ],
            "tools": [{ "type": "function",
                "function": { "name": "weather", "parameters": schema, "strict": true } }],
            "tool_choice": { "type": "function", "function": { "name": "weather" } },
        }),
        Dialect::Completions => json!({
            "model": "", "prompt": ["Once upon", "a time"], "max_tokens": 20, "suffix": ".",
            "temperature": 0.1, "n": 1, "logprobs": 2, "echo": false, "stop": "END", "best_of": 1,
        }),
        Dialect::Responses => json!({
            "model": "", "instructions": "Be brief.", "max_output_tokens": 50, "store": true,
            "temperature": 0.5, "metadata": { "k": "v" }, "reasoning": { "effort": "low" },
            "include": ["reasoning.encrypted_content"], "truncation": "auto",
            "input": [
                { "role": "user", "content": [{ "type": "input_text", "text": "Was ist das?" },
                    { "type": "input_image", "image_url": picture, "detail": "low" }] },
                { "type": "reasoning", "id": "rs_1", "summary": [
                    { "type": "summary_text", "text": "Hm." }] },
                { "type": "function_call", "call_id": "call_1", "name": "weather",
                  "arguments": "{\"city\":\"Paris\"}" },
                { "type": "function_call_output", "call_id": "call_1", "output": "sunny" },
            ],
            "tools": [{ "type": "function", "name": "weather", "parameters": schema },
                      { "type": "web_search" }],
            "tool_choice": "auto",
        }),
        Dialect::Messages => json!({
            "model": "", "max_tokens": 2048, "temperature": 0.5, "top_k": 5,
            "stop_sequences": ["END"], "metadata": { "user_id": "u" },
            "system": [{ "type": "text", "text": "Be brief.",
                         "cache_control": { "type": "ephemeral" } }],
            "thinking": { "type": "enabled", "budget_tokens": 1024 },
            "messages": [
                { "role": "user", "content": [{ "type": "text", "text": "Was ist das?" },
                    { "type": "image", "source": { "type": "base64",
                        "media_type": "image/png", "data": "iVBORw0KGgo=" } }] },
                { "role": "assistant", "content": [
                    { "type": "thinking", "thinking": "Hm.", "signature": "c2ln" },
                    { "type": "tool_use", "id": "toolu_1", "name": "weather",
                      "input": { "city": "Paris" } }] },
                { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "toolu_1",
                    "content": [{ "type": "text", "text": "sunny" }], "is_error": false }] },
            ],
            "tools": [{ "name": "weather", "input_schema": schema }],
            "tool_choice": { "type": "auto", "disable_parallel_tool_use": true },
        }),
    }
}

/// Asks for an answer of a schema.
fn structured(dialect: Dialect) -> Value {
    let schema = json!({ "type": "object", "$defs": { "n": { "type": "integer" } },
        "properties": { "a": { "$ref": "#/$defs/n" }, "b": { "type": ["string", "null"] } } });
    let mut body = dialect.body("");
    match dialect {
        Dialect::Chat => {
            body["response_format"] = json!({ "type": "json_schema",
                "json_schema": { "name": "x", "schema": schema, "strict": true } });
        }
        Dialect::Responses => {
            body["text"] = json!({ "format":
                { "type": "json_schema", "name": "x", "schema": schema } });
        }
        Dialect::Messages => {
            body["output_config"] = json!({ "format":
                { "type": "json_schema", "schema": schema } });
        }
        Dialect::Completions => body["stop"] = json!(["a", "b"]),
    }
    body
}

#[test]
fn ten_thousand_mutated_bodies_give_no_failure_of_ours_and_no_panic() {
    let provider = Provider::start(dialects::respond);
    provider.stop_recording();
    let gateway = start(&provider, "");
    let (address, routes) = (gateway.address(), routes());
    let models = ["simulated", "translated", "forwarded", "claude"];
    let (next, seen) = (AtomicUsize::new(0), Mutex::new(Seen::default()));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut connection = Connection::open(address).unwrap();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= BODIES {
                        return;
                    }
                    let route = &routes[number % routes.len()];
                    let model = models[number / routes.len() % models.len()];
                    let body = nth(number, route, model);
                    let request = Request::post_bytes(route.path, body.clone());
                    let told = match connection.send(&request) {
                        Ok(reply) => {
                            let fault = fault(route, &reply);
                            let mut seen = seen.lock().unwrap();
                            *seen.statuses.entry(reply.status).or_default() += 1;
                            fault.map(|fault| format!("{fault}: {reply}"))
                        }
                        Err(error) => {
                            connection = Connection::open(address).unwrap();
                            Some(error.to_string())
                        }
                    };
                    if let Some(told) = told {
                        let (body, told) = (shown(&String::from_utf8_lossy(&body)), shown(&told));
                        let case = format!("{number}: {} at {model}: {told}\n{body}", route.path);
                        seen.lock().unwrap().faults.push(case);
                    }
                }
            });
        }
    });
    let Seen { statuses, faults } = seen.into_inner().unwrap();
    let first: Vec<&String> = faults.iter().take(SHOWN_FAULTS).collect();
    assert!(faults.is_empty(), "{} faults; {statuses:?}; {first:#?}", faults.len());
    // Neither a wall nor a hole: both kinds of ends are tried in earnest.
    let answered = statuses.get(&200).copied().unwrap_or_default();
    assert!((BODIES / 5..BODIES * 4 / 5).contains(&answered), "{statuses:?}");
    let log = gateway.log();
    assert!(!log.contains("panicked"), "{log}");
    for plugin in ["provider-sim", "provider-openai", "provider-anthropic"] {
        assert_eq!(gateway.account(plugin, "kills"), 0, "{:#}", gateway.plugin(plugin));
    }
    let good = Dialect::Chat.request(&Dialect::Chat.body("forwarded"));
    assert_eq!(Dialect::Chat.said(&gateway.send(&good).expect(200)).text, TEXT);
}

/// The body of this number, which does not depend on the order in which they are sent.
fn nth(number: usize, route: &Route, model: &str) -> Vec<u8> {
    let mut random = Random::new(SEED + number as u64);
    let mut body = random.choose(&route.bodies).unwrap().clone();
    body["model"] = json!(model);
    mutated(&body, &mut random)
}

/// What is wrong with how a body was answered.
fn fault(route: &Route, reply: &Reply) -> Option<&'static str> {
    if !reply.is_complete {
        return Some("the answer is cut");
    }
    match reply.status {
        200 => {
            let is_stream = reply.header("content-type").is_some_and(|it| it.contains("event-"));
            let has_end = reply.text().contains(route.dialect.end_marker());
            (is_stream && !has_end).then_some("the stream broke")
        }
        400..500 => {
            let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
            let Some(message) = body["error"]["message"].as_str() else {
                return Some("no error");
            };
            let code = match route.dialect {
                Dialect::Messages if body["type"] != "error" => return Some("not Anthropic's"),
                Dialect::Messages => &body["error"]["type"],
                _ => &body["error"]["code"],
            };
            let is_code = code.as_str().is_some_and(|it| !it.is_empty() && !it.contains(' '));
            let inner = ["RawValue", "struct ", "IgnoredAny", "enum "];
            match message {
                _ if !is_code => Some("no code for programs"),
                _ if message.len() > LONGEST_MESSAGE => Some("it repeats the client's text"),
                _ if message.len() < 5 || message.contains('\n') => Some("no readable message"),
                _ if inner.iter().any(|word| message.contains(word)) => Some("it tells Rust"),
                _ => None,
            }
        }
        _ => Some("a failure of ours"),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARACTERS).collect()
}

#[test]
fn limits_of_depth_and_count_hold_in_every_dialect_before_anything_is_asked() {
    let provider = Provider::start(dialects::respond);
    let gateway = start(&provider, "json_max_depth = 10\njson_max_values = 200");
    let deep = (0..12).fold(json!(1), |inner, _| json!([inner]));
    let wide = json!(vec![0; 300]);
    for route in routes() {
        for (value, words) in [(&deep, "deeper than 10 levels"), (&wide, "more than 200 values")] {
            let mut body = route.dialect.body("forwarded");
            body["x"] = value.clone();
            let reply = gateway.send(&Request::post(route.path, &body)).expect(400);
            assert_eq!(route.dialect.error_code(&reply), "json_too_complex", "{reply}");
            let message = route.dialect.error_message(&reply);
            assert!(message.contains(words), "{reply}");
            assert!(message.contains("at byte"), "the place is told: {reply}");
        }
    }
    assert!(provider.asked().is_empty());
}

#[test]
fn limit_of_size_holds_in_every_dialect() {
    let provider = Provider::start(dialects::respond);
    let gateway = start(&provider, "body_limit_mib = 1");
    for route in routes() {
        let mut body = route.dialect.body("forwarded");
        body["x"] = json!("x".repeat(2 << 20));
        let request = Request::post(route.path, &body);
        let connection = Connection::open(gateway.address()).unwrap();
        let reply = connection.send_until_answered(&request).expect(413);
        assert_eq!(route.dialect.error_code(&reply), "body_too_large", "{reply}");
    }
    assert!(provider.asked().is_empty());
}

#[test]
fn mistakes_are_told_with_their_place_in_every_dialect() {
    let provider = Provider::start(dialects::respond);
    let gateway = start(&provider, "");
    let message = |content: Value| json!([{ "role": "user", "content": content }]);
    let cases = [
        (Dialect::Chat, "messages", message(json!(7)), "messages.0.content"),
        (Dialect::Chat, "messages", message(json!([{ "text": "x" }])), "messages.0.content.0.type"),
        (Dialect::Chat, "tools", json!([{ "type": "function" }]), "tools.0.function"),
        (Dialect::Chat, "temperature", json!("warm"), "temperature"),
        (Dialect::Completions, "prompt", json!({}), "prompt"),
        (Dialect::Completions, "max_tokens", json!("few"), "max_tokens"),
        (Dialect::Responses, "input", message(json!([{ "type": 7 }])), "input.0.content.0.type"),
        (Dialect::Responses, "input", json!([{ "type": "function_call" }]), "input.0"),
        (Dialect::Responses, "tools", json!([{}]), "tools.0.type"),
        (
            Dialect::Messages,
            "messages",
            message(json!([{ "type": "text" }])),
            "messages.0.content.0.text",
        ),
        (Dialect::Messages, "max_tokens", json!("many"), "max_tokens"),
        (Dialect::Messages, "system", json!(5), "system"),
    ];
    for (dialect, key, value, place) in cases {
        let mut body = dialect.body("translated");
        body[key] = value;
        let reply = gateway.send(&dialect.request(&body)).expect(400);
        assert_eq!(dialect.error_code(&reply), "invalid_request", "{reply}");
        let message = dialect.error_message(&reply).replace('/', ".");
        assert!(message.contains(place), "{dialect:?}: no {place} in {reply}");
        if dialect != Dialect::Messages {
            let param = reply.error("param");
            assert!(param.as_str().is_some_and(|it| it.starts_with(place)), "{place}: {reply}");
        }
    }
    assert!(provider.asked().is_empty());
}

#[test]
fn broken_json_is_told_with_line_and_column_in_every_dialect() {
    let provider = Provider::start(dialects::respond);
    let gateway = start(&provider, "");
    for route in routes() {
        let bodies: [&[u8]; 5] = [
            b"{\"model\": \n nope}",
            b"{\n\"model\":\"forwarded\"",
            b"{\"model\":\n\"\xff\"}",
            b"{\"model\":\n\"\\ud800\",\"b\":}",
            b"{\"a\":1}\n{\"b\":2}",
        ];
        for body in bodies {
            let reply = gateway.send(&Request::post_bytes(route.path, body)).expect(400);
            assert_eq!(route.dialect.error_code(&reply), "invalid_json", "{}: {reply}", route.path);
            let message = route.dialect.error_message(&reply);
            assert!(message.contains("line 2"), "{}: {reply}", route.path);
        }
    }
}

#[test]
fn text_that_is_no_unicode_is_refused_wherever_it_stands() {
    let provider = Provider::start(dialects::respond);
    let gateway = start(&provider, "");
    for route in routes() {
        for model in ["forwarded", "claude", "translated"] {
            let body = route.dialect.body(model).to_string();
            let (open, _) = body.rsplit_once('}').unwrap();
            let bytes = [open.as_bytes(), b",\"input\":\"a\",\"x\":\"\xff\"}"].concat();
            let reply = gateway.send(&Request::post_bytes(route.path, bytes)).expect(400);
            let code = route.dialect.error_code(&reply);
            assert_eq!(code, "invalid_json", "{} at {model}: {reply}", route.path);
        }
    }
    assert!(provider.asked().is_empty());
}

#[test]
fn other_methods_and_content_types_are_the_clients_to_mend() {
    let provider = Provider::start(dialects::respond);
    let gateway = start(&provider, "");
    for route in routes() {
        for method in ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            let reply = gateway.send(&Request::new(method, route.path, b"{}".to_vec()));
            let reply = reply.expect(405);
            assert!(reply.only_header("allow").contains("POST"), "{method}: {reply}");
            let code = route.dialect.error_code(&reply);
            assert_eq!(code, "method_not_allowed", "{method} {}: {reply}", route.path);
        }
        let form = [
            ("application/x-www-form-urlencoded", "model=forwarded&input=hello"),
            ("multipart/form-data; boundary=x", "--x\r\n\r\nhello\r\n--x--"),
            ("application/xml", "<model>forwarded</model>"),
            ("application/json; charset=utf-16", "{\0}\0"),
        ];
        for (kind, body) in form {
            let request = Request::new("POST", route.path, body.as_bytes().to_vec())
                .header("content-type", kind);
            let reply = gateway.send(&request).expect(400);
            assert_eq!(route.dialect.error_code(&reply), "invalid_json", "{kind}: {reply}");
        }
        // Some clients forget the type; what counts is what it is.
        let model = if route.dialect == Dialect::Messages { "claude" } else { "forwarded" };
        let mut body = route.dialect.body(model);
        body["input"] = json!("hello");
        let bare = Request::new("POST", route.path, body.to_string().into_bytes());
        gateway.send(&bare).expect(200);
    }
}
