//! Provider adapter: OpenAI's chat dialect, and every provider that speaks it.
//!
//! Request, answer, stream and errors are `torana_wire::openai`'s; this crate adds where to
//! send them and the few things in which servers differ. A client that speaks the dialect
//! itself is passed on: its body stays as it is, but a streamed request asks for usage at
//! the end, and the host takes that chunk out again where the client did not want it.

use serde::Deserialize;
use serde_json::{Value, json};
use torana_plugin_sdk::chat::{Request, Response};
use torana_plugin_sdk::provider::{
    Built, CredentialScheme, Endpoint, ForwardHead, Forwarded, HttpRequest, HttpResponse, Info,
    Provider, Wire,
};
use torana_plugin_sdk::wire::openai;
use torana_plugin_sdk::{CallError, CallErrorKind, SettingsError};

/// The provider's `settings` table.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// Where chat requests go, below the base URL.
    path: String,
    /// What the limit on output tokens is called. Absent: as the client called it.
    max_tokens_field: Option<LimitName>,
    /// Streamed requests ask for usage at the end. Off for servers that refuse
    /// `stream_options`.
    stream_usage: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LimitName {
    MaxTokens,
    /// OpenAI's reasoning models take no other.
    MaxCompletionTokens,
}

impl Default for Settings {
    fn default() -> Self {
        Self { path: "/chat/completions".into(), max_tokens_field: None, stream_usage: true }
    }
}

struct OpenAi;

impl Provider for OpenAi {
    type Settings = Settings;
    type Stream = openai::stream::Decoder;

    fn describe(settings: &Settings) -> Result<Info, SettingsError> {
        if !settings.path.starts_with('/') {
            let found = &settings.path;
            let message = format!("{found:?} is not a path: write it with a leading slash");
            return Err(SettingsError::at("/path", message));
        }
        Ok(Info::new(Wire::OpenaiChat, CredentialScheme::Bearer))
    }

    fn build(endpoint: &Endpoint<Settings>, mut request: Request) -> Result<Built, CallError> {
        let settings = &endpoint.settings;
        name_limit(&mut request, settings.max_tokens_field);
        let mut body = openai::request::encode(&request, &endpoint.model);
        if request.stream && !settings.stream_usage {
            body = without_stream_options(&body)?;
        }
        Ok(Built::Send(HttpRequest::post_json(&settings.path, body)))
    }

    fn parse(_: &Endpoint<Settings>, answer: &HttpResponse) -> Result<Response, CallError> {
        if answer.is_success() {
            return openai::response::decode(&answer.body);
        }
        let wait = answer.retry_after_ms();
        Err(openai::error::decode(answer.status, wait, &answer.body))
    }

    fn forward(endpoint: &Endpoint<Settings>, head: ForwardHead) -> Result<Forwarded, CallError> {
        let settings = &endpoint.settings;
        let forwarded = Forwarded::post_json(&settings.path);
        Ok(if head.stream && !head.stream_usage && settings.stream_usage {
            forwarded.set("stream_options", json!({ "include_usage": true }))
        } else {
            forwarded
        })
    }

    fn stream(_: &Endpoint<Settings>) -> Self::Stream {
        Self::Stream::default()
    }
}

/// The codec writes the newer name when the request's further parameters bear it.
fn name_limit(request: &mut Request, name: Option<LimitName>) {
    const NEWER: &str = "max_completion_tokens";
    match (name, request.sampling.max_output_tokens) {
        (Some(LimitName::MaxTokens), _) => {
            request.extra.remove(NEWER);
        }
        (Some(LimitName::MaxCompletionTokens), Some(limit)) => {
            request.extra.insert(NEWER.into(), limit.into());
        }
        (Some(LimitName::MaxCompletionTokens), None) | (None, _) => {}
    }
}

fn without_stream_options(body: &[u8]) -> Result<Vec<u8>, CallError> {
    let remove = || {
        let mut body: Value = serde_json::from_slice(body)?;
        if let Some(body) = body.as_object_mut() {
            body.shift_remove("stream_options");
        }
        serde_json::to_vec(&body)
    };
    remove().map_err(|error| CallError::new(CallErrorKind::InvalidRequest, error.to_string()))
}

