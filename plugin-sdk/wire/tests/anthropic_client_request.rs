//! A client's Messages body is understood, comes out as it went in, and its mistakes are
//! pointed at.
#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};
use torana_wire::anthropic::request::{decode, decode_to_count, encode};
use torana_wire::chat::{
    Block, CacheMarker, MediaKind, MediaSource, OutputFormat, Request, Role, Tool, ToolChoice,
};
use torana_wire::openai;

const GOLDEN: &str = include_str!("golden/anthropic_request.json");

fn decoded(body: &Value) -> Request {
    let request = decode(body.to_string().as_bytes()).unwrap();
    // The payload is JSON itself between host and plugin: that must not lose anything either.
    serde_json::from_slice(&serde_json::to_vec(&request).unwrap()).unwrap()
}

fn round_trip(body: &Value) -> Value {
    let encoded = encode(&decoded(body), body["model"].as_str().unwrap()).unwrap();
    assert_eq!(encoded.dropped, Vec::<String>::new());
    serde_json::from_slice(&encoded.body).unwrap()
}

/// A body around these parts.
fn body(parts: Value) -> Value {
    let mut body = json!({"model": "claude-opus-5", "max_tokens": 100,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]});
    for (key, value) in parts.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

#[test]
fn golden_request_keeps_every_field() {
    let body: Value = serde_json::from_str(GOLDEN).unwrap();
    assert_eq!(round_trip(&body), body);
}

#[test]
fn golden_request_is_understood() {
    let request = decode(GOLDEN.as_bytes()).unwrap();
    assert_eq!(request.sampling.max_output_tokens, Some(9000));
    assert_eq!(request.user.as_deref(), Some("u"));
    assert_eq!(request.tool_choice, Some(ToolChoice::Auto));
    assert_eq!(request.parallel_tool_calls, Some(false));
    let reasoning = request.reasoning.as_ref().unwrap();
    assert_eq!((reasoning.effort.as_deref(), reasoning.budget_tokens), (Some("high"), None));
    assert!(matches!(request.output_format, Some(OutputFormat::JsonSchema { .. })));
    let roles: Vec<_> = request.messages.iter().map(|message| message.role).collect();
    let expected =
        [Role::System, Role::User, Role::Assistant, Role::User, Role::System, Role::User];
    assert_eq!(roles, expected);
    let pdf = Block::Media {
        kind: MediaKind::File,
        source: MediaSource::Inline { data: "JVBERi0=".into() },
        mime_type: Some("application/pdf".into()),
        filename: Some("Report".into()),
        detail: None,
        cache: Some(CacheMarker { ttl: Some("1h".into()) }),
    };
    let asked = &request.messages[1].blocks;
    assert!(asked.contains(&pdf));
    assert!(asked.contains(&Block::text("plain words")), "a text document is text to others");
    assert!(request.messages[2].blocks.iter().any(|block| matches!(block,
        Block::Reasoning { signature: Some(signature), dialect: Some(dialect), .. }
            if signature == "c2ln" && dialect == "anthropic-messages")));
    assert!(matches!(&request.tools[..],
        [Tool::Other { .. }, Tool::Function { name, .. }, Tool::Other { .. }] if name == "look"));
}

#[test]
fn strings_and_older_names_take_the_normal_form() {
    let found = round_trip(&json!({
        "model": "claude-sonnet-4-5", "max_tokens": 5000, "system": "Be brief.", "stream": false,
        "temperature": null, "metadata": {"user_id": null},
        "messages": [
            {"role": "user", "content": "a"},
            {"role": "user", "content": [{"type": "text", "text": "b", "citations": null}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"x": 1.5}}]},
            {"role": "user", "content": [{"type": "text", "text": "c"},
                {"type": "tool_result", "tool_use_id": "t", "content": "ok", "is_error": false}]}],
        "tools": [{"type": "custom", "name": "f", "input_schema": {"type": "object"}, "strict": false}],
        "output_format": {"type": "json_schema", "schema": {"type": "object"}},
    }));
    let expected = json!({
        "model": "claude-sonnet-4-5", "max_tokens": 5000,
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"x": 1.5}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "ok"}]},
                {"type": "text", "text": "c"}]}],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
    });
    assert_eq!(found, expected);
}

#[test]
fn thinking_of_every_kind_survives() {
    for (model, parts) in [
        ("claude-sonnet-4-5", json!({"thinking": {"type": "enabled", "budget_tokens": 4999}})),
        ("claude-opus-4-6", json!({"thinking": {"type": "adaptive"}})),
        (
            "claude-opus-4-6",
            json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}),
        ),
        (
            "claude-opus-4-6",
            json!({"thinking": {"type": "enabled", "budget_tokens": 2000}, "output_config": {"effort": "low"}}),
        ),
        ("claude-opus-5", json!({"thinking": {"type": "adaptive", "display": "omitted"}})),
        (
            "claude-opus-5",
            json!({"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}}),
        ),
        ("claude-opus-5", json!({"thinking": {"type": "of_tomorrow", "depth": 3}})),
    ] {
        let mut body = body(parts);
        body["model"] = json!(model);
        body["max_tokens"] = json!(5000);
        assert_eq!(round_trip(&body), body);
    }
}

