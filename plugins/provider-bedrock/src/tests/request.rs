//! Requests: one of everything as a golden file, and the rules one by one.

use serde_json::{Value, json};
use torana_plugin_sdk::CallErrorKind;

use super::{CLAUDE, endpoint, golden, send, sent, settings};

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
    json!({"type": "function", "name": "weather", "description": "of a city", "parameters":
        {"type": "object", "properties": {"city": {"type": "string"}}}})
}

fn everything() -> Value {
    json!({
        "model": "alias", "stream": true,
        "messages": [
            {"role": "system", "blocks": [{"type": "text", "text": "be brief", "cache": {"ttl": "1h"}}]},
            {"role": "user", "name": "ada", "blocks": [
                {"type": "text", "text": "look"},
                {"type": "media", "kind": "image", "source": {"from": "inline", "data": "iVBORw0KGgoAAA"}},
                {"type": "media", "kind": "file", "mime_type": "application/pdf", "filename": "Q3_report.pdf",
                 "source": {"from": "inline", "data": "JVBERi0x"}},
                {"type": "media", "kind": "video", "source": {"from": "url", "url": "s3://bucket/clip.mp4"}}]},
            {"role": "assistant", "blocks": [
                {"type": "reasoning", "text": "hm", "signature": "sig", "dialect": "bedrock-converse"},
                {"type": "reasoning", "encrypted": "b64", "dialect": "anthropic-messages"},
                {"type": "reasoning", "text": "of another", "signature": "no", "dialect": "gemini"},
                {"type": "text", "text": "two calls"},
                {"type": "tool_call", "id": "a.1", "name": "weather", "arguments": "{\"city\":\"Ulm\"}"},
                {"type": "tool_call", "id": "b", "name": "weather", "arguments": "not json"}]},
            {"role": "developer", "blocks": [{"type": "text", "text": "be kind"}]},
            {"role": "tool", "blocks": [{"type": "tool_result", "id": "a.1",
                "blocks": [{"type": "text", "text": "dry"}], "cache": {}}]},
            {"role": "tool", "blocks": [{"type": "tool_result", "id": "b", "is_error": true,
                "blocks": [{"type": "text", "text": "broken"}]}]},
            {"role": "user", "blocks": [{"type": "text", "text": "so?"}, {"type": "text", "text": " "}]}
        ],
        "tools": [weather(), {"type": "function", "name": "now", "strict": true, "cache": {}},
            {"type": "other", "dialect": "openai-chat", "value": {"type": "web_search"}}],
        "tool_choice": {"type": "auto"},
        "parallel_tool_calls": false,
        "sampling": {"temperature": 1.5, "top_p": 0.5, "top_k": 40, "max_output_tokens": 9000,
            "stop": ["END", " "], "seed": 1, "presence_penalty": 0.1, "frequency_penalty": 0.2},
        "reasoning": {"effort": "low"},
        "user": "u",
        "metadata": {"team": "blue", "n": 3},
        "extra": {"guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"},
            "performanceConfig": {"latency": "optimized"}, "service_tier": "flex",
            "requestMetadata": {"team": "red"}, "betas": ["context-1m-2025-08-07"],
            "additionalModelRequestFields": {"x": 1}, "logit_bias": {}}
    })
}

#[test]
fn request_golden() {
    let sent = send(&endpoint(CLAUDE), everything()).unwrap();
    let body: Value = serde_json::from_slice(&sent.body).unwrap();
    let headers: Vec<_> =
        sent.headers.iter().map(|header| format!("{}: {}", header.name, header.value)).collect();
    let text = format!(
        "{} {}\n{}\n\n{body:#}\n\ndropped: {}\n",
        sent.method,
        sent.path,
        headers.join("\n"),
        sent.dropped.join(", ")
    );
    golden::check("request.txt", &text);
}

#[test]
fn whole_answer_and_stream_are_two_operations() {
    let path =
        |stream: bool| send(&endpoint("m:0"), ask(json!({ "stream": stream }))).unwrap().path;
    assert_eq!(path(false), "/model/m%3A0/converse");
    assert_eq!(path(true), "/model/m%3A0/converse-stream");
}

#[test]
fn small_request_is_small() {
    let (body, dropped) = sent("meta.llama3-70b-instruct-v1:0", ask(json!({})));
    assert_eq!(body, json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}]}));
    assert!(dropped.is_empty());
}

