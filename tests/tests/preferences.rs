//! What clients ask about where their request goes: every key of `provider`, `models`, the
//! suffixes of names and sessions. Each is obeyed, none reaches a provider, and nonsense is
//! told by the name of its field.

use std::time::Duration;

use serde_json::{Value, json};
use torana_tests::chat::Streamed;
use torana_tests::client::{Reply, Request};
use torana_tests::dialects::{self, Dialect};
use torana_tests::faults::Early;
use torana_tests::gateway::{Config, Gateway};
use torana_tests::openai::{self, TEXT};
use torana_tests::provider::{Asked, Provider};
use torana_tests::script::Script;

use crate::setup::{SINK, compatible};

/// Three endpoints that differ in everything a preference may ask about, in this order.
const ENDPOINTS: [(&str, &str); 3] = [
    (
        "alpha",
        "price = { input = 1.0, output = 2.0 }, quantization = \"fp8\", distillable = true, \
         data_policy = { training = false, retention_days = 0 }, \
         parameters = [\"temperature\", \"max_tokens\", \"tools\", \"tool_choice\"]",
    ),
    (
        "beta",
        "price = { input = 2.0, output = 8.0 }, quantization = \"bf16\", distillable = false, \
         data_policy = { training = false, retention_days = 30 }, \
         parameters = [\"temperature\", \"max_tokens\", \"tools\", \"tool_choice\", \"seed\"]",
    ),
    (
        "gamma",
        "price = { input = 0.5, output = 1.0, request = 0.001 }, quantization = \"int4\", \
         data_policy = { training = true }, \
         parameters = [\"max_tokens\", \"tools\", \"tool_choice\"]",
    ),
];

/// The model `m` of all of [`ENDPOINTS`]; `other`, which is `beta` alone, costs more.
fn tables(provider: &Provider) -> String {
    let mut tables = SINK.to_owned();
    let mut list = Vec::new();
    for (name, facts) in ENDPOINTS {
        tables += &compatible(name, &provider.url(), "");
        list.push(format!("{{ provider = \"{name}\", model = \"{name}-m\", {facts} }}"));
    }
    let price = "price = { input = 0.7, output = 1.5 }";
    tables += &compatible("delta", &provider.url(), "");
    tables += &format!(
        "[models.m]\nendpoints = [{}]\n[models.other]\n\
         endpoints = [{{ provider = \"delta\", model = \"delta-m\", {price} }}]\n",
        list.join(", ")
    );
    tables
}

fn start(provider: &Provider) -> Gateway {
    Gateway::start(&Config::new(tables(provider)).top("default_router = \"priority\""))
}

