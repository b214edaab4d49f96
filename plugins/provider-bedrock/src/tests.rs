//! The adapter as the host calls it: golden files, recorded traffic, and whatever bytes.
//!
//! Goldens are in `src/golden`; `TORANA_BLESS=1` writes them anew, for reviewing by eye.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod embeddings;
mod error;
mod golden;
mod request;
mod response;
mod stream;

use serde_json::{Value, json};
use torana_plugin_sdk::chat::Request;
use torana_plugin_sdk::provider::{Built, Endpoint, HttpRequest, HttpResponse, Provider};
use torana_plugin_sdk::{CallError, Header};

use crate::Bedrock;
use crate::settings::Settings;

const CLAUDE: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";

fn settings(mut settings: Value) -> Settings {
    settings["region"] = "eu-central-1".into();
    serde_json::from_value(settings).unwrap()
}

fn endpoint(model: &str) -> Endpoint<Settings> {
    Endpoint { model: model.into(), settings: settings(json!({})) }
}

fn request(value: Value) -> Request {
    serde_json::from_value(value).unwrap()
}

fn send(endpoint: &Endpoint<Settings>, value: Value) -> Result<HttpRequest, CallError> {
    match Bedrock::build(endpoint, request(value))? {
        Built::Send(sent) => Ok(sent),
        other => panic!("{other:?}"),
    }
}

/// The body and what was left out.
fn sent(model: &str, value: Value) -> (Value, Vec<String>) {
    let sent = send(&endpoint(model), value).unwrap();
    (serde_json::from_slice(&sent.body).unwrap(), sent.dropped)
}

fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> HttpResponse {
    let headers = headers.iter().map(|(name, value)| Header::new(*name, *value)).collect();
    HttpResponse { status, headers, body: body.to_vec() }
}

#[test]
fn description_names_scheme_region_and_framing() {
    use torana_plugin_sdk::provider::{AwsService, CredentialScheme, Framing, StructuredOutput};
    let info = Bedrock::describe(&settings(json!({}))).unwrap();
    let service = AwsService { service: "bedrock".into(), region: "eu-central-1".into() };
    assert_eq!(info.credential, CredentialScheme::AwsSigv4(service));
    assert_eq!(info.framing, Framing::AwsEventStream);
    assert_eq!(info.structured_output, StructuredOutput::Tool);
    assert!(info.wires.is_empty() && info.embeddings);
    let other = settings(json!({"auth": "bearer", "structured_output": "json-schema"}));
    let info = Bedrock::describe(&other).unwrap();
    assert_eq!(info.credential, CredentialScheme::Bearer);
    assert_eq!(info.structured_output, StructuredOutput::JsonSchema);
}

#[test]
fn region_is_required_and_must_look_like_one() {
    assert!(serde_json::from_value::<Settings>(json!({})).is_err());
    assert!(serde_json::from_value::<Settings>(json!({"region": "x", "key": "y"})).is_err());
    for region in ["", "evil.example/", "US-EAST-1", &"x".repeat(33)] {
        let bad: Settings = serde_json::from_value(json!({ "region": region })).unwrap();
        assert_eq!(Bedrock::describe(&bad).unwrap_err().pointer, "/region");
    }
}
