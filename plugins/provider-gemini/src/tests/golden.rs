//! Golden files: what goes in stands beside what comes out, for the eye to compare.
//!
//! `TORANA_BLESS=1` writes what comes out.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use torana_plugin_sdk::provider::{Endpoint, HttpResponse, Provider};
use torana_plugin_sdk::{CallError, Header};

use super::{assert_well_formed, decode, sent};
use crate::Gemini;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Runs `transform` over every file of that kind: it takes what goes in and gives what is to
/// come out, by key.
fn check(kind: &str, transform: impl Fn(&Value) -> Value) {
    let mut count = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.starts_with(kind) {
            continue;
        }
        let golden: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let out = transform(golden.get("in").unwrap_or_else(|| panic!("{name}: no input")));
        if std::env::var_os("TORANA_BLESS").is_some() {
            let blessed = json!({"in": golden["in"], "out": out});
            let text = serde_json::to_string_pretty(&blessed).unwrap();
            std::fs::write(&path, text + "\n").unwrap();
        } else {
            assert_eq!(golden["out"], out, "{name}");
        }
        count += 1;
    }
    assert!(count > 0, "no golden files of {kind}");
}

fn endpoint(input: &Value) -> Endpoint<crate::settings::Settings> {
    let settings = input.get("settings").cloned().unwrap_or_else(|| json!({}));
    Endpoint {
        model: input["model"].as_str().unwrap().into(),
        settings: serde_json::from_value(settings).unwrap(),
    }
}

fn failure(error: &CallError) -> Value {
    serde_json::to_value(error).unwrap()
}

fn answer(input: &Value) -> HttpResponse {
    let headers = input.get("headers").and_then(Value::as_object).cloned().unwrap_or_default();
    let header = |(name, value): (&String, &Value)| Header::new(name, value.as_str().unwrap());
    HttpResponse {
        status: u16::try_from(input["status"].as_u64().unwrap_or(200)).unwrap(),
        headers: headers.iter().map(header).collect(),
        body: match &input["body"] {
            Value::String(text) => text.clone().into_bytes(),
            body => body.to_string().into_bytes(),
        },
    }
}

#[test]
fn requests_are_those_reviewed() {
    check("request_", |input| {
        let request = serde_json::from_value(input["request"].clone()).unwrap();
        match sent(&endpoint(input), request) {
            Ok(sent) => {
                let body: Value = serde_json::from_slice(&sent.body).unwrap();
                json!({"path": sent.path, "body": body, "dropped": sent.dropped})
            }
            Err(error) => json!({"error": failure(&error)}),
        }
    });
}

#[test]
fn responses_are_those_reviewed() {
    check("response_", |input| {
        let endpoint = endpoint(&json!({"model": "gemini-3.8-flash"}));
        match Gemini::parse(&endpoint, &answer(input)) {
            Ok(response) => serde_json::to_value(response).unwrap(),
            Err(error) => json!({"error": failure(&error)}),
        }
    });
}

#[test]
fn streams_are_those_reviewed() {
    check("stream_", |input| {
        let events = decode(input["chunks"].as_array().unwrap());
        assert_well_formed("golden", &events);
        events.iter().map(|event| Value::from(format!("{event:?}"))).collect()
    });
}

#[test]
fn errors_are_those_reviewed() {
    check("error", |input| {
        let endpoint = endpoint(&json!({"model": "gemini-3.8-flash"}));
        let mut out = Map::new();
        for (name, input) in input.as_object().unwrap() {
            let error = Gemini::parse(&endpoint, &answer(input)).unwrap_err();
            out.insert(name.clone(), failure(&error));
        }
        Value::Object(out)
    });
}

#[test]
fn embeddings_are_those_reviewed() {
    check("embedding", |input| {
        let endpoint = endpoint(input);
        let built = match Gemini::build_embeddings(&endpoint, input["request"].clone()) {
            Ok(sent) => {
                let body: Value = serde_json::from_slice(&sent.body).unwrap();
                json!({"path": sent.path, "body": body, "dropped": sent.dropped})
            }
            Err(error) => json!({"error": failure(&error)}),
        };
        let parsed = input.get("body").map(|_| {
            Gemini::parse_embeddings(&endpoint, &answer(input))
                .unwrap_or_else(|error| json!({"error": failure(&error)}))
        });
        json!({"built": built, "parsed": parsed})
    });
}