/// A request for `m` with these keys.
fn with(keys: &Value) -> Value {
    let mut body = openai::chat("m");
    for (key, value) in keys.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

fn preferring(provider: &Value) -> Value {
    with(&json!({ "provider": provider }))
}

/// Why the answer comes from where it comes from.
#[track_caller]
fn decision(gateway: &Gateway, body: &Value) -> Value {
    let request = openai::completion(body).header("x-torana-explain", "1");
    let reply = gateway.send(&request).expect(200);
    let explained: Value = serde_json::from_str(reply.only_header("x-torana-explain")).unwrap();
    let plan = &explained["decision"]["plan"];
    assert_eq!(plan[0], reply.only_header("x-torana-endpoint"), "{explained:#}");
    explained["decision"].clone()
}

/// The providers of the plan, in the order to be tried.
fn planned(decision: &Value) -> Vec<String> {
    let plan = decision["plan"].as_array().unwrap().iter();
    plan.map(|it| it.as_str().unwrap().split('/').next().unwrap().to_owned()).collect()
}

#[track_caller]
fn expect_plan(gateway: &Gateway, body: &Value, plan: &[&str], order: &str) {
    let decision = decision(gateway, body);
    assert_eq!(planned(&decision), plan, "{body}: {decision:#}");
    assert_eq!(decision["order"], order, "{body}: {decision:#}");
}

#[test]
fn every_preference_that_names_or_filters_endpoints_is_obeyed() {
    let provider = Provider::start(openai::respond);
    let gateway = start(&provider);
    let all = ["alpha", "beta", "gamma"];
    let by_policy: [(Value, &[&str]); 19] = [
        (json!({}), &all),
        (json!({ "order": [] }), &all),
        (json!({ "only": ["gamma", "beta"] }), &["beta", "gamma"]),
        (json!({ "only": ["BETA/beta-m"] }), &["beta"]),
        (json!({ "only": ["alpha/fp8", "gamma/bf16"] }), &["alpha"]),
        (json!({ "ignore": ["alpha", "nobody"] }), &["beta", "gamma"]),
        (json!({ "allow_fallbacks": false }), &["alpha"]),
        (json!({ "allow_fallbacks": true }), &all),
        (json!({ "data_collection": "deny" }), &["alpha", "beta"]),
        (json!({ "data_collection": "allow" }), &all),
        (json!({ "zdr": true }), &["alpha"]),
        (json!({ "enforce_distillable_text": true }), &["alpha"]),
        (json!({ "quantizations": ["bf16", "int4"] }), &["beta", "gamma"]),
        (json!({ "max_price": { "prompt": 1 } }), &["alpha", "gamma"]),
        (json!({ "max_price": { "prompt": "0.5" } }), &["gamma"]),
        (json!({ "max_price": { "completion": 2.0 } }), &["alpha", "gamma"]),
        (json!({ "max_price": { "request": 0 } }), &["alpha", "beta"]),
        (json!({ "max_price": { "image": 0, "audio": 0 } }), &all),
        (json!({ "order": null, "only": null, "sort": null, "max_price": null }), &all),
    ];
    for (preferences, plan) in by_policy {
        expect_plan(&gateway, &preferring(&preferences), plan, "policy");
    }
    let ordered: [(Value, &[&str]); 3] = [
        (json!({ "order": ["gamma", "beta"] }), &["gamma", "beta", "alpha"]),
        (json!({ "order": ["nobody", "beta"] }), &["beta", "alpha", "gamma"]),
        (json!({ "order": ["gamma", "alpha"], "allow_fallbacks": false }), &["gamma", "alpha"]),
    ];
    for (preferences, plan) in ordered {
        expect_plan(&gateway, &preferring(&preferences), plan, "provider.order");
    }
}

#[test]
fn an_endpoint_that_is_left_out_is_on_record_with_its_filter() {
    let provider = Provider::start(openai::respond);
    let gateway = start(&provider);
    for (preferences, endpoint, reason) in [
        (json!({ "only": ["alpha"] }), "beta", json!({ "reason": "only" })),
        (json!({ "ignore": ["beta"] }), "beta", json!({ "reason": "ignore" })),
        (json!({ "allow_fallbacks": false }), "beta", json!({ "reason": "allow_fallbacks" })),
        (
            json!({ "order": ["alpha"], "allow_fallbacks": false }),
            "gamma",
            json!({ "reason": "order" }),
        ),
        (json!({ "zdr": true }), "beta", json!({ "reason": "zdr", "retention_days": 30 })),
        (
            json!({ "data_collection": "deny" }),
            "gamma",
            json!({ "reason": "data_collection", "training": true, "retention_days": null }),
        ),
        (
            json!({ "enforce_distillable_text": true }),
            "gamma",
            json!({ "reason": "distillable", "known": false }),
        ),
        (
            json!({ "quantizations": ["fp8"] }),
            "gamma",
            json!({ "reason": "quantization", "quantization": "int4" }),
        ),
        (
            json!({ "max_price": { "prompt": 1 } }),
            "beta",
            json!({ "reason": "max_price", "field": "prompt", "price": 2.0, "limit": 1.0 }),
        ),
    ] {
        let decision = decision(&gateway, &preferring(&preferences));
        assert_eq!(decision["preferences"], preferences, "as it was sent");
        let mut expected = reason;
        expected["endpoint"] = json!(format!("{endpoint}/{endpoint}-m"));
        let left_out = decision["models"][0]["left_out"].as_array().unwrap();
        assert!(left_out.contains(&expected), "no {expected}: {decision:#}");
    }
}

#[test]
fn parameters_leave_out_who_does_not_honour_them_only_where_that_is_required() {
    let provider = Provider::start(openai::respond);
    let gateway = start(&provider);
    let required = json!({ "require_parameters": true });
    let cases: [(Value, &[&str]); 4] = [
        (json!({ "seed": 7 }), &["beta"]),
        (json!({ "temperature": 0.5 }), &["alpha", "beta"]),
        (json!({ "max_completion_tokens": 9 }), &["alpha", "beta", "gamma"]),
        // Nobody writes down whether such a thing is honoured.
        (json!({ "x_new": 1, "user": "u" }), &["alpha", "beta", "gamma"]),
    ];
    for (parameters, plan) in cases {
        let mut body = with(&parameters);
        expect_plan(&gateway, &body, &["alpha", "beta", "gamma"], "policy");
        body["provider"] = required.clone();
        expect_plan(&gateway, &body, plan, "policy");
    }
    // In the dialect's own words.
    let mut body = Dialect::Responses.body("m");
    body["max_output_tokens"] = json!(9);
    body["temperature"] = json!(1);
    body["provider"] = json!({ "require_parameters": true, "only": ["gamma", "beta"] });
    let reply = gateway.send(&Dialect::Responses.request(&body)).expect(200);
    assert_eq!(reply.only_header("x-torana-endpoint"), "beta/beta-m");
}

#[test]
fn price_sorts_endpoints_whatever_the_policy_says() {
    let provider = Provider::start(openai::respond);
    let gateway = start(&provider);
    // A short answer costs little beside gamma's fee.
    let short = |mut body: Value| {
        body["max_tokens"] = json!(5);
        body
    };
    let cheapest = ["alpha", "beta", "gamma"];
    for sort in
        [json!("price"), json!({ "by": "price" }), json!({ "by": "PRICE", "partition": "model" })]
    {
        let body = short(preferring(&json!({ "sort": sort })));
        expect_plan(&gateway, &body, &cheapest, "provider.sort");
    }
    let long = |mut body: Value| {
        // Long enough that the fee is small beside the tokens.
        body["messages"][0]["content"] = json!("many words ".repeat(20_000));
        body
    };
    let sorted = long(preferring(&json!({ "sort": "price" })));
    expect_plan(&gateway, &sorted, &["gamma", "alpha", "beta"], "provider.sort");
    let suffixed = long(with(&json!({ "model": "m:floor" })));
    expect_plan(&gateway, &suffixed, &["gamma", "alpha", "beta"], "model suffix");

    let mut across = short(with(&json!({ "models": ["other"] })));
    across["provider"] = json!({ "sort": { "by": "price", "partition": "none" } });
    expect_plan(&gateway, &across, &["delta", "alpha", "beta", "gamma"], "provider.sort");
    across["provider"]["sort"]["partition"] = json!("model");
    expect_plan(&gateway, &across, &["alpha", "beta", "gamma", "delta"], "provider.sort");
    // The deprecated way to say the same.
    across["provider"] = json!({ "sort": "price" });
    across["route"] = json!("sort");
    expect_plan(&gateway, &across, &["delta", "alpha", "beta", "gamma"], "provider.sort");
    across["route"] = json!("fallback");
    expect_plan(&gateway, &across, &["alpha", "beta", "gamma", "delta"], "provider.sort");
}

#[test]
fn a_model_that_is_really_called_so_is_no_suffix() {
    let provider = Provider::start(openai::respond);
    let tables = tables(&provider) + "[models.\"m:nitro\"]\nendpoints = [\"delta/delta-m\"]\n";
    let gateway = Gateway::start(&Config::new(tables).top("default_router = \"priority\""));
    expect_plan(&gateway, &with(&json!({ "model": "m:nitro" })), &["delta"], "policy");
    let reply = gateway.chat(&with(&json!({ "model": "m:turbo" }))).expect(404);
    assert!(reply.message().contains("`m:turbo`"), "{reply}");
    // `provider/model` takes suffixes, too.
    let direct = with(&json!({ "model": "beta/beta-m:floor" }));
    expect_plan(&gateway, &direct, &["beta"], "model suffix");
}

/// How long each provider thinks before the first token, and how long it then talks: beta
/// begins at once and talks slowly, gamma is in between, alpha thinks and then is fast.
const PACES: [(&str, u64, u64); 3] = [("alpha", 250, 20), ("beta", 0, 400), ("gamma", 90, 120)];

/// At its provider's pace; beta's tool calls fit, alpha's do not, gamma makes none.
fn paced(asked: &Asked) -> Script {
    let body = asked.json();
    let model = body["model"].as_str().unwrap();
    let (name, before, after) = *PACES.iter().find(|(name, ..)| model.starts_with(*name)).unwrap();
    if body["tools"].is_array() {
        let mut answer = openai::tool_answer();
        if name == "alpha" {
            let wrong = json!("{\"city\": 7}");
            answer["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] = wrong;
        }
        return Script::json(200, &answer);
    }
    if !asked.streams() {
        return openai::respond(asked);
    }
    let events = openai::events(TEXT);
    let (first, rest) = events.split_at(2);
    Script::sse()
        .wait(Duration::from_millis(before))
        .bytes(openai::sse(first))
        .wait(Duration::from_millis(after))
        .bytes(openai::sse_done(rest))
}

/// Endpoints of which figures are known.
fn warmed(provider: &Provider) -> Gateway {
    let gateway = start(provider);
    std::thread::scope(|scope| {
        for (name, ..) in PACES {
            let gateway = &gateway;
            scope.spawn(move || {
                let model = format!("{name}/{name}-m");
                for _ in 0..3 {
                    let stream = gateway.chat_stream(&openai::streaming_chat(&model));
                    Streamed::read(stream).expect_complete();
                }
                if name != "gamma" {
                    let body = Dialect::Chat.with_tool(openai::chat(&model));
                    gateway.chat(&body).expect(200);
                }
            });
        }
    });
    gateway
}

#[test]
fn what_was_measured_sorts_endpoints_and_puts_back_who_misses_a_preference() {
    let provider = Provider::start(paced);
    let gateway = warmed(&provider);
    let latency: &[&str] = &["beta", "gamma", "alpha"];
    let throughput: &[&str] = &["alpha", "gamma", "beta"];
    let exacto: &[&str] = &["beta", "alpha", "gamma"];
    for (sort, plan) in [("latency", latency), ("throughput", throughput), ("exacto", exacto)] {
        for sort in [json!(sort), json!({ "by": sort })] {
            let body = preferring(&json!({ "sort": sort }));
            expect_plan(&gateway, &body, plan, "provider.sort");
        }
    }
    for (suffix, plan) in [("nitro", throughput), ("exacto", exacto)] {
        let body = with(&json!({ "model": format!("m:{suffix}") }));
        expect_plan(&gateway, &body, plan, "model suffix");
    }
    // `provider.sort` counts before a suffix.
    let both = with(&json!({ "model": "m:nitro", "provider": { "sort": "latency" } }));
    expect_plan(&gateway, &both, latency, "provider.sort");

    // Seconds to the first token; tokens a second, of 7 tokens. The rest stays in the policy's
    // order.
    for (key, bound, plan, demoted) in [
        ("preferred_max_latency", 0.2, ["beta", "gamma", "alpha"], "alpha"),
        ("preferred_min_throughput", 25.0, ["alpha", "gamma", "beta"], "beta"),
    ] {
        for bound in [json!(bound), json!({ "p50": bound }), json!({ "p75": bound })] {
            let decision = decision(&gateway, &preferring(&json!({ key: bound })));
            assert_eq!(planned(&decision), plan, "{key} {bound}: {decision:#}");
            let found = &decision["models"][0]["demoted"];
            let expected = json!({ "endpoint": format!("{demoted}/{demoted}-m"), "reason": key });
            assert_eq!(*found, json!([expected]), "{key} {bound}: {decision:#}");
        }
    }
}

/// Keys that are the gateway's own.
fn own_keys() -> Value {
    json!({
        "provider": { "order": ["openai", "chat", "claude"], "sort": "price" },
        "models": ["openai-model", "chat-model", "claude-model"],
        "route": "fallback",
        "session_id": "talk",
    })
}

/// One upstream in three ways, as in `dialects`: forwarded to in OpenAI's dialects and in
/// Anthropic's, and translated to.
fn three_ways(provider: &Provider) -> Gateway {
    let url = provider.url();
    let tables = format!(
        "[providers.openai]\nplugin = \"provider-openai\"\nbase_url = \"{url}\"\n\
         settings = {{ wires = [\"chat\", \"completions\", \"responses\", \"embeddings\"] }}\n\
         [providers.claude]\nplugin = \"provider-anthropic\"\nbase_url = \"{url}\"\n\
         [providers.chat]\nplugin = \"provider-openai\"\nbase_url = \"{url}\"\nforward = false\n\
         [models.openai-model]\nendpoints = [\"openai/scripted\"]\n\
         [models.claude-model]\nendpoints = [\"claude/scripted\"]\n\
         [models.chat-model]\nendpoints = [\"chat/scripted\"]\n{SINK}"
    );
    Gateway::start(&Config::new(tables))
}

const MODELS: [&str; 3] = ["openai-model", "claude-model", "chat-model"];

#[test]
fn no_provider_sees_what_was_asked_of_the_gateway() {
    let provider = Provider::start(dialects::respond);
    let gateway = three_ways(&provider);
    let nothing = json!({ "provider": null, "models": null, "route": null, "session_id": null });
    for dialect in Dialect::ALL {
        for model in MODELS {
            for keys in [own_keys(), nothing.clone()] {
                for mut body in [dialect.body(model), dialect.streaming(model)] {
                    for (key, value) in keys.as_object().unwrap() {
                        body[key] = value.clone();
                    }
                    provider.forget();
                    let stream = dialect.request(&body).stream(gateway.address());
                    let reply = stream.into_reply().unwrap().expect(200);
                    let text = reply.text();
                    match body["stream"] == true {
                        true => assert!(text.contains(dialect.end_marker()), "{reply}"),
                        false => assert_eq!(dialect.said(&reply).text, TEXT, "{reply}"),
                    }
                    let asked = provider.only_asked();
                    let upstream = asked.json();
                    for key in ["provider", "models", "route", "session_id"] {
                        let seen = upstream.get(key);
                        assert_eq!(seen, None, "{dialect:?} at {model}: {}", asked.text());
                    }
                    assert_eq!(upstream["model"], "scripted", "{}", asked.text());
                }
            }
        }
    }
}

#[test]
fn no_provider_of_embeddings_sees_it_either() {
    let provider = Provider::start(dialects::respond);
    let gateway = three_ways(&provider);
    let mut body = own_keys();
    body["model"] = json!("openai-model");
    body["models"] = json!(["openai-model"]);
    body["input"] = json!("hello");
    let request = Request::post("/v1/embeddings", &body);
    gateway.send(&request).expect(200);
    let expected = json!({ "model": "scripted", "input": "hello" });
    assert_eq!(provider.only_asked().json(), expected);
}

#[test]
fn a_key_that_is_spelled_with_escapes_is_the_same_key() {
    let provider = Provider::start(dialects::respond);
    let gateway = three_ways(&provider);
    for model in MODELS {
        let body = format!(
            r#"{{"model":"{model}","pro\u0076ider":{{"order":["x"]}},"session\u005fid":"s",
                "messages":[{{"role":"user","content":"hello"}}]}}"#
        );
        let request = Request::post_bytes("/v1/chat/completions", body);
        gateway.send(&request).expect(200);
    }
    for asked in provider.asked() {
        let upstream = asked.json();
        assert_eq!(upstream.get("provider"), None, "{}", asked.text());
        assert_eq!(upstream.get("session_id"), None, "{}", asked.text());
    }
}