#[test]
fn thinking_reaches_a_provider_of_another_dialect() {
    for (parts, expected) in [
        (json!({"thinking": {"type": "enabled", "budget_tokens": 2000}}), "low"),
        (json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}), "high"),
    ] {
        let encoded = openai::request::encode(&decoded(&body(parts)), "gpt").unwrap();
        let sent: Value = serde_json::from_slice(&encoded.body).unwrap();
        assert_eq!(sent["reasoning_effort"], expected);
        assert_eq!(encoded.dropped, Vec::<String>::new());
    }
}

#[test]
fn instructions_inside_the_conversation_stay_there() {
    let messages = json!([
        {"role": "user", "content": [{"type": "text", "text": "a"}]},
        {"role": "system", "content": [{"type": "text", "text": "now be brief"}], "clear_at": "never"},
        {"role": "user", "content": [{"type": "text", "text": "b"}]}]);
    let body = body(json!({"messages": messages}));
    assert_eq!(round_trip(&body), body);
}

#[test]
fn sealed_reasoning_is_opened() {
    let sealed = torana_wire::origin::seal("gemini", "Zm9v");
    let messages = json!([{"role": "assistant", "content": [
        {"type": "thinking", "thinking": "a", "signature": sealed},
        {"type": "thinking", "thinking": "b", "signature": "torana.unsigned."},
        {"type": "redacted_thinking", "data": torana_wire::origin::seal("x", "ZQ==")}]}]);
    let request = decoded(&body(json!({"messages": messages})));
    let reasoning =
        |text: &str, signature: Option<&str>, encrypted: Option<&str>, dialect: Option<&str>| {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            Block::Reasoning {
                text: text.into(),
                signature: owned(signature),
                encrypted: owned(encrypted),
                dialect: owned(dialect),
            }
        };
    let expected = [
        reasoning("a", Some("Zm9v"), None, Some("gemini")),
        reasoning("b", None, None, None),
        reasoning("", None, Some("ZQ=="), Some("x")),
    ];
    assert_eq!(request.messages[0].blocks, expected);
}

#[test]
fn mistakes_are_pointed_at() {
    let with_block =
        |block: Value| body(json!({"messages": [{"role": "user", "content": [block]}]}));
    let cases = [
        (json!([]), ""),
        (json!({"messages": []}), "/model"),
        (json!({"model": "", "messages": []}), "/model"),
        (json!({"model": "m", "max_tokens": 1}), "/messages"),
        (json!({"model": "m", "max_tokens": 1, "messages": []}), "/messages"),
        (json!({"model": "m", "messages": [{"role": "user", "content": "a"}]}), "/max_tokens"),
        (body(json!({"max_tokens": -1})), "/max_tokens"),
        (body(json!({"max_tokens": "9"})), "/max_tokens"),
        (body(json!({"messages": [{"role": "tool", "content": "a"}]})), "/messages/0/role"),
        (body(json!({"messages": [{"role": "user"}]})), "/messages/0/content"),
        (body(json!({"messages": [{"role": "user", "content": 1}]})), "/messages/0/content"),
        (with_block(json!("a")), "/messages/0/content/0"),
        (with_block(json!({"text": "a"})), "/messages/0/content/0/type"),
        (with_block(json!({"type": "text"})), "/messages/0/content/0/text"),
        (with_block(json!({"type": "image"})), "/messages/0/content/0/source"),
        (
            with_block(json!({"type": "image", "source": {"type": "base64", "data": "AA"}})),
            "/messages/0/content/0/source/media_type",
        ),
        (
            with_block(json!({"type": "tool_use", "id": "a", "name": "f"})),
            "/messages/0/content/0/input",
        ),
        (
            with_block(json!({"type": "tool_use", "id": "a", "name": "f", "input": "{}"})),
            "/messages/0/content/0/input",
        ),
        (with_block(json!({"type": "tool_result"})), "/messages/0/content/0/tool_use_id"),
        (
            with_block(
                json!({"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text"}]}),
            ),
            "/messages/0/content/0/content/0/text",
        ),
        (body(json!({"system": 1})), "/system"),
        (body(json!({"temperature": "hot"})), "/temperature"),
        (body(json!({"stop_sequences": ["a", 1]})), "/stop_sequences/1"),
        (body(json!({"tools": [{"name": "f"}]})), "/tools/0/input_schema"),
        (body(json!({"tools": [{"type": 1}]})), "/tools/0/type"),
        (body(json!({"tool_choice": "auto"})), "/tool_choice"),
        (body(json!({"tool_choice": {"type": "tool"}})), "/tool_choice/name"),
        (body(json!({"thinking": {"type": "enabled"}})), "/thinking/budget_tokens"),
        (body(json!({"thinking": {}})), "/thinking/type"),
        (body(json!({"output_config": {"effort": 1}})), "/output_config/effort"),
        (
            body(json!({"output_config": {"format": {"type": "json_schema"}}})),
            "/output_config/format/schema",
        ),
        (body(json!({"metadata": {"user_id": 1}})), "/metadata/user_id"),
        (body(json!({"stream": "yes"})), "/stream"),
    ];
    for (body, pointer) in cases {
        let error = decode(body.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.pointer, pointer, "{body}: {error}");
        assert!(!error.message.is_empty());
    }
    assert_eq!(decode(b"{").unwrap_err().pointer, "");
}

#[test]
fn counting_needs_no_limit() {
    let mut body = body(json!({}));
    body.as_object_mut().unwrap().shift_remove("max_tokens");
    let request = decode_to_count(body.to_string().as_bytes()).unwrap();
    assert_eq!(request.sampling.max_output_tokens, None);
}