#[test]
fn choice_of_no_tool_sends_none_unless_the_conversation_speaks_of_them() {
    let none = json!({"tools": [weather()], "tool_choice": {"type": "none"}});
    let (body, dropped) = sent(CLAUDE, ask(none.clone()));
    assert_eq!((body.get("toolConfig"), dropped), (None, vec![]));
    let mut with_call = ask(none);
    with_call["messages"] = json!([
        {"role": "user", "blocks": [{"type": "text", "text": "hi"}]},
        {"role": "assistant", "blocks": [{"type": "tool_call", "id": "a", "name": "old", "arguments": ""}]},
        {"role": "tool", "blocks": [{"type": "tool_result", "id": "a", "blocks": []}]},
    ]);
    let (body, dropped) = sent(CLAUDE, with_call.clone());
    assert_eq!(body["toolConfig"]["tools"][0]["toolSpec"]["name"], "weather");
    assert_eq!((body["toolConfig"].get("toolChoice"), dropped), (None, vec!["tool_choice".into()]));
    with_call["tools"] = json!([]);
    let (body, _) = sent(CLAUDE, with_call);
    let schema = json!({"json": {"type": "object"}});
    assert_eq!(
        body["toolConfig"]["tools"],
        json!([{"toolSpec": {"name": "old", "inputSchema": schema}}])
    );
}

#[test]
fn choices_have_converse_s_names() {
    let expected = [
        (json!({"type": "auto"}), json!({"auto": {}})),
        (json!({"type": "required"}), json!({"any": {}})),
        (json!({"type": "tool", "name": "weather"}), json!({"tool": {"name": "weather"}})),
    ];
    for (choice, wire) in expected {
        let (body, _) = sent(CLAUDE, ask(json!({"tools": [weather()], "tool_choice": choice})));
        assert_eq!(body["toolConfig"]["toolChoice"], wire);
    }
}

#[test]
fn reasoning_is_put_as_the_model_takes_it() {
    let additional = |model: &str, more: Value| {
        let (body, dropped) = sent(model, ask(more));
        (body["additionalModelRequestFields"].clone(), body["inferenceConfig"].clone(), dropped)
    };
    let low = json!({"reasoning": {"effort": "low"}});
    let (fields, config, dropped) = additional(CLAUDE, low.clone());
    assert_eq!(fields, json!({"thinking": {"type": "enabled", "budget_tokens": 2048}}));
    assert_eq!((config, dropped), (json!({"maxTokens": 6144}), vec![]));
    let (fields, ..) = additional("anthropic.claude-opus-4-7", low.clone());
    assert_eq!(
        fields,
        json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}})
    );
    let (fields, ..) = additional("us.amazon.nova-2-lite-v1:0", low.clone());
    assert_eq!(
        fields,
        json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}})
    );
    let (fields, ..) = additional("openai.gpt-oss-20b-1:0", low.clone());
    assert_eq!(fields, json!({"reasoning_effort": "low"}));
    for model in ["us.deepseek.r1-v1:0", "anthropic.claude-3-haiku-20240307-v1:0"] {
        let (fields, _, dropped) = additional(model, low.clone());
        assert_eq!((fields, dropped), (Value::Null, vec!["reasoning".into()]), "{model}");
    }
    let off = json!({"reasoning": {"effort": "none"}});
    assert_eq!(additional(CLAUDE, off).0, Value::Null);
}

#[test]
fn reasoning_keeps_below_the_client_s_limit_and_gives_way_to_a_forced_tool() {
    let budget = |limit: u64| {
        let more = json!({"reasoning": {"budget_tokens": 30_000},
            "sampling": {"max_output_tokens": limit}});
        let (body, dropped) = sent(CLAUDE, ask(more));
        assert_eq!(body["inferenceConfig"]["maxTokens"], limit);
        (body["additionalModelRequestFields"]["thinking"]["budget_tokens"].as_u64(), dropped)
    };
    assert_eq!(budget(10_000), (Some(8_000), vec![]));
    assert_eq!(budget(1_100), (Some(1_024), vec![]));
    assert_eq!(budget(1_024), (None, vec!["reasoning".into()]));
    let forced = json!({"reasoning": {"effort": "low"}, "tools": [weather()],
        "tool_choice": {"type": "required"}});
    assert_eq!(sent(CLAUDE, ask(forced)).1, ["reasoning"]);
}

