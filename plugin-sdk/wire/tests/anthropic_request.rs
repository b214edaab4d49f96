//! What Anthropic is asked, given a request of a client on the OpenAI wire or in the payload.
#![expect(clippy::unwrap_used, reason = "tests")]

mod anthropic_golden;

use serde_json::{Value, json};
use torana_wire::anthropic::request::{betas, encode, encode_hosted};
use torana_wire::chat::{
    Block, CacheMarker, MediaKind, MediaSource, Message, Reasoning, Request, Role, Tool, ToolChoice,
};
use torana_wire::error::CallErrorKind;
use torana_wire::openai;

fn encoded(request: &Request) -> Value {
    serde_json::from_slice(&encode(request, "claude-sonnet-4-5").unwrap().body).unwrap()
}

fn from_openai(body: &Value) -> Value {
    encoded(&openai::request::decode(body.to_string().as_bytes()).unwrap())
}

fn message(role: Role, blocks: Vec<Block>) -> Message {
    Message { role, blocks, name: None }
}

fn with_messages(messages: Vec<Message>) -> Value {
    encoded(&Request { messages, ..Request::default() })
}

/// The body of a client, and beside it what Anthropic gets.
#[test]
fn golden_request_of_an_openai_client() {
    let body = json!({
        "model": "any", "stream": true, "max_completion_tokens": 500, "user": "u", "seed": 1,
        "temperature": 1.5, "top_p": 0.5, "top_k": 3, "stop": ["END", " \n"], "store": true,
        "service_tier": "flex", "logit_bias": {"1": 2}, "presence_penalty": 1.0, "n": 1,
        "parallel_tool_calls": false, "tool_choice": "required", "metadata": {"team": "a"},
        "container": "c1", "reasoning_split": true, "stream_options": {"include_usage": true},
        "tools": [
            {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": true}},
            {"type": "function", "function": {"name": "g", "strict": false}},
            {"type": "custom", "custom": {"name": "h"}}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
        "messages": [
            {"role": "system", "content": "One."},
            {"role": "user", "name": "ann", "content": [
                {"type": "text", "text": "Look", "cache_control": {"type": "ephemeral"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "https://h/i.png"}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,BB==", "filename": "a.pdf"}},
                {"type": "file", "file": {"file_data": "data:text/csv;base64,YSxi", "filename": "a.csv"}},
                {"type": "text", "text": ""}]},
            {"role": "assistant", "content": "Calling.", "tool_calls": [
                {"id": "call:1", "type": "function", "function": {"name": "f", "arguments": "{\"b\": 1, \"a\": 2}"}},
                {"id": "call_2", "type": "function", "function": {"name": "g", "arguments": ""}},
                {"id": "call_3", "type": "function", "function": {"name": "g", "arguments": "{oops"}}]},
            {"role": "tool", "tool_call_id": "call:1", "content": "ok"},
            {"role": "tool", "tool_call_id": "call_2", "content": ""},
            {"role": "developer", "content": "Two."},
            {"role": "user", "content": "Go on"}],
    });
    let request = openai::request::decode(body.to_string().as_bytes()).unwrap();
    let encoded = encode(&request, "claude-sonnet-4-5").unwrap();
    let sent: Value = serde_json::from_slice(&encoded.body).unwrap();
    let found = json!({"body": sent, "dropped": encoded.dropped});
    let found = format!("{}\n", serde_json::to_string_pretty(&found).unwrap());
    anthropic_golden::holds("anthropic_request_of_openai_client.json", &found);
}

#[test]
fn limit_is_4096_where_none_is_set() {
    assert_eq!(with_messages(vec![])["max_tokens"], 4096);
}

#[test]
fn reasoning_makes_room_and_excludes_other_sampling() {
    let body = from_openai(&json!({
        "model": "m", "messages": [], "reasoning_effort": "low", "temperature": 0.2, "top_k": 4}));
    let expected = json!({"model": "claude-sonnet-4-5", "max_tokens": 6144, "messages": [],
        "thinking": {"type": "enabled", "budget_tokens": 2048}});
    assert_eq!(body, expected);
}

#[test]
fn effort_and_schema_share_the_output_config() {
    let body = json!({"model": "m", "messages": [], "reasoning_effort": "xhigh",
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}});
    let request = openai::request::decode(body.to_string().as_bytes()).unwrap();
    let found: Value =
        serde_json::from_slice(&encode(&request, "claude-opus-4-7").unwrap().body).unwrap();
    assert_eq!(found["thinking"], json!({"type": "adaptive", "display": "summarized"}));
    let config = json!({"format": {"type": "json_schema", "schema": {}}, "effort": "xhigh"});
    assert_eq!(found["output_config"], config);
}

#[test]
fn own_thinking_of_the_client_wins() {
    let body = from_openai(&json!({
        "model": "m", "messages": [], "reasoning_effort": "low", "thinking": {"type": "disabled"}}));
    assert_eq!(body["thinking"], json!({"type": "disabled"}));
}

#[test]
fn only_signed_or_encrypted_reasoning_is_sent_back() {
    let reasoning =
        |text: &str, signature: Option<&str>, encrypted: Option<&str>| Block::Reasoning {
            text: text.into(),
            signature: signature.map(Into::into),
            encrypted: encrypted.map(Into::into),
            dialect: None,
        };
    let server_tool =
        json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}});
    let body = with_messages(vec![message(
        Role::Assistant,
        vec![
            reasoning("unsigned", None, None),
            reasoning("signed", Some("sig"), None),
            reasoning("", None, Some("enc")),
            Block::Other { dialect: "anthropic-messages".into(), value: server_tool.clone() },
            Block::Other { dialect: "openai-chat".into(), value: json!({"type": "x"}) },
            Block::Refusal { text: "no".into() },
        ],
    )]);
    let expected = json!([
        {"type": "thinking", "thinking": "signed", "signature": "sig"},
        {"type": "redacted_thinking", "data": "enc"},
        server_tool,
        {"type": "text", "text": "no"},
    ]);
    assert_eq!(body["messages"][0]["content"], expected);
}

