#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;

const ID: &str = "0193a9f2-0000-7000-8000-00000000002a";

/// Required or not: what the shape has, as
/// `openapi/openapi.yaml` of OpenRouterTeam/docs lists it (2026-08-22).
const FIELDS: &str = "api_type app_id cache_discount cancelled created_at data_region external_user \
    finish_reason generation_time http_referer id is_byok latency model moderation_latency \
    native_finish_reason native_tokens_cached native_tokens_completion \
    native_tokens_completion_images native_tokens_prompt native_tokens_reasoning num_fetches \
    num_input_audio_prompt num_media_completion num_media_prompt num_search_results origin \
    preset_id provider_name provider_responses request_id response_cache_source_id router \
    service_tier session_id streamed tokens_completion tokens_prompt total_cost upstream_id \
    upstream_inference_cost usage user_agent web_search_engine workspace_id";

fn row(changes: &Value) -> Row {
    let attempt = |number: u64, outcome: &str| {
        json!({
            "id": ID, "inference_id": ID, "time_unix_ms": 7, "endpoint": "openai/gpt/5",
            "attempt": number, "reason": "first", "outcome": outcome, "status": 200,
            "ttft_ms": 20.0, "total_ms": 50.0, "cost_usd": 0.25, "error": null,
            "usage": { "input": 10, "output": 4, "cached_input": 3, "cache_write": 0,
                       "reasoning": 2, "audio": 0 },
        })
    };
    let mut row = json!({
        "id": ID, "time_unix_ms": 1_795_435_200_000_u64, "dialect": "openai-chat", "key": "team",
        "model": "fast", "endpoint": "openai/gpt/5", "outcome": "ok", "stream": true,
        "response_id": "chatcmpl-provider", "finish_reason": "stop", "total_ms": 90.0,
        "request": { "user": "u-1", "session_id": "s-1" },
        "decision": { "models": [{ "router": "adaptive" }] },
        "model_inferences": [attempt(1, "error"), attempt(2, "ok")],
    });
    for (key, value) in changes.as_object().unwrap() {
        row[key] = value.clone();
    }
    serde_json::from_value(row).unwrap()
}

#[test]
fn every_field_of_the_shape_is_there_and_no_other() {
    let described = row(&json!({})).described("chatcmpl-provider");
    let mut found: Vec<&str> = described.as_object().unwrap().keys().map(String::as_str).collect();
    found.sort_unstable();
    assert_eq!(found, FIELDS.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn the_figures_are_those_of_all_attempts() {
    let described = row(&json!({})).described("chatcmpl-provider");
    for (field, expected) in [
        ("id", json!("chatcmpl-provider")),
        ("request_id", json!(ID)),
        ("upstream_id", json!("chatcmpl-provider")),
        ("provider_name", json!("openai")),
        ("created_at", json!("2026-11-23T12:00:00.000Z")),
        ("tokens_prompt", json!(20)),
        ("native_tokens_completion", json!(8)),
        ("native_tokens_cached", json!(6)),
        ("native_tokens_reasoning", json!(4)),
        ("total_cost", json!(0.5)),
        ("latency", json!(90.0)),
        ("generation_time", json!(30.0)),
        ("router", json!("adaptive")),
        ("external_user", json!("u-1")),
        ("session_id", json!("s-1")),
        ("finish_reason", json!("stop")),
        ("api_type", json!("completions")),
    ] {
        assert_eq!(described[field], expected, "{field}");
    }
    let responses = described["provider_responses"].as_array().unwrap();
    assert_eq!(responses.len(), 2);
    assert_eq!(responses[1]["model_permaslug"], "gpt/5");
    assert_eq!(responses[1]["status"], 200);
}

#[test]
fn what_never_came_to_an_endpoint_is_described_too() {
    let described = row(&json!({
        "endpoint": null, "outcome": "error", "stream": false, "response_id": null,
        "finish_reason": null, "request": null, "decision": null, "model_inferences": [],
    }))
    .described(ID);
    for field in ["provider_name", "tokens_prompt", "generation_time", "upstream_id", "router"] {
        assert_eq!(described[field], Value::Null, "{field}");
    }
    assert_eq!(described["total_cost"], json!(0.0));
    assert_eq!(described["finish_reason"], "error");
    assert_eq!(described["provider_responses"], json!([]));
}

#[test]
fn an_id_that_the_gateway_made_is_no_upstream_id() {
    let ours = format!("chatcmpl-{}", ID.replace('-', ""));
    let described = row(&json!({ "response_id": ours })).described(&ours);
    assert_eq!(described["upstream_id"], Value::Null);
}

#[test]
fn one_id_is_asked_for() {
    assert_eq!(parse("id=a%2Fb").unwrap(), "a/b");
    for (query, said) in [
        ("", "id: there is none"),
        ("id=", "id: found \"\""),
        ("id=a&id=b", "id: there is already one"),
        ("id=a&x=b", "x: unknown parameter; there are id"),
    ] {
        let found = parse(query).unwrap_err().to_string();
        assert!(found.starts_with(said), "{query}: {found}");
    }
}
