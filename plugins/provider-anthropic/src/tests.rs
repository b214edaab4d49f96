//! What the adapter asks, and what it makes of answers.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]
use serde_json::{Value, json};
use torana_plugin_sdk::chat::{Block, Message, Role};
use torana_plugin_sdk::provider::{Frame, StreamParser};
use torana_plugin_sdk::{CallErrorKind, StreamEvent};

use super::settings::Structured;
use super::*;

fn endpoint(settings: Value) -> Endpoint<Settings> {
    Endpoint { model: "claude-real".into(), settings: serde_json::from_value(settings).unwrap() }
}

fn request() -> Request {
    let message = |role, text: &str| Message { role, blocks: vec![Block::text(text)], name: None };
    Request {
        model: "alias".into(),
        messages: vec![message(Role::System, "be brief"), message(Role::User, "hi")],
        ..Request::default()
    }
}

fn header<'a>(headers: &'a [Header], name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|it| it.name == name)?;
    Some(&found.value)
}

#[test]
fn request_carries_model_system_and_version() {
    let Built::Send(sent) = Anthropic::build(&endpoint(json!({})), request()).unwrap() else {
        panic!("not sent");
    };
    assert_eq!(sent.path, "/messages");
    assert_eq!(header(&sent.headers, "anthropic-version"), Some("2023-06-01"));
    assert_eq!(header(&sent.headers, "anthropic-beta"), None);
    let body: Value = serde_json::from_slice(&sent.body).unwrap();
    assert_eq!(body["model"], "claude-real");
    assert!(body["system"].to_string().contains("be brief"));
    assert!(body["max_tokens"].as_u64().unwrap() > 0, "the provider demands a limit");
}

#[test]
fn both_ways_carry_the_same_headers() {
    let endpoint = endpoint(json!({ "version": "2030-01-01", "beta": ["a", "b"] }));
    let Built::Send(sent) = Anthropic::build(&endpoint, request()).unwrap() else {
        panic!("not sent");
    };
    let wire = Wire::AnthropicMessages;
    let head = ForwardHead { wire, stream: true, stream_usage: false, headers: Vec::new() };
    let forwarded = Anthropic::forward(&endpoint, head).unwrap();
    assert_eq!(forwarded.headers, sent.headers);
    assert_eq!(forwarded.path, sent.path);
    assert_eq!(forwarded.patches, []);
    assert_eq!(header(&sent.headers, "anthropic-version"), Some("2030-01-01"));
    assert_eq!(header(&sent.headers, "anthropic-beta"), Some("a,b"));
}

#[test]
fn credential_is_a_header_that_the_host_fills() {
    let info = Anthropic::describe(&Settings::default()).unwrap();
    assert_eq!(info.credential, CredentialScheme::Header("x-api-key".into()));
}

#[test]
fn overload_becomes_a_call_error() {
    let answer = HttpResponse {
        status: 529,
        headers: vec![],
        body: br#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#
            .to_vec(),
    };
    let error = Anthropic::parse(&endpoint(json!({})), &answer).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Overloaded);
    assert_eq!(error.status, Some(529));
}

#[test]
fn stream_without_its_end_does_not_finish() {
    let mut parser = Anthropic::stream(&endpoint(json!({})));
    let mut events = Vec::new();
    for (event, data) in [
        (
            "message_start",
            r#"{"type":"message_start","message":{"id":"x","type":"message","role":"assistant","model":"m","content":[],"usage":{"input_tokens":3,"output_tokens":1}}}"#,
        ),
        (
            "content_block_start",
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        ),
        (
            "content_block_delta",
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"he"}}"#,
        ),
    ] {
        let frame = Frame { event: Some(event.into()), data: data.into() };
        StreamParser::push(&mut parser, &frame, &mut events);
    }
    StreamParser::finish(&mut parser, &mut events);
    assert!(
        events.iter().any(|it| matches!(it, StreamEvent::TextDelta { text, .. } if text == "he"))
    );
    assert!(!events.iter().any(|it| matches!(it, StreamEvent::Finish(_))));
}

fn forward(settings: Value, wire: Wire, stream: bool, headers: &[(&str, &str)]) -> Forwarded {
    let headers = headers.iter().map(|&(name, value)| Header::new(name, value)).collect();
    let head = ForwardHead { wire, stream, stream_usage: false, headers };
    Anthropic::forward(&endpoint(settings), head).unwrap()
}