/// Asks in each dialect that has a shape of its own; the reply must be this error.
fn in_every_shape(gateway: &Gateway, keys: &Value, check: impl Fn(Dialect, &Reply)) {
    for dialect in [Dialect::Chat, Dialect::Responses, Dialect::Messages] {
        let mut body = dialect.body("m");
        for (key, value) in keys.as_object().unwrap() {
            body[key] = value.clone();
        }
        check(dialect, &gateway.send(&dialect.request(&body)));
    }
}

#[test]
fn nonsense_is_refused_by_the_name_of_its_field() {
    let provider = Provider::start(openai::respond);
    let gateway = start(&provider);
    let fields = [
        (json!("alpha"), "provider"),
        (json!({ "oder": ["alpha"] }), "provider.oder"),
        (json!({ "order": "alpha" }), "provider.order"),
        (json!({ "order": [7] }), "provider.order"),
        (json!({ "only": [""] }), "provider.only"),
        (json!({ "ignore": {} }), "provider.ignore"),
        (json!({ "allow_fallbacks": "no" }), "provider.allow_fallbacks"),
        (json!({ "require_parameters": 1 }), "provider.require_parameters"),
        (json!({ "data_collection": "maybe" }), "provider.data_collection"),
        (json!({ "zdr": "yes" }), "provider.zdr"),
        (json!({ "enforce_distillable_text": [] }), "provider.enforce_distillable_text"),
        (json!({ "quantizations": ["fp7"] }), "provider.quantizations"),
        (json!({ "sort": "beauty" }), "provider.sort"),
        (json!({ "sort": { "by": "beauty" } }), "provider.sort.by"),
        (json!({ "sort": { "by": "price", "partition": "all" } }), "provider.sort.partition"),
        (json!({ "max_price": 3 }), "provider.max_price"),
        (json!({ "max_price": { "prompt": -1 } }), "provider.max_price.prompt"),
        (json!({ "max_price": { "completion": "cheap" } }), "provider.max_price.completion"),
        (json!({ "max_price": { "request": {} } }), "provider.max_price.request"),
        (json!({ "max_price": { "image": true } }), "provider.max_price.image"),
        (json!({ "max_price": { "audio": "-3" } }), "provider.max_price.audio"),
        (json!({ "preferred_min_throughput": 0 }), "provider.preferred_min_throughput"),
        (json!({ "preferred_max_latency": { "p42": 1 } }), "provider.preferred_max_latency.p42"),
        (json!({ "preferred_max_latency": { "p90": "x" } }), "provider.preferred_max_latency.p90"),
    ];
    let mut cases: Vec<(Value, &str)> =
        fields.into_iter().map(|(value, param)| (json!({ "provider": value }), param)).collect();
    cases.push((json!({ "models": "other" }), "models"));
    cases.push((json!({ "models": [3] }), "models"));
    cases.push((json!({ "route": "scenic" }), "route"));
    cases.push((json!({ "session_id": 3 }), "session_id"));
    cases.push((json!({ "session_id": "s".repeat(257) }), "session_id"));
    for (keys, param) in cases {
        in_every_shape(&gateway, &keys, |dialect, reply| {
            assert_eq!(reply.status, 400, "{keys}: {reply}");
            let message = dialect.error_message(reply);
            assert!(message.contains(param), "{keys}: no {param} in {message}");
            if dialect != Dialect::Messages {
                let found = reply.error("param");
                let found = found.as_str().unwrap_or_default();
                assert!(found.starts_with(param), "{keys}: {found} is not {param}");
            }
            assert_eq!(reply.header("x-torana-attempts").unwrap_or("0"), "0");
        });
    }
    assert_eq!(provider.asked().len(), 0);
    let long = openai::completion(&openai::chat("m")).header("x-session-id", &"s".repeat(257));
    assert_eq!(gateway.send(&long).expect(400).error("param"), "session_id");
}

