//! Requests on the Responses wire: a client's body → payload → a provider's body keeps every
//! field, other dialects' requests become bodies of this wire, and mistakes have a place.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::{Value, json};
use torana_wire::chat::{
    Block, CacheMarker, MediaKind, MediaSource, Message, OutputFormat, Reasoning, Request, Role,
    Sampling, Tool, ToolChoice,
};
use torana_wire::encoded::Encoded;
use torana_wire::error::CallErrorKind;
use torana_wire::openai;
use torana_wire::responses::DIALECT;
use torana_wire::responses::request::{decode, encode};

fn body(encoded: &Encoded) -> Value {
    serde_json::from_slice(&encoded.body).unwrap()
}

fn round_trip(value: &Value) -> Value {
    let request = decode(value.to_string().as_bytes()).unwrap();
    // The payload is JSON itself between host and plugin: that must not lose anything either.
    let canonical = serde_json::to_vec(&request).unwrap();
    let request: Request = serde_json::from_slice(&canonical).unwrap();
    let encoded = encode(&request, value["model"].as_str().unwrap()).unwrap();
    assert_eq!(encoded.dropped, Vec::<String>::new());
    body(&encoded)
}

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/responses_request.json")).unwrap()
}

fn said(role: Role, blocks: Vec<Block>) -> Message {
    Message { role, blocks, name: None }
}

fn ask(messages: Vec<Message>) -> Request {
    Request { model: "m".into(), messages, ..Request::default() }
}

#[test]
fn golden_request_keeps_every_field() {
    assert_eq!(round_trip(&golden()), golden());
}

#[test]
fn golden_request_is_understood() {
    let request = decode(golden().to_string().as_bytes()).unwrap();
    let roles: Vec<Role> = request.messages.iter().map(|message| message.role).collect();
    use Role::{Assistant, Developer, System, Tool as Result, User};
    let expected =
        [System, Developer, User, Assistant, Result, Result, Assistant, Result, User, User];
    assert_eq!(roles, expected);
    let turn = &request.messages[3].blocks;
    let kinds = |block: &Block| match block {
        Block::Reasoning { .. } => "reasoning",
        Block::Text { .. } => "text",
        Block::Refusal { .. } => "refusal",
        Block::ToolCall { .. } => "call",
        Block::Other { dialect, .. } if dialect == DIALECT => "item",
        _ => "",
    };
    let kinds: Vec<_> = turn.iter().map(kinds).filter(|kind| !kind.is_empty()).collect();
    assert_eq!(
        kinds,
        ["reasoning", "reasoning", "text", "refusal", "text", "call", "call", "item"]
    );
    let second = Block::Reasoning {
        text: "two".into(),
        signature: Some("gAAAA".into()),
        encrypted: None,
        dialect: Some(DIALECT.into()),
    };
    assert!(turn.contains(&second), "{turn:?}");
    assert_eq!(request.tool_choice, Some(ToolChoice::Tool { name: "look".into() }));
    assert_eq!(request.reasoning.unwrap().effort.as_deref(), Some("high"));
    assert_eq!(request.extra["reasoning"], json!({"summary": "auto", "context": "all_turns"}));
    assert_eq!(request.extra["text"], json!({"verbosity": "low"}));
    assert!(matches!(request.output_format, Some(OutputFormat::JsonSchema { .. })));
}

