//! The adapter as the host calls it: golden files, recorded traffic, and whatever bytes.
//!
//! Goldens are in `src/golden`; `TORANA_BLESS=1` writes them anew, for reviewing by eye.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod error;
mod golden;
mod request;
mod stream;

use serde_json::{Value, json};
use torana_plugin_sdk::Header;
use torana_plugin_sdk::provider::{Endpoint, HttpResponse, Provider, StructuredOutput};

use crate::SageMaker;
use crate::settings::Settings;

fn settings(mut settings: Value) -> Settings {
    if settings.get("region").is_none() {
        settings["region"] = "eu-central-1".into();
    }
    serde_json::from_value(settings).unwrap()
}

fn endpoint(more: Value) -> Endpoint<Settings> {
    Endpoint { model: "llama-prod".into(), settings: settings(more) }
}

fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> HttpResponse {
    let headers = headers.iter().map(|(name, value)| Header::new(*name, *value)).collect();
    HttpResponse { status, headers, body: body.to_vec() }
}

#[test]
fn description_names_scheme_framing_and_what_the_container_can() {
    use torana_plugin_sdk::provider::{AwsService, CredentialScheme, Framing};
    let info = SageMaker::describe(&settings(json!({}))).unwrap();
    let service = AwsService { service: "sagemaker".into(), region: "eu-central-1".into() };
    assert_eq!(info.credential, CredentialScheme::AwsSigv4(service));
    assert_eq!(info.framing, Framing::AwsEventStream);
    assert_eq!(info.structured_output, StructuredOutput::JsonSchema);
    assert!(info.wires.is_empty() && info.embeddings);
    let tgi = SageMaker::describe(&settings(json!({"hosted": "tgi"}))).unwrap();
    assert_eq!((tgi.structured_output, tgi.embeddings), (StructuredOutput::Tool, false));
    let stated = settings(json!({"hosted": "tgi", "structured_output": "prompt"}));
    let info = SageMaker::describe(&stated).unwrap();
    assert_eq!(info.structured_output, StructuredOutput::Prompt);
}

#[test]
fn settings_that_cannot_be_are_refused_at_their_key() {
    assert!(serde_json::from_value::<Settings>(json!({})).is_err());
    assert!(serde_json::from_value::<Settings>(json!({"region": "x", "hosted": "y"})).is_err());
    for (more, pointer) in [
        (json!({"region": "evil.example/"}), "/region"),
        (json!({"inference_component": ""}), "/inference_component"),
        (json!({"target_variant": "a\nb"}), "/target_variant"),
    ] {
        assert_eq!(SageMaker::describe(&settings(more)).unwrap_err().pointer, pointer);
    }
}