#[test]
fn tokens_are_counted_below_the_path() {
    let wire = Wire::AnthropicCountTokens;
    assert_eq!(forward(json!({}), wire, false, &[]).path, "/messages/count_tokens");
    let query = json!({ "path": "/v1/messages?beta=true" });
    assert_eq!(forward(query, wire, false, &[]).path, "/v1/messages/count_tokens?beta=true");
    let info = Anthropic::describe(&Settings::default()).unwrap();
    assert!(info.wires.contains(&Wire::AnthropicCountTokens));
}

#[test]
fn clients_betas_join_those_of_the_settings_and_its_version_wins() {
    let headers = [("anthropic-beta", "b, c"), ("anthropic-version", "2031-01-01")];
    let settings = json!({ "beta": ["a", "b"] });
    let forwarded = forward(settings, Wire::AnthropicMessages, false, &headers);
    assert_eq!(header(&forwarded.headers, "anthropic-beta"), Some("a,b,c"));
    assert_eq!(header(&forwarded.headers, "anthropic-version"), Some("2031-01-01"));
}

#[test]
fn betas_of_the_body_become_a_header() {
    let mut request = request();
    request.extra.insert("betas".into(), json!(["x", "y"]));
    let Built::Send(sent) = Anthropic::build(&endpoint(json!({ "beta": ["x"] })), request).unwrap()
    else {
        panic!("not sent");
    };
    assert_eq!(header(&sent.headers, "anthropic-beta"), Some("x,y"));
}

#[test]
fn vertex_has_the_model_in_the_path_and_the_version_in_the_body() {
    let vertex = json!({ "platform": "vertex" });
    for (stream, method) in [(false, "rawPredict"), (true, "streamRawPredict")] {
        let path = format!("/publishers/anthropic/models/claude-real:{method}");
        let request = Request { stream, ..request() };
        let Built::Send(sent) = Anthropic::build(&endpoint(vertex.clone()), request).unwrap()
        else {
            panic!("not sent");
        };
        assert_eq!(sent.path, path);
        assert_eq!(header(&sent.headers, "anthropic-version"), None);
        let body: Value = serde_json::from_slice(&sent.body).unwrap();
        assert_eq!(body["anthropic_version"], "vertex-2023-10-16");
        assert_eq!(body.get("model"), None);
        let forwarded = forward(vertex.clone(), Wire::AnthropicMessages, stream, &[]);
        assert_eq!(forwarded.path, path);
        let version =
            Patch { key: "anthropic_version".into(), value: Some(json!("vertex-2023-10-16")) };
        let model = Patch { key: "model".into(), value: None };
        assert_eq!(forwarded.patches, [version, model]);
    }
    let counted = forward(vertex.clone(), Wire::AnthropicCountTokens, false, &[]);
    assert_eq!(counted.path, "/publishers/anthropic/models/count-tokens:rawPredict");
    assert!(counted.patches.iter().all(|patch| patch.key != "model"), "the model stays");
    let settings: Settings = serde_json::from_value(vertex).unwrap();
    let info = Anthropic::describe(&settings).unwrap();
    assert_eq!(info.credential, CredentialScheme::GoogleOauth);
}

#[test]
fn models_name_cannot_leave_the_path() {
    for model in ["", "../x", "a/b", "a?b", "a:predict"] {
        let endpoint =
            Endpoint { model: model.into(), ..endpoint(json!({ "platform": "vertex" })) };
        let error = Anthropic::build(&endpoint, request()).unwrap_err();
        assert_eq!(error.kind, CallErrorKind::InvalidRequest, "{model}");
    }
}

#[test]
fn settings_that_cannot_work_are_refused_with_their_place() {
    for settings in [json!({ "path": "messages" }), json!({ "platform": "vertex", "path": "/x" })] {
        let settings: Settings = serde_json::from_value(settings).unwrap();
        assert!(Anthropic::describe(&settings).is_err());
    }
    assert!(serde_json::from_value::<Settings>(json!({ "platform": "azure" })).is_err());
}

#[test]
fn older_models_are_declared_to_answer_through_a_tool() {
    let settings = Settings { structured_output: Structured::Tool, ..Settings::default() };
    let info = Anthropic::describe(&settings).unwrap();
    assert_eq!(info.structured_output, torana_plugin_sdk::provider::StructuredOutput::Tool);
    let info = Anthropic::describe(&Settings::default()).unwrap();
    assert_eq!(info.structured_output, torana_plugin_sdk::provider::StructuredOutput::JsonSchema);
}

