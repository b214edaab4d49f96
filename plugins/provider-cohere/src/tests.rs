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

use std::path::Path;

use serde_json::{Value, json};
use torana_plugin_sdk::provider::{Built, Endpoint, HttpRequest, HttpResponse, Provider};
use torana_plugin_sdk::{CallError, Header};

use crate::{Cohere, Settings};

const MODEL: &str = "command-a-03-2025";

fn endpoint(model: &str) -> Endpoint<Settings> {
    Endpoint { model: model.into(), settings: Settings::default() }
}

fn send(model: &str, value: Value) -> Result<HttpRequest, CallError> {
    match Cohere::build(&endpoint(model), serde_json::from_value(value).unwrap())? {
        Built::Send(sent) => Ok(sent),
        other => panic!("{other:?}"),
    }
}

/// The body and what was left out.
fn sent(model: &str, value: Value) -> (Value, Vec<String>) {
    let sent = send(model, value).unwrap();
    (serde_json::from_slice(&sent.body).unwrap(), sent.dropped)
}

fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> HttpResponse {
    let headers = headers.iter().map(|(name, value)| Header::new(*name, *value)).collect();
    HttpResponse { status, headers, body: body.to_vec() }
}

/// Names and texts of the recordings whose name ends so.
fn recordings(ending: &str) -> Vec<(String, String)> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/recordings/cohere/model");
    let Ok(files) = std::fs::read_dir(&folder) else {
        println!("skipped: no recordings at {}", folder.display());
        return Vec::new();
    };
    let paths = files.map(|file| file.unwrap().path());
    let meant = paths.filter(|path| path.to_string_lossy().ends_with(ending));
    meant
        .map(|path| (path.display().to_string(), std::fs::read_to_string(&path).unwrap()))
        .collect()
}

#[test]
fn description_names_scheme_and_refuses_bad_paths() {
    use torana_plugin_sdk::provider::{CredentialScheme, Framing, StructuredOutput};
    let info = Cohere::describe(&Settings::default()).unwrap();
    assert_eq!((info.credential, info.framing), (CredentialScheme::Bearer, Framing::Sse));
    assert_eq!(info.structured_output, StructuredOutput::JsonSchema);
    assert!(info.wires.is_empty() && info.embeddings);
    let bad = Settings { embed_path: "v2/embed".into(), ..Settings::default() };
    assert_eq!(Cohere::describe(&bad).unwrap_err().pointer, "/embed_path");
    assert!(serde_json::from_value::<Settings>(json!({"url": "x"})).is_err());
}