#[test]
fn tool_results_come_first_in_a_turn_and_keep_error_media_and_cache() {
    let image = Block::Media {
        kind: MediaKind::Image,
        source: MediaSource::Inline { data: "/9j/AA".into() },
        mime_type: None,
        filename: None,
        detail: None,
        cache: None,
    };
    let result = Block::ToolResult {
        id: "c".into(),
        blocks: vec![image],
        is_error: true,
        cache: Some(CacheMarker { ttl: Some("1h".into()) }),
    };
    let body = with_messages(vec![
        message(Role::User, vec![Block::text("first")]),
        message(Role::Tool, vec![result]),
    ]);
    let source = json!({"type": "base64", "media_type": "image/jpeg", "data": "/9j/AA"});
    let expected = json!([{"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "c", "is_error": true,
            "content": [{"type": "image", "source": source}],
            "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "text", "text": "first"}]}]);
    assert_eq!(body["messages"], expected);
}

#[test]
fn choice_of_a_tool_needs_tools() {
    let choice = Some(ToolChoice::Tool { name: "f".into() });
    let body = encoded(&Request { tool_choice: choice, ..Request::default() });
    assert_eq!(body.get("tool_choice"), None);
}

#[test]
fn betas_are_for_the_header_and_not_in_the_body() {
    let extra = json!({"betas": ["a", "b"], "service_tier": "standard_only"});
    let request = Request { extra: extra.as_object().unwrap().clone(), ..Request::default() };
    assert_eq!(betas(&request), ["a", "b"]);
    let body = encoded(&request);
    assert_eq!((body.get("betas"), &body["service_tier"]), (None, &json!("standard_only")));
}

fn dropped(request: &Request, model: &str) -> Vec<String> {
    encode(request, model).unwrap().dropped
}

fn media(kind: MediaKind, mime_type: &str) -> Block {
    Block::Media {
        kind,
        source: MediaSource::Inline { data: "AAAA".into() },
        mime_type: Some(mime_type.into()),
        filename: None,
        detail: None,
        cache: None,
    }
}

#[test]
fn content_without_a_place_is_refused_by_name() {
    let other = |dialect: &str| Block::Other {
        dialect: dialect.into(),
        value: json!({"type": "moving_picture"}),
    };
    let cases = [
        (Role::User, media(MediaKind::Audio, "audio/wav"), "audio input"),
        (Role::User, media(MediaKind::Video, "video/mp4"), "video input"),
        (Role::User, media(MediaKind::File, "application/zip"), "application/zip"),
        (Role::User, media(MediaKind::Image, "image/svg+xml"), "image/svg+xml"),
        (Role::Assistant, media(MediaKind::Image, "image/png"), "assistant's turn"),
        (Role::User, other("openai-chat"), "moving_picture"),
        (Role::Assistant, other("openai-chat-tool-call"), "moving_picture"),
    ];
    for (role, block, feature) in cases {
        let request = Request { messages: vec![message(role, vec![block])], ..Request::default() };
        let error = encode(&request, "claude-sonnet-4-5").unwrap_err();
        assert_eq!(error.kind, CallErrorKind::Unsupported);
        assert!(error.message.contains(feature), "{} lacks {feature}", error.message);
    }
}

#[test]
fn unsupported_content_inside_a_tool_result_is_found() {
    let blocks = vec![media(MediaKind::Audio, "audio/wav")];
    let result = Block::ToolResult { id: "c".into(), blocks, is_error: false, cache: None };
    let request =
        Request { messages: vec![message(Role::Tool, vec![result])], ..Request::default() };
    assert_eq!(encode(&request, "m").unwrap_err().kind, CallErrorKind::Unsupported);
}

#[test]
fn foreign_reasoning_and_carriers_are_left_out() {
    let foreign = |signature: Option<&str>, encrypted: Option<&str>| Block::Reasoning {
        text: "hm".into(),
        signature: signature.map(Into::into),
        encrypted: encrypted.map(Into::into),
        dialect: Some("gemini".into()),
    };
    let carrier = json!({"annotations": [1], "reasoning": null});
    let blocks = vec![
        foreign(Some("s"), None),
        foreign(None, Some("e")),
        Block::Other { dialect: "openai-chat-message-fields".into(), value: carrier },
        Block::text("hi"),
    ];
    let request =
        Request { messages: vec![message(Role::Assistant, blocks)], ..Request::default() };
    let content = &encoded(&request)["messages"][0]["content"];
    assert_eq!(*content, json!([{"type": "text", "text": "hi"}]));
    assert!(dropped(&request, "claude-opus-5").is_empty(), "carriers are no parameters");
}

#[test]
fn tools_of_other_dialects_are_named_with_the_choice_that_needed_them() {
    let value = json!({"type": "web_search_preview"});
    let request = Request {
        tools: vec![Tool::Other { dialect: "openai-responses".into(), value }],
        tool_choice: Some(ToolChoice::Required),
        ..Request::default()
    };
    assert_eq!(dropped(&request, "claude-opus-5"), ["tool_choice", "tools.web_search_preview"]);
}

#[test]
fn thinking_gives_way_to_a_forced_call_and_to_calls_made_without_it() {
    let call = || Block::ToolCall {
        id: "c".into(),
        name: "f".into(),
        arguments: "{}".into(),
        cache: None,
    };
    let result =
        || Block::ToolResult { id: "c".into(), blocks: vec![], is_error: false, cache: None };
    let tool = || Tool::Function {
        name: "f".into(),
        description: None,
        parameters: None,
        strict: None,
        cache: None,
    };
    let thinks = |request: &Request, model: &str| {
        let encoded = encode(request, model).unwrap();
        let body: Value = serde_json::from_slice(&encoded.body).unwrap();
        (body.get("thinking").is_some(), encoded.dropped)
    };
    let reasoning = Some(Reasoning { effort: Some("high".into()), budget_tokens: None });
    let forced = Request {
        tools: vec![tool()],
        tool_choice: Some(ToolChoice::Required),
        reasoning: reasoning.clone(),
        ..Request::default()
    };
    assert_eq!(thinks(&forced, "claude-opus-5"), (false, vec!["reasoning".to_owned()]));
    let signed = Block::Reasoning {
        text: "t".into(),
        signature: Some("s".into()),
        encrypted: None,
        dialect: None,
    };
    let looped = |assistant: Vec<Block>| Request {
        messages: vec![message(Role::Assistant, assistant), message(Role::Tool, vec![result()])],
        tools: vec![tool()],
        reasoning: reasoning.clone(),
        ..Request::default()
    };
    let unsigned = looped(vec![call()]);
    assert_eq!(thinks(&unsigned, "claude-sonnet-4-5"), (false, vec!["reasoning".to_owned()]));
    assert_eq!(thinks(&unsigned, "claude-opus-5"), (true, vec![]));
    assert_eq!(thinks(&looped(vec![signed, call()]), "claude-sonnet-4-5"), (true, vec![]));
}

#[test]
fn hosted_platform_gets_its_version_in_place_of_the_model() {
    let request = Request {
        messages: vec![message(Role::User, vec![Block::text("hi")])],
        ..Request::default()
    };
    let encoded = encode_hosted(&request, "claude-opus-5", "vertex-2023-10-16").unwrap();
    let body: Value = serde_json::from_slice(&encoded.body).unwrap();
    assert_eq!(body["anthropic_version"], "vertex-2023-10-16");
    assert_eq!(body.get("model"), None);
}
