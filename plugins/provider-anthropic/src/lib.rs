//! Provider adapter: Anthropic's messages dialect.
//!
//! Request, answer, stream and errors are `torana_wire::anthropic`'s; this crate adds where
//! to send them, the version and the beta features. A client that speaks the dialect itself
//! is passed on with its body untouched.

use serde::Deserialize;
use torana_plugin_sdk::chat::{Request, Response};
use torana_plugin_sdk::provider::{
    Built, CredentialScheme, Endpoint, ForwardHead, Forwarded, HttpRequest, HttpResponse, Info,
    Provider, Wire,
};
use torana_plugin_sdk::wire::anthropic;
use torana_plugin_sdk::{CallError, Header, SettingsError};

/// The provider's `settings` table.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// Where messages go, below the base URL.
    path: String,
    /// The header `anthropic-version`.
    version: String,
    /// Names of beta features: the header `anthropic-beta`.
    beta: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { path: "/messages".into(), version: "2023-06-01".into(), beta: Vec::new() }
    }
}

impl Settings {
    fn headers(&self) -> impl Iterator<Item = Header> {
        let beta = (!self.beta.is_empty()).then(|| ("anthropic-beta", self.beta.join(",")));
        [("anthropic-version", self.version.clone())]
            .into_iter()
            .chain(beta)
            .map(|(name, value)| Header::new(name, value))
    }
}

struct Anthropic;

impl Provider for Anthropic {
    type Settings = Settings;
    type Stream = anthropic::stream::Decoder;

    fn describe(settings: &Settings) -> Result<Info, SettingsError> {
        if !settings.path.starts_with('/') {
            let found = &settings.path;
            let message = format!("{found:?} is not a path: write it with a leading slash");
            return Err(SettingsError::at("/path", message));
        }
        let credential = CredentialScheme::Header("x-api-key".into());
        Ok(Info::new(Wire::AnthropicMessages, credential))
    }

    fn build(endpoint: &Endpoint<Settings>, request: Request) -> Result<Built, CallError> {
        let body = anthropic::request::encode(&request, &endpoint.model);
        let mut sent = HttpRequest::post_json(&endpoint.settings.path, body);
        sent.headers.extend(endpoint.settings.headers());
        Ok(Built::Send(sent))
    }

    fn parse(_: &Endpoint<Settings>, answer: &HttpResponse) -> Result<Response, CallError> {
        if answer.is_success() {
            return anthropic::response::decode(&answer.body);
        }
        let wait = answer.retry_after_ms();
        Err(anthropic::error::decode(answer.status, wait, &answer.body))
    }

    fn forward(endpoint: &Endpoint<Settings>, _: ForwardHead) -> Result<Forwarded, CallError> {
        let mut forwarded = Forwarded::post_json(&endpoint.settings.path);
        forwarded.headers.extend(endpoint.settings.headers());
        Ok(forwarded)
    }

    fn stream(_: &Endpoint<Settings>) -> Self::Stream {
        Self::Stream::default()
    }
}

torana_plugin_sdk::export_provider!(Anthropic);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use serde_json::{Value, json};
    use torana_plugin_sdk::chat::{Block, Message, Role};
    use torana_plugin_sdk::provider::{Frame, StreamParser};
    use torana_plugin_sdk::{CallErrorKind, StreamEvent};

    use super::*;

    fn endpoint(settings: Value) -> Endpoint<Settings> {
        Endpoint {
            model: "claude-real".into(),
            settings: serde_json::from_value(settings).unwrap(),
        }
    }

    fn request() -> Request {
        let message =
            |role, text: &str| Message { role, blocks: vec![Block::text(text)], name: None };
        Request {
            model: "alias".into(),
            messages: vec![message(Role::System, "be brief"), message(Role::User, "hi")],
            ..Request::default()
        }
    }

    fn header<'a>(headers: &'a [Header], name: &str) -> Option<&'a str> {
        let found = headers.iter().find(|it| it.name == name)?;
        Some(&found.value)
    }

    #[test]
    fn request_carries_model_system_and_version() {
        let Built::Send(sent) = Anthropic::build(&endpoint(json!({})), request()).unwrap() else {
            panic!("not sent");
        };
        assert_eq!(sent.path, "/messages");
        assert_eq!(header(&sent.headers, "anthropic-version"), Some("2023-06-01"));
        assert_eq!(header(&sent.headers, "anthropic-beta"), None);
        let body: Value = serde_json::from_slice(&sent.body).unwrap();
        assert_eq!(body["model"], "claude-real");
        assert!(body["system"].to_string().contains("be brief"));
        assert!(body["max_tokens"].as_u64().unwrap() > 0, "the provider demands a limit");
    }

    #[test]
    fn both_ways_carry_the_same_headers() {
        let endpoint = endpoint(json!({ "version": "2030-01-01", "beta": ["a", "b"] }));
        let Built::Send(sent) = Anthropic::build(&endpoint, request()).unwrap() else {
            panic!("not sent");
        };
        let head = ForwardHead { stream: true, stream_usage: false };
        let forwarded = Anthropic::forward(&endpoint, head).unwrap();
        assert_eq!(forwarded.headers, sent.headers);
        assert_eq!(forwarded.path, sent.path);
        assert_eq!(forwarded.patches, []);
        assert_eq!(header(&sent.headers, "anthropic-version"), Some("2030-01-01"));
        assert_eq!(header(&sent.headers, "anthropic-beta"), Some("a,b"));
    }

    #[test]
    fn credential_is_a_header_that_the_host_fills() {
        let info = Anthropic::describe(&Settings::default()).unwrap();
        assert_eq!(info.credential, CredentialScheme::Header("x-api-key".into()));
    }

    #[test]
    fn overload_becomes_a_call_error() {
        let answer = HttpResponse {
            status: 529,
            headers: vec![],
            body: br#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#
                .to_vec(),
        };
        let error = Anthropic::parse(&endpoint(json!({})), &answer).unwrap_err();
        assert_eq!(error.kind, CallErrorKind::Overloaded);
        assert_eq!(error.status, Some(529));
    }

    #[test]
    fn stream_without_its_end_does_not_finish() {
        let mut parser = Anthropic::stream(&endpoint(json!({})));
        let mut events = Vec::new();
        for (event, data) in [
            (
                "message_start",
                r#"{"type":"message_start","message":{"id":"x","type":"message","role":"assistant","model":"m","content":[],"usage":{"input_tokens":3,"output_tokens":1}}}"#,
            ),
            (
                "content_block_start",
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
            ),
            (
                "content_block_delta",
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"he"}}"#,
            ),
        ] {
            let frame = Frame { event: Some(event.into()), data: data.into() };
            StreamParser::push(&mut parser, &frame, &mut events);
        }
        StreamParser::finish(&mut parser, &mut events);
        assert!(
            events
                .iter()
                .any(|it| matches!(it, StreamEvent::TextDelta { text, .. } if text == "he"))
        );
        assert!(!events.iter().any(|it| matches!(it, StreamEvent::Finish(_))));
    }
}