#[test]
fn normal_form_of_short_bodies() {
    let long =
        json!({"model": "m", "input": [{"type": "message", "role": "user", "content": "hi"}]});
    assert_eq!(round_trip(&json!({"model": "m", "input": "hi"})), long);
    let easy = json!({"model": "m", "input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}]});
    assert_eq!(round_trip(&easy), long);
    let system = json!({"model": "m", "input": [
        {"type": "message", "role": "system", "content": "s"},
        {"type": "message", "role": "user", "content": "hi"}]});
    assert_eq!(round_trip(&system), system);
    let stored = json!({"model": "m", "prompt": {"id": "p"}});
    assert_eq!(round_trip(&stored), stored);
}

#[test]
fn mistakes_have_a_place() {
    let cases = [
        (json!([]), ""),
        (json!({"input": "x"}), "/model"),
        (json!({"model": "m"}), "/input"),
        (json!({"model": "m", "input": 3}), "/input"),
        (json!({"model": "m", "input": [3]}), "/input/0"),
        (json!({"model": "m", "input": [{}]}), "/input/0/type"),
        (json!({"model": "m", "input": [{"role": "robot", "content": ""}]}), "/input/0/role"),
        (json!({"model": "m", "input": [{"role": "user"}]}), "/input/0/content"),
        (
            json!({"model": "m", "input": [{"role": "user", "content": [{"type": "input_image"}]}]}),
            "/input/0/content/0",
        ),
        (
            json!({"model": "m", "input": [{"role": "user", "content": [{"text": "x"}]}]}),
            "/input/0/content/0/type",
        ),
        (json!({"model": "m", "input": [{"type": "function_call"}]}), "/input/0/call_id"),
        (
            json!({"model": "m", "input": [{"type": "function_call_output", "call_id": "c"}]}),
            "/input/0/output",
        ),
        (
            json!({"model": "m", "input": [{"type": "reasoning", "summary": [{"text": 1}]}]}),
            "/input/0/summary/0/text",
        ),
        (json!({"model": "m", "input": "x", "tools": [{"type": "function"}]}), "/tools/0/name"),
        (json!({"model": "m", "input": "x", "tools": [{"name": "f"}]}), "/tools/0/type"),
        (json!({"model": "m", "input": "x", "tool_choice": "some"}), "/tool_choice"),
        (json!({"model": "m", "input": "x", "text": {"format": {}}}), "/text/format/type"),
        (json!({"model": "m", "input": "x", "reasoning": {"effort": 1}}), "/reasoning/effort"),
        (json!({"model": "m", "input": "x", "instructions": []}), "/instructions"),
        (json!({"model": "m", "input": "x", "max_output_tokens": -1}), "/max_output_tokens"),
    ];
    for (value, pointer) in cases {
        let error = decode(value.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.pointer, pointer, "{value} {error}");
    }
}

#[test]
fn chat_request_becomes_items() {
    let chat = json!({"model": "m", "messages": [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "https://e.org/a.png"}}]},
        {"role": "assistant", "content": "ok", "reasoning_content": "hm", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "42"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "response_format": {"type": "json_object"}, "verbosity": "low", "max_completion_tokens": 50,
        "stop": ["x"], "seed": 1, "presence_penalty": 0.5, "logit_bias": {"1": 2}, "n": 1,
        "logprobs": true, "top_logprobs": 2, "stream": true, "stream_options": {"include_usage": true}});
    let request = openai::request::decode(chat.to_string().as_bytes()).unwrap();
    let encoded = encode(&request, "gpt-4.1").unwrap();
    assert_eq!(encoded.dropped, ["logit_bias", "presence_penalty", "seed", "stop"]);
    assert_eq!(
        body(&encoded),
        json!({"model": "gpt-4.1", "instructions": "Be kind.", "input": [
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "hi"},
                {"type": "input_image", "image_url": "https://e.org/a.png"}]},
            {"type": "message", "role": "assistant", "content": "ok"},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "42"}],
            "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": false}],
            "max_output_tokens": 50, "text": {"format": {"type": "json_object"}, "verbosity": "low"},
            "stream": true, "include": ["message.output_text.logprobs"], "top_logprobs": 2})
    );
}

#[test]
fn reasoning_models_are_asked_for_what_a_client_can_send_back() {
    let asked = |model: &str, request: &Request| {
        let body = body(&encode(request, model).unwrap());
        (body["store"].clone(), body["include"].clone())
    };
    let stateless = (json!(false), json!(["reasoning.encrypted_content"]));
    let untouched = (Value::Null, Value::Null);
    let plain = ask(vec![said(Role::User, vec![Block::text("hi")])]);
    for model in ["o3", "o4-mini", "gpt-5", "gpt-5.2-codex", "openai/gpt-6"] {
        assert_eq!(asked(model, &plain), stateless, "{model}");
    }
    for model in ["gpt-4o", "gpt-4.1", "gpt-5-chat-latest", "gpt-oss-20b", "olmo", "o"] {
        assert_eq!(asked(model, &plain), untouched, "{model}");
    }
    let reasoning = Reasoning { effort: None, budget_tokens: Some(9_000) };
    let wished = Request { reasoning: Some(reasoning), ..plain.clone() };
    assert_eq!(asked("deployment-1", &wished), stateless);
    assert_eq!(body(&encode(&wished, "m").unwrap())["reasoning"], json!({"effort": "high"}));
    for (key, value) in [("store", json!(true)), ("previous_response_id", json!("resp_1"))] {
        let mut request = plain.clone();
        request.extra.insert(key.into(), value.clone());
        assert_eq!(asked("o3", &request).1, Value::Null, "{key}");
        assert_eq!(body(&encode(&request, "o3").unwrap())[key], value);
    }
}

