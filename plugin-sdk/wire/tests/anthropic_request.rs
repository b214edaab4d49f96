//! What Anthropic is asked, given a request of a client on the OpenAI wire or in the payload.
#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};
use torana_wire::anthropic::request::{betas, encode};
use torana_wire::chat::{
    Block, CacheMarker, MediaKind, MediaSource, Message, Request, Role, ToolChoice,
};
use torana_wire::openai;

fn encoded(request: &Request) -> Value {
    serde_json::from_slice(&encode(request, "claude-sonnet-4-5")).unwrap()
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

#[test]
fn golden_request_of_an_openai_client() {
    let found = from_openai(&json!({
        "model": "any", "stream": true, "max_completion_tokens": 500, "user": "u", "seed": 1,
        "temperature": 1.5, "top_p": 0.5, "top_k": 3, "stop": ["END", " \n"], "store": true,
        "service_tier": "flex", "logit_bias": {"1": 2}, "presence_penalty": 1.0,
        "parallel_tool_calls": false, "tool_choice": "required",
        "container": "c1", "reasoning_split": true,
        "tools": [
            {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": true}},
            {"type": "function", "function": {"name": "g", "strict": false}},
            {"type": "custom", "custom": {"name": "h"}}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
        "messages": [
            {"role": "system", "content": "One."},
            {"role": "user", "content": [
                {"type": "text", "text": "Look", "cache_control": {"type": "ephemeral"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "https://h/i.png"}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,BB==", "filename": "a.pdf"}},
                {"type": "text", "text": ""}]},
            {"role": "assistant", "content": "Calling.", "tool_calls": [
                {"id": "call:1", "type": "function", "function": {"name": "f", "arguments": "{\"b\": 1, \"a\": 2}"}},
                {"id": "call_2", "type": "function", "function": {"name": "g", "arguments": ""}},
                {"id": "call_3", "type": "function", "function": {"name": "g", "arguments": "{oops"}}]},
            {"role": "tool", "tool_call_id": "call:1", "content": "ok"},
            {"role": "tool", "tool_call_id": "call_2", "content": ""},
            {"role": "developer", "content": "Two."},
            {"role": "user", "content": "Go on"}],
    }));
    let expected = json!({
        "model": "claude-sonnet-4-5", "max_tokens": 500, "stream": true,
        "system": [{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}],
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "Look", "cache_control": {"type": "ephemeral"}},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
                {"type": "image", "source": {"type": "url", "url": "https://h/i.png"}},
                {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "BB=="}, "title": "a.pdf"}]},
            {"role": "assistant", "content": [
                {"type": "text", "text": "Calling."},
                {"type": "tool_use", "id": "call_1", "name": "f", "input": {"b": 1, "a": 2}},
                {"type": "tool_use", "id": "call_2", "name": "g", "input": {}},
                {"type": "tool_use", "id": "call_3", "name": "g", "input": {"arguments": "{oops"}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "ok"}]},
                {"type": "tool_result", "tool_use_id": "call_2"},
                {"type": "text", "text": "Go on"}]}],
        "tools": [
            {"name": "f", "description": "d", "input_schema": {"type": "object"}, "strict": true},
            {"name": "g", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
        "temperature": 1.0, "top_p": 0.5, "top_k": 3, "stop_sequences": ["END"],
        "metadata": {"user_id": "u"}, "container": "c1",
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
    });
    assert_eq!(found, expected);
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
    let found: Value = serde_json::from_slice(&encode(&request, "claude-opus-4-7")).unwrap();
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
