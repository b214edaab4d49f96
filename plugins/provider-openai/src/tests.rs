#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod golden;

use serde_json::{Value, json};
use torana_plugin_sdk::chat::{Block, MediaKind, MediaSource, Message, Role};
use torana_plugin_sdk::provider::{Frame, StreamParser, StructuredOutput};
use torana_plugin_sdk::{CallErrorKind, Header, StreamEvent};

use super::*;

fn endpoint(settings: Value) -> Endpoint<Settings> {
    Endpoint { model: "gpt/real".into(), settings: serde_json::from_value(settings).unwrap() }
}

fn request(stream: bool) -> Request {
    let blocks = vec![Block::text("hi")];
    let mut request = Request {
        model: "alias".into(),
        messages: vec![Message { role: Role::User, blocks, name: Some("ada".into()) }],
        stream,
        ..Request::default()
    };
    request.sampling.max_output_tokens = Some(7);
    request.sampling.seed = Some(1);
    request
}

fn sent(settings: Value, request: Request) -> (HttpRequest, Value) {
    match OpenAi::build(&endpoint(settings), request).unwrap() {
        Built::Send(sent) => {
            let body = serde_json::from_slice(&sent.body).unwrap();
            (sent, body)
        }
        other => panic!("{other:?}"),
    }
}

fn forwarded(settings: Value, wire: Wire, stream: bool, stream_usage: bool) -> Forwarded {
    let head = ForwardHead { wire, stream, stream_usage, headers: Vec::new() };
    OpenAi::forward(&endpoint(settings), head).unwrap()
}

#[test]
fn request_goes_to_the_path_with_the_endpoint_s_model() {
    let (sent, body) = sent(json!({ "path": "/v2/chat" }), request(false));
    assert_eq!((sent.method.as_str(), sent.path.as_str()), ("POST", "/v2/chat"));
    assert_eq!(body["model"], "gpt/real");
    assert_eq!(body["messages"][0]["content"], "hi");
    assert!(body.get("stream_options").is_none());
}

#[test]
fn limit_is_named_as_the_settings_say() {
    let body = |settings| sent(settings, request(false)).1;
    assert_eq!(body(json!({}))["max_tokens"], 7);
    let newer = body(json!({ "max_tokens_field": "max_completion_tokens" }));
    assert_eq!(newer["max_completion_tokens"], 7);
    assert!(newer.get("max_tokens").is_none());
    let older = body(json!({ "max_tokens_field": "max_tokens" }));
    assert_eq!(older["max_tokens"], 7);
    assert!(older.get("max_completion_tokens").is_none());
}

#[test]
fn usage_is_asked_for_unless_switched_off() {
    let body = |settings| sent(settings, request(true)).1;
    assert_eq!(body(json!({}))["stream_options"]["include_usage"], true);
    let off = body(json!({ "stream_usage": false }));
    assert_eq!(off["stream"], true);
    assert!(off.get("stream_options").is_none());
}

#[test]
fn what_the_server_refuses_is_left_out_and_named_once() {
    let mut asked = request(false);
    asked.extra = json!({ "logit_bias": {}, "suffix": "x" }).as_object().unwrap().clone();
    let unsupported = ["seed", "name", "logit_bias", "tools", "suffix", "temperature"];
    let (sent, body) = sent(json!({ "unsupported": unsupported }), asked);
    let message = json!({ "role": "user", "content": "hi" });
    assert_eq!(body, json!({ "model": "gpt/real", "messages": [message], "max_tokens": 7 }));
    assert_eq!(sent.dropped, ["logit_bias", "name", "seed", "suffix"]);
}

#[test]
fn parameter_gets_the_name_the_server_knows() {
    let (sent, body) = sent(json!({ "renamed": { "seed": "random_seed" } }), request(false));
    assert_eq!((&body["random_seed"], body.get("seed")), (&json!(1), None));
    assert_eq!(sent.dropped, [""; 0]);
}

#[test]
fn media_that_the_server_does_not_read_are_unsupported() {
    let mut asked = request(false);
    let source = MediaSource::Inline { data: "AA==".into() };
    asked.messages[0].blocks = vec![Block::Media {
        kind: MediaKind::Audio,
        source,
        mime_type: Some("audio/wav".into()),
        filename: None,
        detail: None,
        cache: None,
    }];
    let error =
        OpenAi::build(&endpoint(json!({ "inputs": ["image"] })), asked.clone()).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Unsupported);
    assert_eq!(error.message, "audio input is not supported");
    assert!(OpenAi::build(&endpoint(json!({})), asked).is_ok());
}

#[test]
fn dated_azure_api_has_the_deployment_in_the_path_and_the_version_in_the_query() {
    let azure = || {
        json!({ "wires": ["chat", "completions", "responses", "embeddings"],
            "deployment_paths": true, "api_version": "2024-10-21", "credential_header": "api-key" })
    };
    let (sent, _) = sent(azure(), request(false));
    assert_eq!(sent.path, "/deployments/gpt%2Freal/chat/completions?api-version=2024-10-21");
    let path = |wire| forwarded(azure(), wire, false, false).path;
    assert_eq!(
        path(Wire::OpenaiEmbeddings),
        "/deployments/gpt%2Freal/embeddings?api-version=2024-10-21"
    );
    assert_eq!(path(Wire::OpenaiResponses), "/responses?api-version=2024-10-21");
    let info = OpenAi::describe(&endpoint(azure()).settings).unwrap();
    assert!(matches!(info.credential, CredentialScheme::Header(name) if name == "api-key"));
}

