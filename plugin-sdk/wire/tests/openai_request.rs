//! Client body → payload → provider body keeps every field, and points at what is wrong.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use torana_wire::DecodeError;
use torana_wire::chat::{Block, MediaKind, MediaSource, Role, Tool, ToolChoice};
use torana_wire::openai::request::{decode, encode};

fn round_trip(body: &Value) -> Value {
    let request = decode(body.to_string().as_bytes()).unwrap();
    // The payload is JSON itself between host and plugin: that must not lose anything either.
    let canonical = serde_json::to_vec(&request).unwrap();
    let request = serde_json::from_slice(&canonical).unwrap();
    let model = body["model"].as_str().unwrap();
    serde_json::from_slice(&encode(&request, model).unwrap().body).unwrap()
}

fn refused(body: &Value) -> DecodeError {
    decode(body.to_string().as_bytes()).unwrap_err()
}

#[test]
fn golden_request_keeps_every_field() {
    let body: Value = serde_json::from_str(include_str!("golden/openai_request.json")).unwrap();
    assert_eq!(round_trip(&body), body);
}

#[test]
fn golden_request_is_understood() {
    let request = decode(include_bytes!("golden/openai_request.json")).unwrap();
    assert_eq!(request.sampling.max_output_tokens, Some(1000));
    assert_eq!(request.tool_choice, Some(ToolChoice::Tool { name: "look".into() }));
    let reasoning = request.reasoning.unwrap();
    assert_eq!((reasoning.effort.as_deref(), reasoning.budget_tokens), (Some("high"), Some(2000)));
    assert!(
        matches!(&request.tools[0], Tool::Function { name, strict: Some(true), .. } if name == "look")
    );
    let image = Block::Media {
        kind: MediaKind::Image,
        source: MediaSource::Inline { data: "iVBORw0KGgo=".into() },
        mime_type: Some("image/png".into()),
        filename: None,
        detail: Some("low".into()),
        cache: None,
    };
    assert!(request.messages[1].blocks.contains(&image));
    let tool = &request.messages[3];
    let result = Block::ToolResult {
        id: "call_1".into(),
        blocks: vec![Block::text("a cat")],
        is_error: false,
        cache: None,
    };
    assert_eq!((tool.role, &tool.blocks), (Role::Tool, &vec![result]));
}

#[test]
fn model_of_the_endpoint_replaces_the_clients() {
    let request = decode(br#"{"model":"fast","messages":[]}"#).unwrap();
    let body: Value = serde_json::from_slice(&encode(&request, "gpt-5").unwrap().body).unwrap();
    assert_eq!(body, json!({"model": "gpt-5", "messages": []}));
}

#[test]
fn limit_keeps_the_name_the_client_used() {
    let encoded = |body: Value| {
        let mut request = decode(body.to_string().as_bytes()).unwrap();
        request.sampling.max_output_tokens = Some(5);
        serde_json::from_slice::<Value>(&encode(&request, "m").unwrap().body).unwrap()
    };
    let old = encoded(json!({"model": "m", "messages": [], "max_tokens": 9}));
    assert_eq!(old, json!({"model": "m", "messages": [], "max_tokens": 5}));
    let new = encoded(json!({"model": "m", "messages": [], "max_completion_tokens": 9}));
    assert_eq!(new, json!({"model": "m", "messages": [], "max_completion_tokens": 5}));
    let both = json!({"model": "m", "messages": [], "max_completion_tokens": 9, "max_tokens": 8});
    assert_eq!(round_trip(&both), both);
}

#[test]
fn streamed_request_asks_for_usage() {
    let body = round_trip(&json!({"model": "m", "messages": [], "stream": true}));
    assert_eq!(body["stream_options"], json!({"include_usage": true}));
}

#[test]
fn both_names_of_reasoning_survive_together() {
    let message =
        json!({"role": "assistant", "content": "x", "reasoning_content": "a", "reasoning": "b"});
    let body = json!({"model": "m", "messages": [message]});
    assert_eq!(round_trip(&body), body);
}

#[test]
fn wrong_types_are_refused_with_their_place() {
    let message = |message: Value| json!({"model": "m", "messages": [message]});
    let with = |key: &str, value: Value| {
        let mut body = json!({"model": "m", "messages": []});
        body.as_object_mut().unwrap().insert(key.into(), value);
        body
    };
    let cases = [
        (json!([]), "", "expected an object, found an array of 0"),
        (json!({"messages": []}), "/model", "expected a string, found nothing"),
        (json!({"model": "m"}), "/messages", "expected an array, found nothing"),
        (json!({"model": 1, "messages": []}), "/model", "expected a string, found the number 1"),
        (message(json!("hi")), "/messages/0", "expected an object, found the string \"hi\""),
        (
            message(json!({"role": "user", "content": 4})),
            "/messages/0/content",
            "expected a string or an array of parts, found the number 4",
        ),
        (
            message(json!({"role": "user"})),
            "/messages/0/content",
            "expected a string or an array of parts, found nothing",
        ),
        (
            message(json!({"role": "robot", "content": ""})),
            "/messages/0/role",
            "expected system, developer, user, assistant or tool, found the string \"robot\"",
        ),
        (
            message(json!({"role": "user", "content": [{"type": "image_url"}]})),
            "/messages/0/content/0/image_url",
            "expected an object, found nothing",
        ),
        (
            message(json!({"role": "user", "content": [{"type": "text", "text": null}]})),
            "/messages/0/content/0/text",
            "expected a string, found nothing",
        ),
        (
            message(json!({"role": "tool", "content": ""})),
            "/messages/0/tool_call_id",
            "expected a string, found nothing",
        ),
        (
            message(
                json!({"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": {}}}]}),
            ),
            "/messages/0/tool_calls/0/function/arguments",
            "expected a string, found an object",
        ),
        (
            with("temperature", json!("hot")),
            "/temperature",
            "expected a number, found the string \"hot\"",
        ),
        (
            with("max_tokens", json!(-1)),
            "/max_tokens",
            "expected a whole number of 0 or more, found the number -1",
        ),
        (with("stop", json!(["a", 1])), "/stop/1", "expected a string, found the number 1"),
        (
            with("tools", json!([{"type": "function"}])),
            "/tools/0/function",
            "expected an object, found nothing",
        ),
        (
            with("response_format", json!({"type": "json_schema", "json_schema": {"schema": {}}})),
            "/response_format/json_schema/name",
            "expected a string, found nothing",
        ),
    ];
    for (body, pointer, message) in cases {
        let error = refused(&body);
        assert_eq!((error.pointer.as_str(), error.message.as_str()), (pointer, message), "{body}");
    }
    let error = decode(b"{").unwrap_err();
    assert!(error.message.starts_with("the body is not JSON: "), "{error}");
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z ]{0,12}", "\\PC{0,8}", Just("\"\\\n\u{0}🦀".to_owned())]
}

