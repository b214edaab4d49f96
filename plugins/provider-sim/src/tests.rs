//! The simulator through its trait, as the host would call it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::time::Duration;

use serde_json::{Value, json};
use torana_plugin_sdk::chat::{
    Block, FinishReason, Message, OutputFormat, Request, Response, Role, Tool, ToolChoice,
};
use torana_plugin_sdk::provider::{Built, Endpoint, PacedEvent, Provider};
use torana_plugin_sdk::{CallError, CallErrorKind, StreamEvent};

use crate::Sim;
use crate::settings::Settings;

fn endpoint(settings: Value) -> Endpoint<Settings> {
    Endpoint { model: "sim-1".into(), settings: serde_json::from_value(settings).unwrap() }
}

fn request() -> Request {
    Request {
        model: "alias".into(),
        messages: vec![Message {
            role: Role::User,
            blocks: vec![Block::text("what is a gateway")],
            name: None,
        }],
        ..Request::default()
    }
}

fn with_tool(choice: Option<ToolChoice>) -> Request {
    let parameters = json!({
        "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"]
    });
    Request {
        tools: vec![Tool::Function {
            name: "weather".into(),
            description: None,
            parameters: Some(parameters),
            strict: None,
            cache: None,
        }],
        tool_choice: choice,
        ..request()
    }
}

fn build(settings: Value, request: Request) -> Result<Built, CallError> {
    Sim::build(&endpoint(settings), request)
}

fn whole(settings: Value, request: Request) -> (Response, Duration) {
    match build(settings, request).unwrap() {
        Built::Answer { response, after } => (response, after),
        other => panic!("{other:?}"),
    }
}

fn stream(settings: Value, mut request: Request) -> Vec<PacedEvent> {
    request.stream = true;
    match build(settings, request).unwrap() {
        Built::AnswerStream(events) => events,
        other => panic!("{other:?}"),
    }
}