#[test]
fn each_wire_is_passed_on_to_its_own_route() {
    let all = || json!({ "wires": ["chat", "completions", "responses", "embeddings"] });
    let cases = [
        (Wire::OpenaiChat, "/chat/completions"),
        (Wire::OpenaiCompletions, "/completions"),
        (Wire::OpenaiResponses, "/responses"),
        (Wire::OpenaiEmbeddings, "/embeddings"),
    ];
    let info = OpenAi::describe(&endpoint(all()).settings).unwrap();
    for (at, (wire, path)) in cases.into_iter().enumerate() {
        assert_eq!(forwarded(all(), wire, false, false).path, path);
        assert_eq!(info.wires[at], wire);
    }
    let head = ForwardHead {
        wire: Wire::OpenaiResponses,
        stream: false,
        stream_usage: false,
        headers: Vec::new(),
    };
    let error = OpenAi::forward(&endpoint(json!({})), head).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Unsupported);
}

#[test]
fn forwarding_patches_only_a_stream_that_does_not_ask_for_usage() {
    let all = || json!({ "wires": ["chat", "completions", "responses", "embeddings"] });
    for wire in [Wire::OpenaiChat, Wire::OpenaiCompletions] {
        let patches = |settings, stream, usage| forwarded(settings, wire, stream, usage).patches;
        let patched = patches(all(), true, false);
        assert_eq!(patched.len(), 1);
        assert_eq!(patched[0].key, "stream_options");
        assert_eq!(patched[0].value, Some(json!({ "include_usage": true })));
        assert_eq!(patches(all(), true, true), []);
        assert_eq!(patches(all(), false, false), []);
    }
    let off = forwarded(json!({ "stream_usage": false }), Wire::OpenaiChat, true, false);
    assert_eq!(off.patches, []);
    assert_eq!(forwarded(all(), Wire::OpenaiResponses, true, false).patches, []);
}

#[test]
fn structured_output_is_what_the_settings_say() {
    let described = |settings| OpenAi::describe(&endpoint(settings).settings).unwrap();
    let found = described(json!({})).structured_output;
    assert_eq!(found, StructuredOutput::JsonSchema);
    for (name, expected) in [
        ("tool", StructuredOutput::Tool),
        ("json-object", StructuredOutput::JsonObject),
        ("prompt", StructuredOutput::Prompt),
    ] {
        assert_eq!(described(json!({ "structured_output": name })).structured_output, expected);
    }
}

#[test]
fn other_route_is_used_when_the_settings_say_so() {
    let (sent, body) = sent(json!({ "api": "responses" }), request(true));
    assert_eq!(sent.path, "/responses");
    assert_eq!((&body["model"], &body["stream"]), (&json!("gpt/real"), &json!(true)));
    assert!(body.get("input").is_some() && body.get("messages").is_none(), "{body}");
    let answer = json!({"id": "resp_1", "object": "response", "status": "completed", "model": "m",
        "output": [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": "hi", "annotations": []}]}],
        "usage": {"input_tokens": 3, "output_tokens": 1, "total_tokens": 4}});
    let http =
        HttpResponse { status: 200, headers: Vec::new(), body: answer.to_string().into_bytes() };
    let endpoint = endpoint(json!({ "api": "responses" }));
    let response = OpenAi::parse(&endpoint, &http).unwrap();
    assert!(
        response.blocks.iter().any(|it| matches!(it, Block::Text { text, .. } if text == "hi"))
    );
    assert_eq!(response.usage.unwrap().input, 3);
    let mut parser = OpenAi::stream(&endpoint);
    let mut events = Vec::new();
    let done = json!({"type": "response.completed", "sequence_number": 0, "response": answer});
    let frame = Frame { event: None, data: done.to_string().into_bytes() };
    StreamParser::push(&mut parser, &frame, &mut events);
    StreamParser::finish(&mut parser, &mut events);
    assert!(matches!(events.last(), Some(StreamEvent::Finish(_))), "{events:?}");
}

#[test]
fn refusal_becomes_a_call_error_with_its_waiting_time() {
    let answer = HttpResponse {
        status: 429,
        headers: vec![Header::new("retry-after", "3")],
        body:
            br#"{"error":{"message":"slow down","type":"requests","code":"rate_limit_exceeded"}}"#
                .to_vec(),
    };
    let error = OpenAi::parse(&endpoint(json!({})), &answer).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::RateLimited);
    assert_eq!(error.status, Some(429));
    assert_eq!(error.retry_after_ms, Some(3_000));
    assert_eq!(error.message, "slow down");
}

#[test]
fn stream_without_its_end_does_not_finish() {
    for settings in [json!({}), json!({ "think_tags": true })] {
        let mut parser = OpenAi::stream(&endpoint(settings));
        let mut events = Vec::new();
        let data = br#"{"id":"x","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"<th"}}]}"#;
        let frame = Frame { event: None, data: data.to_vec() };
        StreamParser::push(&mut parser, &frame, &mut events);
        StreamParser::finish(&mut parser, &mut events);
        let is_text =
            |it: &StreamEvent| matches!(it, StreamEvent::TextDelta { text, .. } if text == "<th");
        assert!(events.iter().any(is_text), "{events:?}");
        assert!(!events.iter().any(|it| matches!(it, StreamEvent::Finish(_))));
    }
}

#[test]
fn unknown_keys_and_bad_values_are_refused() {
    for wrong in
        [json!({ "headers": {} }), json!({ "wires": ["anthropic"] }), json!({ "api": "x" })]
    {
        assert!(serde_json::from_value::<Settings>(wrong).is_err());
    }
    let refused = |settings| OpenAi::describe(&endpoint(settings).settings).unwrap_err().pointer;
    assert_eq!(refused(json!({ "path": "chat" })), "/path");
    assert_eq!(refused(json!({ "api_version": "2024&x=" })), "/api_version");
}