fn fields() -> impl Strategy<Value = Map<String, Value>> {
    let value = prop_oneof![any::<i32>().prop_map(Value::from), text().prop_map(Value::from)];
    prop::collection::hash_map("x_[a-z]{1,4}", value, 0..3)
        .prop_map(|map| map.into_iter().collect())
}

fn with_fields(mut object: Value, fields: Map<String, Value>) -> Value {
    object.as_object_mut().unwrap().extend(fields);
    object
}

fn part() -> impl Strategy<Value = Value> {
    let media = "[a-zA-Z0-9+/]{4,12}";
    let kind = prop_oneof![
        text().prop_map(|text| json!({"type": "text", "text": text})),
        (media, prop::option::of("low|high")).prop_map(|(data, detail)| {
            let url = format!("data:image/png;base64,{data}");
            match detail {
                Some(detail) => {
                    json!({"type": "image_url", "image_url": {"url": url, "detail": detail}})
                }
                None => json!({"type": "image_url", "image_url": {"url": url}}),
            }
        }),
        media.prop_map(
            |path| json!({"type": "image_url", "image_url": {"url": format!("https://h/{path}")}})
        ),
        (media, "wav|mp3|flac").prop_map(|(data, format)| {
            json!({"type": "input_audio", "input_audio": {"data": data, "format": format}})
        }),
        (media, text()).prop_map(|(data, name)| {
            json!({"type": "file", "file": {"file_data": data, "filename": name}})
        }),
        media.prop_map(|id| json!({"type": "file", "file": {"file_id": id}})),
        text().prop_map(|text| json!({"type": "x_new", "x_new": text})),
    ];
    (kind, fields()).prop_map(|(part, fields)| with_fields(part, fields))
}

/// Content in the normal form: a single plain text is a string.
fn content() -> impl Strategy<Value = Value> {
    let parts = prop::collection::vec(part(), 1..4)
        .prop_filter("a single plain text", |parts| {
            parts.len() > 1 || parts[0]["type"] != "text" || parts[0].as_object().unwrap().len() > 2
        })
        .prop_map(Value::from);
    prop_oneof![text().prop_map(Value::from), parts]
}

fn tool_call() -> impl Strategy<Value = Value> {
    (text(), text(), text(), fields()).prop_map(|(id, name, arguments, fields)| {
        let function = json!({"name": name, "arguments": arguments});
        with_fields(json!({"id": id, "type": "function", "function": function}), fields)
    })
}