torana_plugin_sdk::export_provider!(OpenAi);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use torana_plugin_sdk::chat::{Block, Message, Role};
    use torana_plugin_sdk::provider::{Frame, StreamParser};
    use torana_plugin_sdk::{Header, StreamEvent};

    use super::*;

    fn endpoint(settings: Value) -> Endpoint<Settings> {
        Endpoint { model: "gpt-real".into(), settings: serde_json::from_value(settings).unwrap() }
    }

    fn request(stream: bool) -> Request {
        let mut request = Request {
            model: "alias".into(),
            messages: vec![Message {
                role: Role::User,
                blocks: vec![Block::text("hi")],
                name: None,
            }],
            stream,
            ..Request::default()
        };
        request.sampling.max_output_tokens = Some(7);
        request
    }

    fn body(settings: Value, stream: bool) -> Value {
        match OpenAi::build(&endpoint(settings), request(stream)).unwrap() {
            Built::Send(sent) => serde_json::from_slice(&sent.body).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn request_goes_to_the_path_with_the_endpoint_s_model() {
        let endpoint = endpoint(json!({ "path": "/v2/chat" }));
        let Built::Send(sent) = OpenAi::build(&endpoint, request(false)).unwrap() else {
            panic!("not sent");
        };
        assert_eq!((sent.method.as_str(), sent.path.as_str()), ("POST", "/v2/chat"));
        let body: Value = serde_json::from_slice(&sent.body).unwrap();
        assert_eq!(body["model"], "gpt-real");
        assert_eq!(body["messages"][0]["content"], "hi");
        assert!(body.get("stream_options").is_none());
    }

    #[test]
    fn limit_is_named_as_the_settings_say() {
        assert_eq!(body(json!({}), false)["max_tokens"], 7);
        let newer = body(json!({ "max_tokens_field": "max_completion_tokens" }), false);
        assert_eq!(newer["max_completion_tokens"], 7);
        assert!(newer.get("max_tokens").is_none());
        let older = body(json!({ "max_tokens_field": "max_tokens" }), false);
        assert_eq!(older["max_tokens"], 7);
        assert!(older.get("max_completion_tokens").is_none());
    }

    #[test]
    fn usage_is_asked_for_unless_switched_off() {
        let on = body(json!({}), true);
        assert_eq!(on["stream_options"]["include_usage"], true);
        let off = body(json!({ "stream_usage": false }), true);
        assert_eq!(off["stream"], true);
        assert!(off.get("stream_options").is_none());
    }

    #[test]
    fn forwarding_patches_only_a_stream_that_does_not_ask_for_usage() {
        let patches = |settings: Value, stream, stream_usage| {
            let head = ForwardHead { stream, stream_usage };
            OpenAi::forward(&endpoint(settings), head).unwrap().patches
        };
        let patched = patches(json!({}), true, false);
        assert_eq!(patched.len(), 1);
        assert_eq!(patched[0].key, "stream_options");
        assert_eq!(patched[0].value, Some(json!({ "include_usage": true })));
        assert_eq!(patches(json!({}), true, true), []);
        assert_eq!(patches(json!({}), false, false), []);
        assert_eq!(patches(json!({ "stream_usage": false }), true, false), []);
    }

    #[test]
    fn refusal_becomes_a_call_error_with_its_waiting_time() {
        let answer = HttpResponse {
            status: 429,
            headers: vec![Header::new("retry-after", "3")],
            body: br#"{"error":{"message":"slow down","type":"requests","code":"rate_limit_exceeded"}}"#.to_vec(),
        };
        let error = OpenAi::parse(&endpoint(json!({})), &answer).unwrap_err();
        assert_eq!(error.kind, CallErrorKind::RateLimited);
        assert_eq!(error.status, Some(429));
        assert_eq!(error.retry_after_ms, Some(3_000));
        assert_eq!(error.message, "slow down");
    }

    #[test]
    fn stream_without_its_end_does_not_finish() {
        let mut parser = OpenAi::stream(&endpoint(json!({})));
        let mut events = Vec::new();
        let data = br#"{"id":"x","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"he"}}]}"#;
        let frame = Frame { event: None, data: data.to_vec() };
        StreamParser::push(&mut parser, &frame, &mut events);
        StreamParser::finish(&mut parser, &mut events);
        assert!(
            events
                .iter()
                .any(|it| matches!(it, StreamEvent::TextDelta { text, .. } if text == "he"))
        );
        assert!(!events.iter().any(|it| matches!(it, StreamEvent::Finish(_))));
    }

    #[test]
    fn unknown_keys_and_bad_paths_are_refused() {
        assert!(serde_json::from_value::<Settings>(json!({ "headers": {} })).is_err());
        let bad = endpoint(json!({ "path": "chat" })).settings;
        assert_eq!(OpenAi::describe(&bad).unwrap_err().pointer, "/path");
    }
}