/// Holds `found` to a file under `src/golden`; `TORANA_BLESS=1` writes it anew.
fn assert_golden(name: &str, found: &Value) {
    let path = format!("{}/src/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    let found = format!("{}\n", serde_json::to_string_pretty(found).unwrap());
    if std::env::var_os("TORANA_BLESS").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    assert_eq!(found, std::fs::read_to_string(&path).unwrap_or_default(), "{path}");
}

#[test]
fn golden_request() {
    let request: Request = serde_json::from_value(json!({
        "model": "alias", "stream": true,
        "messages": [
            { "role": "system", "blocks": [{ "type": "text", "text": "Be brief.", "cache": { "ttl": "1h" } }] },
            { "role": "user", "blocks": [
                { "type": "text", "text": "What is on it?" },
                { "type": "media", "kind": "image", "source": { "from": "url", "url": "https://host/i.png" } }] },
            { "role": "assistant", "blocks": [
                { "type": "reasoning", "text": "hm", "signature": "c2ln", "dialect": "anthropic-messages" },
                { "type": "reasoning", "text": "other", "signature": "Zm9v", "dialect": "gemini" },
                { "type": "tool_call", "id": "call_1", "name": "look", "arguments": "{\"at\": \"it\"}" }] },
            { "role": "tool", "blocks": [{ "type": "tool_result", "id": "call_1", "blocks": [{ "type": "text", "text": "a cat" }] }] }],
        "tools": [{ "type": "function", "name": "look", "description": "Looks.", "parameters": { "type": "object" } }],
        "tool_choice": { "type": "auto" }, "parallel_tool_calls": false,
        "output_format": { "type": "json_schema", "name": "n", "schema": { "type": "object" } },
        "sampling": { "temperature": 0.5, "max_output_tokens": 9000, "seed": 1, "stop": ["END"] },
        "reasoning": { "effort": "high" }, "user": "u", "extra": { "betas": ["b"], "logit_bias": {} },
    }))
    .unwrap();
    for (name, settings) in
        [("request.json", json!({})), ("request_vertex.json", json!({ "platform": "vertex" }))]
    {
        let endpoint = Endpoint { model: "claude-opus-5".into(), ..endpoint(settings) };
        let Built::Send(sent) = Anthropic::build(&endpoint, request.clone()).unwrap() else {
            panic!("not sent");
        };
        let headers: Vec<_> = sent
            .headers
            .iter()
            .map(|header| format!("{}: {}", header.name, header.value))
            .collect();
        let body: Value = serde_json::from_slice(&sent.body).unwrap();
        let found = json!({ "method": sent.method, "path": sent.path, "headers": headers,
            "dropped": sent.dropped, "body": body });
        assert_golden(name, &found);
    }
}

fn answer(status: u16, body: &str) -> HttpResponse {
    let headers = vec![Header::new("retry-after", "2")];
    HttpResponse { status, headers, body: body.into() }
}

#[test]
fn golden_response() {
    let body = include_str!("golden/wire_response.json");
    let response = Anthropic::parse(&endpoint(json!({})), &answer(200, body)).unwrap();
    assert_golden("response.json", &serde_json::to_value(response).unwrap());
}

#[test]
fn golden_stream() {
    let mut parser = Anthropic::stream(&endpoint(json!({})));
    let mut events = Vec::new();
    for line in include_str!("golden/wire_stream.txt").lines() {
        let frame = Frame { event: None, data: line.into() };
        StreamParser::push(&mut parser, &frame, &mut events);
    }
    StreamParser::finish(&mut parser, &mut events);
    let events: Vec<_> = events.iter().map(|event| format!("{event:?}")).collect();
    assert_golden("stream.json", &json!(events));
}

#[test]
fn golden_errors() {
    let errors: Vec<_> = [
        (400, r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 tokens > 8 maximum"},"request_id":"req_1"}"#),
        (401, r#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}"#),
        (403, r#"{"type":"error","error":{"type":"permission_error","message":"not yours"}}"#),
        (404, r#"{"type":"error","error":{"type":"not_found_error","message":"model: claude-0"}}"#),
        (413, r#"{"type":"error","error":{"type":"request_too_large","message":"too large"}}"#),
        (429, r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}"#),
        (500, r#"{"type":"error","error":{"type":"api_error","message":"Internal server error"}}"#),
        (529, r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#),
        // Vertex AI speaks Google's shape where the request does not reach the model.
        (403, r#"{"error":{"code":403,"message":"Permission denied on resource project p.","status":"PERMISSION_DENIED"}}"#),
        (429, r#"{"error":{"code":429,"message":"Quota exceeded.","status":"RESOURCE_EXHAUSTED"}}"#),
        (502, "<html>bad gateway</html>"),
    ]
    .into_iter()
    .map(|(status, body)| Anthropic::parse(&endpoint(json!({})), &answer(status, body)).unwrap_err())
    .collect();
    assert_golden("error.json", &serde_json::to_value(errors).unwrap());
}