#[test]
fn what_the_wire_has_no_place_for_is_named() {
    let cached = Some(CacheMarker::default());
    let mut message = said(
        Role::User,
        vec![Block::Text { text: "x".into(), cache: cached, extra: serde_json::Map::new() }],
    );
    message.name = Some("eve".into());
    let request = Request {
        tools: vec![
            Tool::Other {
                dialect: "anthropic-messages".into(),
                value: json!({"type": "bash_20250124"}),
            },
            Tool::Other { dialect: "openai-chat-fields".into(), value: json!({"x": 1}) },
        ],
        tool_choice: Some(ToolChoice::Other { dialect: "openai-chat".into(), value: json!({}) }),
        sampling: Sampling { top_k: Some(3), frequency_penalty: Some(0.1), ..Sampling::default() },
        extra: json!({"thinking": {}, "context_management": {"edits": []}})
            .as_object()
            .unwrap()
            .clone(),
        ..ask(vec![message])
    };
    let expected = [
        "cache_control",
        "context_management",
        "frequency_penalty",
        "name",
        "thinking",
        "tool_choice",
        "tools.bash_20250124",
        "top_k",
    ];
    assert_eq!(encode(&request, "m").unwrap().dropped, expected);
}

#[test]
fn content_that_cannot_be_said_is_refused() {
    let media = |kind, source| Block::Media {
        kind,
        source,
        mime_type: None,
        filename: None,
        detail: None,
        cache: None,
    };
    let url = || MediaSource::Url { url: "https://e.org/x".into() };
    let foreign = Block::Other {
        dialect: "anthropic-messages".into(),
        value: json!({"type": "container_upload"}),
    };
    let cases = [
        (media(MediaKind::Video, url()), "video input is not supported"),
        (media(MediaKind::Audio, url()), "audio input by URL or id is not supported"),
        (foreign.clone(), "a content block of anthropic-messages is not supported"),
    ];
    for (block, message) in cases {
        let direct = encode(&ask(vec![said(Role::User, vec![block.clone()])]), "m").unwrap_err();
        assert_eq!((direct.kind, direct.message.as_str()), (CallErrorKind::Unsupported, message));
        let result =
            Block::ToolResult { id: "c".into(), blocks: vec![block], is_error: false, cache: None };
        assert!(encode(&ask(vec![said(Role::Tool, vec![result])]), "m").is_err());
    }
    let told = encode(&ask(vec![said(Role::Assistant, vec![foreign, Block::text("a")])]), "m");
    assert_eq!(body(&told.unwrap())["input"].as_array().unwrap().len(), 1);
}

#[test]
fn only_reasoning_of_this_wire_reaches_a_provider() {
    let reasoning = |dialect: &str, id: &str, blob: Option<&str>| {
        json!({"type": "reasoning", "id": id, "summary": [{"type": "summary_text", "text": "t"}],
            "encrypted_content": blob.map(|blob| torana_wire::origin::seal(dialect, blob))})
    };
    let value = json!({"model": "m", "input": [
        reasoning("anthropic-messages", "rs_torana00000000000000010000", Some("sig")),
        reasoning("", "rs_torana00000000000000010001", None),
        {"type": "function_call", "id": "fc_torana00000000000000010002", "call_id": "c", "name": "f", "arguments": "{}"}]});
    let request = decode(value.to_string().as_bytes()).unwrap();
    let sealed = Block::Reasoning {
        text: "t".into(),
        signature: Some("sig".into()),
        encrypted: None,
        dialect: Some("anthropic-messages".into()),
    };
    assert!(request.messages[0].blocks.contains(&sealed));
    let call = json!([{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]);
    assert_eq!(body(&encode(&request, "m").unwrap())["input"], call);
}

fn json_value() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec![
        "type",
        "role",
        "content",
        "message",
        "user",
        "assistant",
        "input_text",
        "output_text",
        "text",
        "reasoning",
        "summary",
        "summary_text",
        "id",
        "function_call",
        "call_id",
        "name",
        "arguments",
        "output",
        "function_call_output",
        "input_image",
        "image_url",
        "input",
        "model",
        "tools",
        "function",
        "format",
        "encrypted_content",
        "item_reference",
        "system",
    ]);
    let word = words.prop_map(str::to_owned);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((word.clone(), inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn whatever_decodes_has_a_normal_form(items in prop::collection::vec(json_value(), 0..4), rest in json_value()) {
        let mut value = json!({"model": "m", "input": items});
        for (key, more) in rest.as_object().into_iter().flatten() {
            value[key] = more.clone();
        }
        if let Ok(request) = decode(value.to_string().as_bytes())
            && let Ok(encoded) = encode(&request, "m")
        {
            let again = decode(&encoded.body).unwrap();
            prop_assert_eq!(encode(&again, "m").unwrap().body, encoded.body);
        }
    }
}