#[test]
fn top_k_goes_where_the_maker_wants_it() {
    let fields = |model: &str| {
        let (body, dropped) = sent(model, ask(json!({"sampling": {"top_k": 7}})));
        (body["additionalModelRequestFields"].clone(), dropped)
    };
    assert_eq!(fields(CLAUDE), (json!({"top_k": 7}), vec![]));
    assert_eq!(fields("cohere.command-r-v1:0"), (json!({"k": 7}), vec![]));
    let nova = json!({"inferenceConfig": {"topK": 7}});
    assert_eq!(fields("amazon.nova-pro-v1:0"), (nova, vec![]));
    assert_eq!(fields("meta.llama3-70b-instruct-v1:0"), (Value::Null, vec!["top_k".into()]));
}

#[test]
fn cache_markers_become_points_only_for_models_that_cache() {
    let marked = user(json!([
        {"type": "text", "text": "a", "cache": {"ttl": "1h"}}, {"type": "text", "text": "b"}]));
    let content = |model: &str| {
        let (body, dropped) = sent(model, marked.clone());
        (body["messages"][0]["content"].clone(), dropped)
    };
    let with = |point: Value| json!([{"text": "a"}, {"cachePoint": point}, {"text": "b"}]);
    assert_eq!(content(CLAUDE), (with(json!({"type": "default", "ttl": "1h"})), vec![]));
    assert_eq!(content("amazon.nova-pro-v1:0"), (with(json!({"type": "default"})), vec![]));
    let without = json!([{"text": "a"}, {"text": "b"}]);
    assert_eq!(content("us.deepseek.r1-v1:0"), (without, vec!["cache_control".into()]));
}

#[test]
fn foreign_blocks_are_refused_in_questions_and_left_out_of_answers() {
    let foreign = json!({"type": "other", "dialect": "openai-chat", "value": {"type": "odd"}});
    let error = send(&endpoint(CLAUDE), user(json!([foreign]))).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Unsupported);
    assert_eq!(error.message, "openai-chat content of type \"odd\" is not supported");
    let mut answered = user(json!([{"type": "text", "text": "hi"}]));
    let more = json!({"role": "assistant", "blocks": [foreign, {"type": "text", "text": "ok "}]});
    answered["messages"].as_array_mut().unwrap().push(more);
    let (body, _) = sent(CLAUDE, answered);
    assert_eq!(body["messages"][1]["content"], json!([{"text": "ok"}]));
    let fields = json!({"type": "other", "dialect": "openai-chat-fields", "value": {"weight": 1}});
    let (body, _) = sent(CLAUDE, user(json!([{"type": "text", "text": "hi"}, fields])));
    assert_eq!(body["messages"][0]["content"], json!([{"text": "hi"}]));
}

#[test]
fn media_that_bedrock_cannot_reach_is_refused() {
    let image = json!({"type": "media", "kind": "image",
        "source": {"from": "url", "url": "https://x/y.png"}});
    let error = send(&endpoint(CLAUDE), user(json!([image.clone()]))).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Unsupported);
    assert!(error.message.starts_with("image input by a URL"), "{error:?}");
    let mut system = ask(json!({}));
    system["messages"][0] = json!({"role": "system", "blocks": [image]});
    let error = send(&endpoint(CLAUDE), system).unwrap_err();
    assert_eq!(error.message, "media in a system message is not supported");
}

#[test]
fn schema_is_sent_only_where_the_operator_says_that_models_take_it() {
    let format = json!({"output_format": {"type": "json_schema", "name": "n",
        "schema": {"type": "object"}}, "tools": [{"type": "function", "name": "f", "strict": true}]});
    let (body, dropped) = sent(CLAUDE, ask(format.clone()));
    assert_eq!(body.get("outputConfig"), None);
    assert_eq!(dropped, ["output_format", "tools.strict"]);
    let mut native = endpoint(CLAUDE);
    native.settings = settings(json!({"structured_output": "json-schema"}));
    let sent = send(&native, ask(format)).unwrap();
    let body: Value = serde_json::from_slice(&sent.body).unwrap();
    assert_eq!(
        body["outputConfig"],
        json!({"textFormat": {"type": "json_schema", "structure": {"jsonSchema":
            {"name": "n", "schema": "{\"type\":\"object\"}"}}}})
    );
    assert_eq!(body["toolConfig"]["tools"][0]["toolSpec"]["strict"], true);
    assert!(sent.dropped.is_empty());
}

#[test]
fn metadata_that_aws_would_refuse_is_left_out_and_named() {
    let (body, dropped) =
        sent(CLAUDE, ask(json!({"metadata": {"ok": "a b", "bad": "ü", "long": "x".repeat(257)}})));
    assert_eq!(body["requestMetadata"], json!({"ok": "a b"}));
    assert_eq!(dropped, ["metadata"]);
}
