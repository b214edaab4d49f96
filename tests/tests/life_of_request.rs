//! A request through the product as it comes, and what is known of it afterwards; and both
//! ways through the gateway say the same.

use serde_json::{Value, json};
use torana_tests::chat::{Chat, Streamed};
use torana_tests::client::Request;
use torana_tests::eventually::eventually;
use torana_tests::gateway::{Config, Folder, Gateway};
use torana_tests::openai::{self, TEXT};
use torana_tests::provider::{Asked, Provider};
use torana_tests::repository;
use torana_tests::script::Script;

use crate::setup::{PATHS, both_paths};

/// `config/torana.toml` as it is shipped, but for ports and places.
fn shipped() -> Folder {
    let text = std::fs::read_to_string(repository().join("config/torana.toml")).unwrap();
    let text = text
        .replace("127.0.0.1:3000", "127.0.0.1:0")
        .replace("127.0.0.1:3001", "127.0.0.1:0")
        .replace("\"../data/cache\"", &format!("{:?}", Config::cache_path()))
        .replace("../data/", "data/");
    Folder::with_text(&text)
}

#[test]
fn shipped_configuration_answers_and_remembers_with_no_key_and_no_network() {
    let gateway = Gateway::start_in(shipped(), &[]);
    let reply = gateway.chat(&openai::chat("demo")).expect(200);
    let chat = Chat::of(&reply);
    assert!(!chat.text.is_empty());
    assert_eq!(chat.finish_reason.as_deref(), Some("stop"));
    assert_eq!(reply.only_header("x-torana-endpoint"), "sim/demo");
    assert_eq!(reply.only_header("x-torana-attempts"), "1");
    assert_eq!(reply.only_header("x-torana-generation"), gateway.generation().to_string());
    let overhead: u64 = reply.only_header("x-torana-overhead-us").parse().unwrap();
    assert!(overhead < 60_000_000, "{overhead}");

    let stream = gateway.chat_stream(&openai::streaming_chat("demo"));
    let stream_id = stream.header("x-torana-inference-id").unwrap().to_owned();
    let streamed = Streamed::read(stream).expect_complete();
    assert!(!streamed.chat.text.is_empty());

    let id = reply.only_header("x-torana-inference-id");
    let record = gateway.inference(id);
    assert_eq!(record["id"], id, "{record:#}");
    assert_eq!(record["outcome"], "ok", "{record:#}");
    assert_eq!(record["model"], "demo", "{record:#}");
    let attempts = record["model_inferences"].as_array().unwrap();
    assert_eq!(attempts.len(), 1, "{record:#}");
    assert_eq!(attempts[0]["endpoint"], "sim/demo", "{record:#}");

    let ids = eventually("both calls in the list", || {
        let page = gateway.get("/v1/inferences?limit=10&model=demo").expect(200).json();
        let ids: Vec<Value> = items(&page).iter().map(|it| it["id"].clone()).collect();
        (ids.len() == 2).then_some(ids)
    });
    assert_eq!(ids, [json!(stream_id), json!(id)], "newest first");
}

#[test]
fn status_shows_the_provider_the_policy_and_the_sink_at_work() {
    let gateway = Gateway::start_in(shipped(), &[]);
    let reply = gateway.chat(&openai::chat("demo")).expect(200);
    gateway.inference(reply.only_header("x-torana-inference-id"));
    for (name, kind) in
        [("provider-sim", "provider"), ("router-adaptive", "router"), ("sink-sqlite", "sink")]
    {
        let plugin = gateway.plugin(name);
        assert_eq!(plugin["kind"], kind, "{plugin:#}");
        let digest = plugin["digest"].as_str().unwrap().trim_start_matches("sha256:");
        assert_eq!(digest.len(), 64, "{plugin:#}");
        assert_eq!(plugin["state"], "running", "{plugin:#}");
        assert!(gateway.account(name, "calls") > 0, "{plugin:#}");
        assert_eq!(gateway.account(name, "kills"), 0, "{plugin:#}");
    }
    let status = gateway.status();
    assert!(status["version"].is_string(), "{status:#}");
    assert!(status["snapshot"].is_string(), "{status:#}");
    gateway.admin("/health").expect(200);
    gateway.admin("/ready").expect(200);
}

