//! Each provider of the family with its preset's settings: what it is asked, and what its
//! documented answers, streams and errors mean. `tests/golden/NAME.json` holds the provider's
//! side, `NAME.out.json` ours; `TORANA_BLESS=1` writes the latter.

use std::path::{Path, PathBuf};

use toml_edit::{Item, Value as TomlValue};
use torana_plugin_sdk::wire::assemble::Assembler;

use super::*;

const NAMES: [&str; 17] = [
    "azure",
    "cerebras",
    "deepseek",
    "fireworks",
    "groq",
    "hyperbolic",
    "mistral",
    "ollama",
    "openai",
    "openai-compatible",
    "openrouter",
    "perplexity",
    "sglang",
    "tgi",
    "together",
    "vllm",
    "xai",
];

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    serde_json::from_str(&text).unwrap()
}

/// The settings of the catalog's presets that use this adapter.
fn presets() -> Vec<(String, Value)> {
    let text = std::fs::read_to_string(root("../../config/catalog/providers.toml")).unwrap();
    let document = text.parse::<toml_edit::DocumentMut>().unwrap();
    let presets = document["presets"].as_table().unwrap();
    let ours = presets.iter().filter(|(_, preset)| {
        preset.get("plugin").and_then(Item::as_str) == Some("provider-openai")
    });
    ours.map(|(name, preset)| {
        let settings = preset.get("settings").map_or(json!({}), json_of_item);
        (name.to_owned(), settings)
    })
    .collect()
}

fn json_of_item(item: &Item) -> Value {
    match item {
        Item::Value(value) => json_of(value),
        Item::Table(table) => {
            table.iter().map(|(key, item)| (key.to_owned(), json_of_item(item))).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn json_of(value: &TomlValue) -> Value {
    match value {
        TomlValue::String(text) => text.value().as_str().into(),
        TomlValue::Boolean(flag) => (*flag.value()).into(),
        TomlValue::Integer(number) => (*number.value()).into(),
        TomlValue::Array(items) => items.iter().map(json_of).collect(),
        TomlValue::InlineTable(table) => {
            table.iter().map(|(key, value)| (key.to_owned(), json_of(value))).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn asked(endpoint: &Endpoint<Settings>) -> Value {
    let request: Request =
        serde_json::from_value(read(&root("tests/golden/request.json"))).unwrap();
    match OpenAi::build(endpoint, request).unwrap() {
        Built::Send(sent) => json!({
            "path": sent.path,
            "dropped": sent.dropped,
            "body": serde_json::from_slice::<Value>(&sent.body).unwrap(),
        }),
        other => panic!("{other:?}"),
    }
}

fn answer(status: u16, headers: &Value, body: &Value) -> HttpResponse {
    let header = |pair: &Value| Header::new(pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
    let body = match body {
        Value::String(text) => text.clone(),
        body => body.to_string(),
    };
    let headers = headers.as_array().map(|headers| headers.iter().map(header).collect());
    HttpResponse { status, headers: headers.unwrap_or_default(), body: body.into_bytes() }
}

/// Events of the frames, pushed in batches of that many.
fn events(endpoint: &Endpoint<Settings>, frames: &[Value]) -> Vec<StreamEvent> {
    let mut parser = OpenAi::stream(endpoint);
    let mut events = Vec::new();
    for frame in frames {
        let data = match frame {
            Value::String(done) => done.clone(),
            chunk => chunk.to_string(),
        };
        let frame = Frame { event: None, data: data.into_bytes() };
        StreamParser::push(&mut parser, &frame, &mut events);
    }
    StreamParser::finish(&mut parser, &mut events);
    events
}

fn streamed(endpoint: &Endpoint<Settings>, frames: &[Value]) -> Value {
    let mut assembler = Assembler::default();
    events(endpoint, frames).iter().for_each(|event| assembler.push(event));
    let failure = assembler.failure().cloned();
    let response = assembler.finish();
    match failure {
        Some(error) => json!({ "failed": error, "so far": response }),
        None => json!(response),
    }
}

fn outcome(endpoint: &Endpoint<Settings>, sample: &Value) -> Value {
    let whole = answer(200, &sample["response_headers"], &sample["response"]);
    let errors = sample["errors"].as_array().unwrap().iter().map(|error| {
        let status = error["status"].as_u64().unwrap().try_into().unwrap();
        json!(OpenAi::parse(endpoint, &answer(status, &Value::Null, &error["body"])).unwrap_err())
    });
    json!({
        "request": asked(endpoint),
        "response": OpenAi::parse(endpoint, &whole).unwrap(),
        "stream": streamed(endpoint, sample["stream"].as_array().unwrap()),
        "errors": errors.collect::<Value>(),
    })
}

#[test]
fn every_preset_is_described_and_has_a_golden_file() {
    let mut names = Vec::new();
    for (name, settings) in presets() {
        let settings = serde_json::from_value::<Settings>(settings);
        let settings = settings.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(OpenAi::describe(&settings).is_ok(), "{name}");
        names.push(name);
    }
    names.sort();
    assert_eq!(names, NAMES);
}

#[test]
fn golden_files_of_every_provider() {
    let mut different = Vec::new();
    for (name, settings) in presets() {
        let settings = serde_json::from_value(settings).unwrap();
        let endpoint = Endpoint { model: "real".into(), settings };
        let sample = read(&root(&format!("tests/golden/{name}.json")));
        let found = outcome(&endpoint, &sample);
        let path = root(&format!("tests/golden/{name}.out.json"));
        if std::env::var_os("TORANA_BLESS").is_some() {
            let text = format!("{}\n", serde_json::to_string_pretty(&found).unwrap());
            std::fs::write(&path, text).unwrap();
        }
        if found != read(&path) {
            different.push(name);
        }
    }
    assert_eq!(different, [""; 0], "look at the files, then TORANA_BLESS=1");
}

#[test]
fn stream_cut_off_anywhere_does_not_finish_before_its_reason() {
    for (name, settings) in presets() {
        let endpoint =
            Endpoint { model: "real".into(), settings: serde_json::from_value(settings).unwrap() };
        let sample = read(&root(&format!("tests/golden/{name}.json")));
        let frames = sample["stream"].as_array().unwrap();
        for length in 0..frames.len() {
            let part = &frames[..length];
            let has_reason = part.iter().any(|frame| {
                let reason = &frame["choices"][0]["finish_reason"];
                frame == "[DONE]" || reason.is_string()
            });
            let finishes =
                events(&endpoint, part).iter().any(|event| matches!(event, StreamEvent::Finish(_)));
            assert!(has_reason || !finishes, "{name}, {length} frames");
        }
    }
}