#[test]
fn every_bad_field_is_told_at_once() {
    let provider = Provider::start(openai::respond);
    let gateway = start(&provider);
    let bad = json!({ "zdr": 1, "sort": "beauty", "max_price": { "prompt": -1 } });
    let reply = gateway.chat(&preferring(&bad)).expect(400);
    for field in ["provider.zdr", "provider.sort", "provider.max_price.prompt"] {
        assert!(reply.message().contains(field), "no {field}: {reply}");
    }
}

#[test]
fn preferences_that_leave_nobody_are_told_endpoint_by_endpoint() {
    let provider = Provider::start(openai::respond);
    let gateway = start(&provider);
    let wanted = json!({ "ignore": ["gamma"], "zdr": true, "quantizations": ["fp32"] });
    in_every_shape(&gateway, &json!({ "provider": wanted }), |dialect, reply| {
        assert_eq!(reply.status, 404, "{reply}");
        let message = dialect.error_message(reply);
        for part in [
            "alpha/alpha-m – its quantization is fp8, which is not in provider.quantizations",
            "beta/beta-m – its provider keeps prompts for 30 days, and provider.zdr is true",
            "gamma/gamma-m – it is in provider.ignore",
        ] {
            assert!(message.contains(part), "{dialect:?}: no {part:?} in {message}");
        }
        if dialect != Dialect::Messages {
            assert_eq!(dialect.error_code(reply), "no_endpoint", "{reply}");
            assert_eq!(reply.error("param"), "model", "{reply}");
        }
    });
    assert_eq!(provider.asked().len(), 0);
    // It is on record as any other call.
    let reply = gateway.chat(&preferring(&json!({ "only": ["nobody"] }))).expect(404);
    let record = gateway.inference(reply.only_header("x-torana-inference-id"));
    assert_eq!(record["error"]["code"], "no_endpoint", "{record:#}");
}

