//! Requests: one of everything as a golden file, and the rules one by one.

use serde_json::{Value, json};
use torana_plugin_sdk::CallErrorKind;

use super::{MODEL, golden, send, sent};

const REASONING: &str = "command-a-reasoning-08-2025";

fn ask(more: Value) -> Value {
    let mut value = json!({"model": "alias", "messages": [
        {"role": "user", "blocks": [{"type": "text", "text": "hi"}]},
    ]});
    for (key, more) in more.as_object().unwrap() {
        value[key] = more.clone();
    }
    value
}

fn user(blocks: Value) -> Value {
    json!({"model": "alias", "messages": [{"role": "user", "blocks": blocks}]})
}

fn weather() -> Value {
    json!({"type": "function", "name": "weather", "description": "of a city", "strict": true,
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}})
}

fn everything() -> Value {
    json!({
        "model": "alias", "stream": true,
        "messages": [
            {"role": "system", "blocks": [{"type": "text", "text": "be brief", "cache": {}}]},
            {"role": "user", "name": "ada", "blocks": [
                {"type": "text", "text": "look"},
                {"type": "media", "kind": "image", "detail": "low",
                 "source": {"from": "url", "url": "https://x/y.png"}},
                {"type": "media", "kind": "image", "source": {"from": "inline", "data": "/9j/AAAA"}}]},
            {"role": "assistant", "blocks": [
                {"type": "reasoning", "text": "I will ask", "signature": "s", "dialect": "gemini"},
                {"type": "tool_call", "id": "a", "name": "weather", "arguments": "{\"city\":\"Ulm\"}"},
                {"type": "tool_call", "id": "b", "name": "now", "arguments": ""}]},
            {"role": "tool", "blocks": [
                {"type": "tool_result", "id": "a", "blocks": [{"type": "text", "text": "dry"}]},
                {"type": "tool_result", "id": "b", "is_error": true, "blocks": [
                    {"type": "text", "text": "no"}, {"type": "text", "text": "clock"}]}]},
            {"role": "assistant", "blocks": [
                {"type": "reasoning", "text": "so dry"}, {"type": "text", "text": "dry"},
                {"type": "text", "text": ""}]},
            {"role": "developer", "blocks": [{"type": "text", "text": "be kind"}]},
            {"role": "user", "blocks": [{"type": "text", "text": "sure?"}]}
        ],
        "tools": [weather(), {"type": "function", "name": "now"},
            {"type": "other", "dialect": "openai-chat", "value": {"type": "web_search"}}],
        "tool_choice": {"type": "required"},
        "parallel_tool_calls": false,
        "output_format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}},
        "sampling": {"temperature": 0.3, "top_p": 1.0, "top_k": 40, "max_output_tokens": 100,
            "stop": ["END"], "seed": 1, "presence_penalty": 0.1, "frequency_penalty": 0.2},
        "reasoning": {"effort": "low"},
        "user": "u", "metadata": {"team": "blue"},
        "extra": {"documents": [{"id": "d", "data": {"text": "t"}}], "safety_mode": "STRICT",
            "citation_options": {"mode": "FAST"}, "logit_bias": {}}
    })
}

#[test]
fn request_golden() {
    let mut text = String::new();
    for model in [MODEL, REASONING] {
        let sent = send(model, everything()).unwrap();
        let body: Value = serde_json::from_slice(&sent.body).unwrap();
        let dropped = sent.dropped.join(", ");
        text += &format!("{} {}\n{body:#}\ndropped: {dropped}\n\n", sent.method, sent.path);
    }
    golden::check("request.txt", &text);
}

#[test]
fn small_request_is_small() {
    let (body, dropped) = sent(MODEL, ask(json!({})));
    let messages = json!([{"role": "user", "content": "hi"}]);
    assert_eq!(body, json!({"model": MODEL, "messages": messages, "stream": false}));
    assert!(dropped.is_empty());
}

#[test]
fn choice_of_one_tool_is_that_tool_alone() {
    let two = json!([weather(), {"type": "function", "name": "now"}]);
    let chosen = |name: &str| {
        let choice = json!({"type": "tool", "name": name});
        sent(MODEL, ask(json!({"tools": two, "tool_choice": choice})))
    };
    let (body, _) = chosen("now");
    assert_eq!(body["tool_choice"], "REQUIRED");
    assert_eq!(body["tools"].as_array().unwrap().len(), 1);
    assert_eq!(body["tools"][0]["function"]["name"], "now");
    assert!(chosen("else").1.contains(&"tool_choice".to_owned()));
    let (none, _) = sent(MODEL, ask(json!({"tools": two, "tool_choice": {"type": "none"}})));
    assert_eq!(none["tool_choice"], "NONE");
}

#[test]
fn strictness_is_for_all_tools_or_named_as_left_out() {
    let (all, dropped) = sent(MODEL, ask(json!({"tools": [weather()]})));
    assert_eq!((&all["strict_tools"], dropped), (&json!(true), vec![]));
    let mixed = json!({"tools": [weather(), {"type": "function", "name": "now"}]});
    let (some, dropped) = sent(MODEL, ask(mixed));
    assert_eq!((some.get("strict_tools"), dropped), (None, vec!["tools.strict".into()]));
}

#[test]
fn reasoning_is_asked_only_of_models_that_reason() {
    let thinking =
        |wish: Value| sent(REASONING, ask(json!({"reasoning": wish}))).0["thinking"].clone();
    assert_eq!(thinking(json!({"effort": "none"})), json!({"type": "disabled"}));
    assert_eq!(
        thinking(json!({"budget_tokens": 500})),
        json!({"type": "enabled", "token_budget": 500})
    );
    assert_eq!(
        thinking(json!({"effort": "high"})),
        json!({"type": "enabled", "token_budget": 16384})
    );
    let (body, dropped) = sent(MODEL, ask(json!({"reasoning": {"effort": "high"}})));
    assert_eq!((body.get("thinking"), dropped), (None, vec!["reasoning".into()]));
    let (_, dropped) = sent(MODEL, ask(json!({"reasoning": {"effort": "none"}})));
    assert!(dropped.is_empty());
    let own = json!({"reasoning": {"effort": "low"}, "extra": {"thinking": {"type": "disabled"}}});
    assert_eq!(sent(REASONING, ask(own)).0["thinking"], json!({"type": "disabled"}));
}

#[test]
fn content_without_a_place_is_refused_by_name() {
    let media = |kind: &str| {
        json!([{"type": "media", "kind": kind,
        "source": {"from": "inline", "data": "x"}}])
    };
    for (blocks, message) in [
        (media("audio"), "audio input is not supported"),
        (media("video"), "video input is not supported"),
        (media("file"), "file input is not supported"),
        (
            json!([{"type": "other", "dialect": "openai-chat", "value": {"type": "odd"}}]),
            "openai-chat content of type \"odd\" is not supported",
        ),
        (
            json!([{"type": "tool_result", "id": "a", "blocks": media("image")}]),
            "an image outside of a user message is not supported",
        ),
    ] {
        let error = send(MODEL, user(blocks)).unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (CallErrorKind::Unsupported, message));
    }
}

#[test]
fn results_in_a_user_s_turn_become_messages_before_it() {
    let (body, _) = sent(
        MODEL,
        user(json!([{"type": "text", "text": "so?"},
        {"type": "tool_result", "id": "a", "blocks": []}])),
    );
    assert_eq!(
        body["messages"],
        json!([{"role": "tool", "tool_call_id": "a", "content": ""},
            {"role": "user", "content": "so?"}])
    );
}
