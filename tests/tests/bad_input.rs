//! Whatever a client or an operator gets wrong: one clear answer that names the cause and the
//! remedy, and a process that goes on.

use serde_json::{Value, json};
use torana_tests::client::{Connection, Request};
use torana_tests::gateway::{Config, Folder, Gateway, MISCONFIGURED, both};
use torana_tests::openai;

use crate::setup::{NEIGHBOUR, SINK};

const CHAT: &str = "/v1/chat/completions";

fn gateway() -> Gateway {
    Gateway::start(&Config::new(format!("{NEIGHBOUR}{SINK}")).server("body_limit_mib = 1"))
}

/// A request that differs from a good one in one key.
fn with(key: &str, value: Value) -> Value {
    let mut body = openai::chat("neighbour");
    body[key] = value;
    body
}

#[test]
fn wrong_types_are_refused_with_the_parameter_named() {
    let gateway = gateway();
    let table = [
        ("messages", json!("hello")),
        ("messages", json!([])),
        ("messages[0].role", json!([{ "role": "wizard", "content": "x" }])),
        ("messages[0].content", json!([{ "role": "user", "content": 7 }])),
        ("model", json!(5)),
        ("temperature", json!("warm")),
        ("max_tokens", json!(-1)),
        ("stream", json!("yes")),
        ("tools", json!("hammer")),
        ("stop", json!(5)),
    ];
    for (param, value) in table {
        let key = param.split(['[', '.']).next().unwrap();
        let reply = gateway.chat(&with(key, value)).expect(400);
        assert_eq!(reply.error("code"), "invalid_request", "{param}: {reply}");
        assert_eq!(reply.error("type"), "invalid_request_error", "{param}: {reply}");
        let named = reply.error("param");
        assert!(named.as_str().is_some_and(|it| it.starts_with(key)), "{param}: {reply}");
        assert!(!reply.message().is_empty());
    }
    still_serves(&gateway);
}

#[test]
fn missing_parameters_are_named() {
    let gateway = gateway();
    for key in ["model", "messages"] {
        let mut body = openai::chat("neighbour");
        body.as_object_mut().unwrap().remove(key);
        let reply = gateway.chat(&body).expect(400);
        assert_eq!(reply.error("param"), key, "{reply}");
        assert!(reply.message().contains(key), "{reply}");
    }
}

#[test]
fn body_that_is_no_json_object_is_refused() {
    let gateway = gateway();
    let deep = "[".repeat(100_000);
    let bodies: [&[u8]; 9] = [
        b"",
        b"{",
        b"hello",
        b"[]",
        b"null",
        b"{\"model\":\"neighbour\",}",
        b"{\"model\":\"neighbour\"} trailing",
        b"{\"model\":\"\xff\"}",
        deep.as_bytes(),
    ];
    for body in bodies {
        let reply = gateway.send(&Request::post_bytes(CHAT, body)).expect(400);
        let code = reply.error("code");
        let expected = ["invalid_json", "invalid_request", "json_too_complex"];
        assert!(expected.iter().any(|expected| code == *expected), "{reply}");
    }
    let reply = gateway.send(&Request::post_bytes(CHAT, "{\"model\": \n nope}")).expect(400);
    assert_eq!(reply.error("code"), "invalid_json", "{reply}");
    assert!(reply.message().contains("line 2"), "the place is told: {reply}");
    still_serves(&gateway);
}

#[test]
fn unknown_model_is_refused_with_those_that_exist() {
    let gateway = gateway();
    for model in ["neighbor", "nowhere/model", "function::nothing", "", "sim/", "../../etc"] {
        for body in [openai::chat(model), openai::streaming_chat(model)] {
            let reply = gateway.chat(&body).expect(404);
            assert_eq!(reply.error("code"), "model_not_found", "{model}: {reply}");
            assert_eq!(reply.error("param"), "model", "{model}: {reply}");
            assert!(reply.message().contains("neighbour"), "{model}: {reply}");
        }
    }
}

#[test]
fn body_over_the_limit_is_refused_before_it_is_read() {
    let gateway = gateway();
    let large = with("messages", json!([{ "role": "user", "content": "x".repeat(2 << 20) }]));
    let reply = Connection::open(gateway.address())
        .unwrap()
        .send_until_answered(&openai::completion(&large));
    let reply = reply.expect(413);
    assert_eq!(reply.error("code"), "body_too_large", "{reply}");
    assert!(reply.message().contains("body_limit_mib"), "the remedy is named: {reply}");

    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n");
    let answer = Connection::open(gateway.address()).unwrap().send_raw(head.as_bytes()).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 413"), "{}", String::from_utf8_lossy(&answer));
    still_serves(&gateway);
}

#[test]
fn wrong_route_and_wrong_method_are_told_apart() {
    let gateway = gateway();
    for path in ["/", "/v1", "/v1/chat", "/v2/chat/completions", "/status", "/metrics", "/reload"] {
        let reply = gateway.get(path).expect(404);
        assert!(!reply.message().is_empty(), "{path}");
    }
    for (method, path, allowed) in
        [("PUT", CHAT, "POST"), ("DELETE", "/v1/models", "GET"), ("POST", "/v1/inferences", "GET")]
    {
        let reply = gateway.send(&Request::new(method, path, Vec::new())).expect(405);
        assert!(reply.only_header("allow").contains(allowed), "{method} {path}: {reply}");
        assert!(reply.message().contains(allowed), "{method} {path}: {reply}");
    }
    let request = Request::get("/reload");
    assert_eq!(request.send(gateway.admin_address()).status, 405);
}