#[test]
fn who_allows_no_fallbacks_gets_the_error_of_the_one_that_was_asked() {
    let provider = Provider::start(|asked: &Asked| {
        if asked.json()["model"] == "alpha-m" {
            return Early::Status(500).script();
        }
        openai::respond(asked)
    });
    let gateway = start(&provider);
    gateway.chat(&openai::chat("m")).expect(200);
    for preferences in [
        json!({ "order": ["alpha"], "allow_fallbacks": false }),
        json!({ "only": ["alpha"] }),
        json!({ "only": ["alpha"], "allow_fallbacks": false }),
    ] {
        let reply = gateway.chat(&preferring(&preferences)).expect(500);
        assert_eq!(reply.only_header("x-torana-attempts"), "1", "{preferences}: {reply}");
        assert!(reply.message().contains("scripted failure"), "{reply}");
    }
    // The client's own fallback models are no fallbacks in this sense.
    let mut body = with(&json!({ "models": ["other"] }));
    body["provider"] = json!({ "only": ["alpha", "delta"], "allow_fallbacks": false });
    let reply = gateway.chat(&body).expect(200);
    assert_eq!(reply.only_header("x-torana-endpoint"), "delta/delta-m", "{reply}");
}

#[test]
fn models_alone_name_the_model_and_its_fallbacks() {
    let provider = Provider::start(openai::respond);
    let gateway = start(&provider);
    let mut body = with(&json!({ "models": ["other", "m"] }));
    body.as_object_mut().unwrap().remove("model");
    let decision = decision(&gateway, &body);
    assert_eq!(planned(&decision), ["delta", "alpha", "beta", "gamma"], "{decision:#}");
    body.as_object_mut().unwrap().remove("models");
    let refused = gateway.send(&openai::completion(&body)).expect(400).json();
    assert_eq!(refused["error"]["param"], "model", "{refused:#}");
}