fn text(response: &Response) -> &str {
    match response.blocks.as_slice() {
        [Block::Text { text, .. }] => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn default_answer_says_what_it_is_and_repeats_the_question() {
    let (response, after) = whole(json!({}), request());
    assert!(text(&response).contains("simulated provider"));
    assert!(text(&response).ends_with("what is a gateway"));
    assert_eq!(response.model, "sim-1");
    assert_eq!(response.finish_reason, Some(FinishReason::Stop));
    assert_eq!(response.usage.unwrap().input, 4);
    assert_eq!(after, Duration::ZERO);
}

#[test]
fn whole_answer_takes_as_long_as_its_stream() {
    let settings = json!({ "text": "a b", "tokens": 11, "ttft_ms": 200, "tokens_per_second": 100 });
    let (response, after) = whole(settings.clone(), request());
    let events = stream(settings, request());
    let streamed: Duration = events.iter().map(|it| it.after).sum();
    assert_eq!(after, Duration::from_millis(300));
    assert_eq!(streamed, after);
    let said: String = events
        .iter()
        .filter_map(|it| match &it.event {
            StreamEvent::TextDelta { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(said, text(&response));
    assert_eq!(response.usage.unwrap().output, 11);
    assert!(matches!(events.last().unwrap().event, StreamEvent::Finish(FinishReason::Stop)));
}

#[test]
fn limit_on_output_tokens_ends_with_length() {
    let mut request = request();
    request.sampling.max_output_tokens = Some(2);
    let (response, _) = whole(json!({ "text": "one two three" }), request);
    assert_eq!(text(&response), "one two");
    assert_eq!(response.finish_reason, Some(FinishReason::Length));
    assert_eq!(response.usage.unwrap().output, 2);
}

#[test]
fn required_and_named_tools_are_called_with_arguments_of_their_shape() {
    let named = ToolChoice::Tool { name: "weather".into() };
    for choice in [ToolChoice::Required, named] {
        let (response, _) = whole(json!({}), with_tool(Some(choice)));
        let [Block::ToolCall { name, arguments, .. }] = response.blocks.as_slice() else {
            panic!("{response:?}");
        };
        assert_eq!(name, "weather");
        assert_eq!(arguments, r#"{"city":"text"}"#);
        assert_eq!(response.finish_reason, Some(FinishReason::ToolCalls));
    }
}

#[test]
fn tool_that_is_not_offered_is_an_invalid_request() {
    let choice = ToolChoice::Tool { name: "other".into() };
    let error = build(json!({}), with_tool(Some(choice))).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::InvalidRequest);
}

#[test]
fn free_choice_calls_a_tool_only_if_set_and_not_after_its_result() {
    let calls = |settings: Value, request: Request| {
        let (response, _) = whole(settings, request);
        matches!(response.blocks.as_slice(), [Block::ToolCall { .. }])
    };
    assert!(!calls(json!({}), with_tool(None)));
    assert!(calls(json!({ "tool_call": true }), with_tool(None)));
    assert!(!calls(json!({ "tool_call": true }), with_tool(Some(ToolChoice::None))));
    let mut answered = with_tool(None);
    answered.messages.push(Message { role: Role::Tool, blocks: vec![], name: None });
    assert!(!calls(json!({ "tool_call": true }), answered));
}

#[test]
fn json_formats_are_met() {
    let mut request = request();
    request.output_format = Some(OutputFormat::JsonSchema {
        name: "point".into(),
        description: None,
        schema: json!({ "properties": { "x": { "type": "integer" } }, "required": ["x"] }),
        strict: None,
    });
    let (response, _) = whole(json!({}), request.clone());
    assert_eq!(text(&response), r#"{"x":1}"#);
    request.output_format = Some(OutputFormat::JsonObject);
    let (response, _) = whole(json!({ "text": "hello" }), request);
    assert_eq!(text(&response), r#"{"answer":"hello"}"#);
}

#[test]
fn failures_come_at_their_rate_as_they_are_set() {
    let settings = json!({
        "failure_rate": 0.25,
        "failure": { "kind": "rate_limited", "retry_after_ms": 700 }
    });
    let errors: Vec<CallError> =
        (0..200).filter_map(|_| build(settings.clone(), request()).err()).collect();
    assert!((40..=60).contains(&errors.len()), "{}", errors.len());
    let error = errors.first().unwrap();
    assert_eq!(error.kind, CallErrorKind::RateLimited);
    assert_eq!(error.status, Some(429));
    assert_eq!(error.retry_after_ms, Some(700));
}

#[test]
fn broken_off_stream_ends_with_its_failure_and_never_finishes() {
    let settings = json!({ "text": "a b c d", "failure_rate": 1, "fail_after_tokens": 2 });
    let events = stream(settings.clone(), request());
    let deltas = events.iter().filter(|it| matches!(it.event, StreamEvent::TextDelta { .. }));
    assert_eq!(deltas.count(), 2);
    assert!(matches!(events.last().unwrap().event, StreamEvent::Failed(_)));
    assert!(!events.iter().any(|it| matches!(it.event, StreamEvent::Finish(_))));
    assert!(build(settings, request()).is_err(), "a whole answer cannot break off");
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    for (settings, pointer) in [
        (json!({ "failure_rate": 1.5 }), "/failure_rate"),
        (json!({ "ttft_ms": -1 }), "/ttft_ms"),
        (json!({ "tokens_per_second": 0 }), "/tokens_per_second"),
        (json!({ "tokens": 1_000_000 }), "/tokens"),
        (json!({ "failure": { "status": 200 } }), "/failure/status"),
    ] {
        let endpoint = endpoint(settings);
        assert_eq!(Sim::describe(&endpoint.settings).unwrap_err().pointer, pointer);
        assert!(Sim::build(&endpoint, request()).is_err());
    }
    assert!(Sim::describe(&Settings::default()).is_ok());
}