fn message() -> impl Strategy<Value = Value> {
    let plain = ("system|developer|user", content(), prop::option::of(text())).prop_map(
        |(role, content, name)| {
            let mut message = json!({"role": role, "content": content});
            if let Some(name) = name {
                message["name"] = name.into();
            }
            message
        },
    );
    let calls = prop::collection::vec(tool_call(), 1..3);
    let reasoning = prop::option::of(("reasoning|reasoning_content", text()));
    let assistant = (prop::option::of(text()), reasoning, prop::option::of(calls)).prop_map(
        |(content, reasoning, calls)| {
            let content = if calls.is_none() { Some(content.unwrap_or_default()) } else { content };
            let mut message = json!({"role": "assistant", "content": content});
            if let Some((key, text)) = reasoning {
                message[key] = text.into();
            }
            if let Some(calls) = calls {
                message["tool_calls"] = calls.into();
            }
            message
        },
    );
    let tool = (content(), text())
        .prop_map(|(content, id)| json!({"role": "tool", "content": content, "tool_call_id": id}));
    (prop_oneof![plain, assistant, tool], fields())
        .prop_map(|(message, fields)| with_fields(message, fields))
}

fn tool() -> impl Strategy<Value = Value> {
    let function = (text(), prop::option::of(text()), prop::option::of(any::<bool>()), fields());
    (function, fields()).prop_map(|((name, description, strict, inner), outer)| {
        let mut function = json!({"name": name, "parameters": {"type": "object"}});
        if let Some(description) = description {
            function["description"] = description.into();
        }
        if let Some(strict) = strict {
            function["strict"] = strict.into();
        }
        let function = with_fields(function, inner);
        with_fields(json!({"type": "function", "function": function}), outer)
    })
}

fn parameters() -> impl Strategy<Value = Map<String, Value>> {
    let float = || (0..100u32).prop_map(|hundredths| json!(f64::from(hundredths) / 100.0));
    let choice = prop_oneof![
        "auto|none|required".prop_map(Value::from),
        text().prop_map(|name| json!({"type": "function", "function": {"name": name}})),
        text().prop_map(|name| json!({"type": "custom", "custom": {"name": name}})),
    ];
    let format = prop_oneof![
        Just(json!({"type": "text"})),
        Just(json!({"type": "json_object"})),
        (text(), fields()).prop_map(|(name, fields)| {
            let schema = with_fields(json!({"name": name, "schema": {"type": "object"}}), fields);
            json!({"type": "json_schema", "json_schema": schema})
        }),
        Just(json!({"type": "json_schema", "json_schema": {"name": "n"}})),
        text().prop_map(|grammar| json!({"type": "grammar", "grammar": grammar})),
    ];
    let known = vec![
        ("temperature", float().boxed()),
        ("top_p", float().boxed()),
        ("top_k", any::<i32>().prop_map(Value::from).boxed()),
        ("max_tokens", any::<u32>().prop_map(Value::from).boxed()),
        ("max_completion_tokens", any::<u32>().prop_map(Value::from).boxed()),
        ("stop", prop::collection::vec(text(), 1..3).prop_map(Value::from).boxed()),
        ("seed", any::<i64>().prop_map(Value::from).boxed()),
        ("presence_penalty", float().boxed()),
        ("frequency_penalty", float().boxed()),
        ("reasoning_effort", "low|high|none|x".prop_map(Value::from).boxed()),
        ("tool_choice", choice.boxed()),
        ("parallel_tool_calls", any::<bool>().prop_map(Value::from).boxed()),
        ("response_format", format.boxed()),
        ("user", text().prop_map(Value::from).boxed()),
        ("metadata", Just(json!({"a": "b"})).boxed()),
        ("stream_options", Just(json!({"include_usage": true})).boxed()),
        ("tools", prop::collection::vec(tool(), 1..3).prop_map(Value::from).boxed()),
    ];
    let optional: Vec<_> = known
        .into_iter()
        .map(|(key, value)| prop::option::of(value).prop_map(move |value| (key.to_owned(), value)))
        .collect();
    optional.prop_map(|pairs| {
        pairs.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_request_keeps_every_field(
        messages in prop::collection::vec(message(), 0..4),
        parameters in parameters(),
        extra in fields(),
        streams in any::<bool>(),
    ) {
        let mut body = json!({"model": "m", "messages": messages});
        let fields = body.as_object_mut().unwrap();
        fields.extend(parameters);
        fields.extend(extra);
        if streams {
            fields.insert("stream".into(), true.into());
            fields.insert("stream_options".into(), json!({"include_usage": true}));
        }
        prop_assert_eq!(round_trip(&body), body);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        prop_assert!(decode(&bytes).is_err());
    }
}