#[test]
fn a_function_is_nothing_to_fall_back_to() {
    let provider = Provider::start(openai::respond);
    let gateway = start(&provider);
    let body = with(&json!({ "models": ["function::extract"] }));
    let refused = gateway.send(&openai::completion(&body)).expect(400).json();
    assert_eq!(refused["error"]["param"], "models[0]", "{refused:#}");
}

#[test]
fn slugs_that_mean_nobody_are_on_record() {
    let provider = Provider::start(openai::respond);
    let gateway = start(&provider);
    let preferences = json!({ "ignore": ["alfa", "gamma"], "order": ["beta"] });
    let decision = decision(&gateway, &preferring(&preferences));
    assert_eq!(decision["unmatched"], json!(["alfa"]), "{decision:#}");
}

#[test]
fn a_request_that_leaves_nobody_has_its_decision_on_record() {
    let provider = Provider::start(openai::respond);
    let gateway = start(&provider);
    let body = preferring(&json!({ "only": ["nobody"] }));
    let request = openai::completion(&body).header("x-torana-explain", "1");
    let reply = gateway.send(&request).expect(404);
    let explained: Value = serde_json::from_str(reply.only_header("x-torana-explain")).unwrap();
    let left_out = &explained["decision"]["models"][0]["left_out"];
    assert_eq!(left_out.as_array().unwrap().len(), 3, "{explained:#}");
    let record = gateway.inference(reply.only_header("x-torana-inference-id"));
    assert_eq!(record["decision"]["models"][0]["left_out"], *left_out, "{record:#}");
}