#[test]
fn models_are_listed_by_the_names_that_clients_use() {
    let gateway = Gateway::start_in(shipped(), &[]);
    let list = gateway.get("/v1/models").expect(200).json();
    assert_eq!(list["object"], "list", "{list:#}");
    let models: Vec<&Value> = list["data"].as_array().unwrap().iter().collect();
    assert!(models.iter().any(|model| model["id"] == "demo"), "{list:#}");
    assert!(models.iter().all(|model| model["object"] == "model"), "{list:#}");
}

#[test]
fn inferences_are_paged_without_gap_or_repetition() {
    let provider = Provider::start(openai::respond);
    let gateway = Gateway::start(&both_paths(&provider));
    let mut expected: Vec<String> = (0..5)
        .map(|_| gateway.chat(&openai::chat("forwarded")).expect(200))
        .map(|reply| reply.only_header("x-torana-inference-id").to_owned())
        .collect();
    expected.reverse();
    for id in &expected {
        gateway.inference(id);
    }
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = gateway.get(&format!("/v1/inferences?limit=2{cursor}")).expect(200).json();
        ids.extend(items(&page).iter().map(|it| it["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
        assert!(ids.len() <= expected.len(), "pages go on: {ids:?}");
    }
    assert_eq!(ids, expected);
}

fn items(page: &Value) -> &Vec<Value> {
    page["data"].as_array().unwrap_or_else(|| panic!("no page: {page:#}"))
}

#[test]
fn whole_answers_say_the_same_forwarded_and_translated() {
    for respond in [openai::respond, openai::respond_with_tools] {
        let gateway_to = Provider::start(respond);
        let gateway = Gateway::start(&both_paths(&gateway_to));
        let answers = PATHS.map(|path| Chat::of(&gateway.chat(&with_tools(path)).expect(200)));
        assert_eq!(answers[0], answers[1]);
        let direct = Request::post("/v1/chat/completions", &with_tools("scripted"))
            .send(gateway_to.address());
        assert_eq!(answers[0], Chat::of(&direct), "it is what the provider said");
    }
}

#[test]
fn streamed_answers_say_the_same_forwarded_and_translated() {
    for respond in [openai::respond, openai::respond_with_tools] {
        let gateway_to = Provider::start(respond);
        let gateway = Gateway::start(&both_paths(&gateway_to));
        let streamed = |path| {
            let mut body = with_tools(path);
            body["stream"] = json!(true);
            body["stream_options"] = json!({ "include_usage": true });
            Streamed::read(gateway.chat_stream(&body)).expect_complete().chat
        };
        let whole = Chat::of(&gateway.chat(&with_tools("forwarded")).expect(200));
        for path in PATHS {
            assert_eq!(streamed(path), whole, "{path}");
        }
    }
}

#[test]
fn translated_request_asks_for_the_same_as_the_forwarded_one() {
    let provider = Provider::start(openai::respond);
    let gateway = Gateway::start(&both_paths(&provider));
    for path in PATHS {
        gateway.chat(&with_tools(path)).expect(200);
    }
    let asked = provider.asked();
    assert_eq!(asked.len(), 2);
    for request in &asked {
        assert_eq!(
            (request.method.as_str(), request.path.as_str()),
            ("POST", "/v1/chat/completions")
        );
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert!(request.header("authorization").is_none(), "no credential was configured");
    }
    assert_eq!(asked[0].json(), asked[1].json());
    assert_eq!(asked[0].json()["model"], "scripted");
}

/// A request that uses what both ways have to carry.
fn with_tools(model: &str) -> Value {
    json!({
        "model": model,
        "messages": [
            { "role": "system", "content": "be brief" },
            { "role": "user", "content": "weather in Zürich & Paris?" },
            { "role": "assistant", "content": null, "tool_calls": [
                { "id": "call_0", "type": "function",
                  "function": { "name": "weather", "arguments": "{\"city\": \"Bern\"}" } },
            ] },
            { "role": "tool", "tool_call_id": "call_0", "content": "rain" },
        ],
        "tools": [{ "type": "function", "function": {
            "name": "weather", "description": "Weather of a city",
            "parameters": { "type": "object", "properties": { "city": { "type": "string" } } },
        } }],
        "tool_choice": "auto",
        "temperature": 0.25,
        "max_tokens": 100,
        "stop": ["\n\n"],
        "seed": 7,
    })
}

#[test]
fn forwarded_body_is_untouched_but_for_the_model() {
    let provider = Provider::start(openai::respond);
    let gateway = Gateway::start(&both_paths(&provider));
    let body = r#"{ "x_unknown" : {"z":1.0,"a":[1e3, 12345678901234567890, -0.0]},
        "messages":[{"role":"user","content":"h\u00e9 \ud83d\udc4b","x_other":null}],"temperature":0.70,
        "model": "forwarded" ,"logit_bias":{"50256":-100}}"#;
    let reply = gateway.send(&Request::post_bytes("/v1/chat/completions", body)).expect(200);
    let expected = body.replace("\"forwarded\"", "\"scripted\"");
    assert_eq!(provider.only_asked().text(), expected);
    assert_eq!(reply.json(), openai::answer(TEXT), "nothing is lost on the way back");
}

#[test]
fn credential_of_the_operator_reaches_the_provider_and_no_other_header_of_the_client_does() {
    let provider = Provider::start(openai::respond);
    let table = format!(
        "[providers.up]\npreset = \"openai-compatible\"\nbase_url = \"{}\"\n\
         credential = \"env:UPSTREAM_KEY\"\n[models.m]\nendpoints = [\"up/scripted\"]\n\
         [keys.team]\nsecret = \"env:CLIENT_KEY\"",
        provider.url()
    );
    let folder = Folder::new(&Config::new(table));
    let environment = [("UPSTREAM_KEY", "sk-upstream-secret"), ("CLIENT_KEY", "client-secret")];
    let gateway = Gateway::start_in(folder, &environment);
    let request = openai::completion(&openai::chat("m"))
        .header("authorization", "Bearer client-secret")
        .header("cookie", "session=1")
        .header("x-forwarded-for", "203.0.113.7");
    gateway.send(&request).expect(200);
    let asked = provider.only_asked();
    assert_eq!(asked.header("authorization"), Some("Bearer sk-upstream-secret"));
    assert_eq!(asked.header("cookie"), None);
    assert!(!format!("{asked:?}").contains("client-secret"));
    for secret in ["sk-upstream-secret", "client-secret"] {
        assert!(!gateway.log().contains(secret), "a secret is in the log");
    }
}

#[test]
fn function_serves_one_of_its_variants_and_names_it() {
    let provider = Provider::start(|asked: &Asked| Script::json(200, &echo(asked)));
    let tables = "[functions.greet.variants.a]\nmodel = \"forwarded\"\nweight = 1\n\
                  system = \"a.txt\"\ntemperature = 0.5\n";
    let folder = Folder::with_files(&both_paths(&provider).and(tables), &[("a.txt", "be kind")]);
    let gateway = Gateway::start_in(folder, &[]);
    let reply = gateway.chat(&openai::chat("function::greet")).expect(200);
    assert_eq!(reply.only_header("x-torana-variant"), "a");
    let asked = provider.only_asked().json();
    assert_eq!(asked["messages"][0]["role"], "system", "{asked:#}");
    assert_eq!(asked["messages"][0]["content"], "be kind", "{asked:#}");
    assert_eq!(asked["temperature"], 0.5, "{asked:#}");
}

fn echo(asked: &Asked) -> Value {
    openai::answer(&asked.json()["messages"].to_string())
}