#[test]
fn inferences_refuse_what_they_do_not_know() {
    let gateway = gateway();
    for query in ["limit=0", "limit=many", "limit=100000", "cursor=nonsense", "modell=x"] {
        let reply = gateway.get(&format!("/v1/inferences?{query}")).expect(400);
        assert!(!reply.message().is_empty(), "{query}");
    }
    let absent = "00000000-0000-7000-8000-000000000000";
    gateway.get(&format!("/v1/inferences/{absent}")).expect(404);
    let odd = gateway.get("/v1/inferences/not-an-id");
    assert!(matches!(odd.status, 400 | 404), "{odd}");
}

#[test]
fn missing_and_wrong_keys_are_refused_and_the_right_one_is_not() {
    let tables = format!("{NEIGHBOUR}{SINK}[keys.team]\nsecret = \"env:CLIENT_KEY\"\n");
    let folder = Folder::new(&Config::new(tables));
    let gateway = Gateway::start_in(folder, &[("CLIENT_KEY", "sk-right")]);
    let request = openai::completion(&openai::chat("neighbour"));
    let wrong = [
        (None, "missing_api_key", "Authorization: Bearer"),
        (Some("Basic c2stcmlnaHQ="), "missing_api_key", "Authorization: Bearer"),
        (Some("Bearer sk-wrong"), "invalid_api_key", "[keys]"),
        (Some("Bearer sk-right-and-more"), "invalid_api_key", "[keys]"),
    ];
    for (credential, code, remedy) in wrong {
        let request = match credential {
            Some(credential) => request.clone().header("authorization", credential),
            None => request.clone(),
        };
        let reply = gateway.send(&request).expect(401);
        assert_eq!(reply.error("code"), code, "{reply}");
        assert!(reply.message().contains(remedy), "it says how: {reply}");
        assert!(!reply.text().contains("sk-"), "{reply}");
    }
    gateway.get("/v1/models").expect(401);
    gateway.get("/v1/inferences").expect(401);
    gateway.send(&request.header("authorization", "Bearer sk-right")).expect(200);
}

#[test]
fn bytes_that_are_no_http_end_with_their_connection() {
    let gateway = gateway();
    let long_header = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    let inputs: [&[u8]; 7] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"\0\0\0\0",
        long_header.as_bytes(),
    ];
    for input in inputs {
        let connection = Connection::open(gateway.address()).unwrap();
        // The gateway may close before everything is written, which is as good an answer.
        let answer = connection.send_raw(input).unwrap_or_default();
        let is_refused = answer.is_empty() || answer.starts_with(b"HTTP/1.1 4");
        assert!(is_refused, "{}", String::from_utf8_lossy(&answer));
    }
    still_serves(&gateway);
}

#[test]
fn configuration_with_many_mistakes_is_told_all_of_them_at_once() {
    let text = "[server]\nlisten = \"127.0.0.1:0\"\nlisten_port = 1\n\
                [admin]\nlisten = 5\n\
                [providers.a]\npreset = \"opanai\"\n\
                [providers.b]\nplugin = \"provider-opnai\"\nbase_url = \"ftp://x\"\n\
                [providers.c]\npreset = \"openai\"\ncredential = \"sk-live-secret-value\"\n\
                [models.m]\nendpoint = [\"a/x\"]\nendpoints = [\"zz/x\"]\nrouter = \"prioritty\"\n\
                [plugins.p]\nsource = \"file:absent.wasm\"\nlimits = { memory_mb = 3 }\n";
    let folder = Folder::with_text(text);
    let (content, told) = folder.check();
    assert!(!content);
    for (line, words) in [
        (3, "listen_port"),
        (5, "listen"),
        (7, "openai"),
        (9, "provider-openai"),
        (10, "ftp"),
        (13, "env:NAME"),
        (15, "endpoints"),
        (16, "zz"),
        (17, "priority"),
        (20, "memory_mib"),
    ] {
        let place = format!("torana.toml:{line}:");
        let found = told.lines().any(|it| it.contains(&place) && it.contains(words));
        assert!(found, "no line with {place} and {words}:\n{told}");
    }
    assert!(!told.contains("secret-value"), "a secret in the wrong place is not repeated: {told}");
    let served = folder.run(&["serve"]);
    assert_eq!(served.status.code(), Some(MISCONFIGURED));
    assert!(both(&served).contains("listen_port"), "{served:?}");
}

#[test]
fn configuration_that_is_absent_or_no_toml_is_told_with_its_place() {
    let folder = Folder::with_text("[server\n");
    let (content, told) = folder.check();
    assert!(!content);
    assert!(told.contains("torana.toml:1:"), "{told}");
    std::fs::remove_file(folder.config_path()).unwrap();
    let (content, told) = folder.check();
    assert!(!content);
    assert!(told.contains("torana.toml"), "{told}");
}

#[test]
fn listener_open_to_the_world_without_keys_is_refused_unless_it_is_said() {
    let text = |server: &str| {
        format!(
            "[server]\nlisten = \"0.0.0.0:0\"\n{server}\n[admin]\nlisten = \"127.0.0.1:0\"\n{NEIGHBOUR}"
        )
    };
    let (content, told) = Folder::with_text(&text("")).check();
    assert!(!content);
    assert!(told.contains("auth = \"none\""), "the remedy is named: {told}");
    let (content, told) = Folder::with_text(&text("auth = \"none\"")).check();
    assert!(content, "{told}");
}

fn still_serves(gateway: &Gateway) {
    gateway.chat(&openai::chat("neighbour")).expect(200);
    gateway.admin("/health").expect(200);
}
