//! The openai package's own test suite, with the gateway where it expects its mock server:
//! every route of chat, completions, embeddings, models and responses, whole, raw and
//! streaming, sync and async.
//!
//! The suite checks that what comes back is what the package has types for, so an answer that
//! the gateway changed on its way fails here. The mock server checks what arrives: a request
//! that lost or gained a field is a 400.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use torana_tests::gateway::{Config, Folder, Gateway};
use torana_tests::mock_server::MockServer;
use torana_tests::openai;
use torana_tests::process::Missing;
use torana_tests::provider::{Asked, Provider};
use torana_tests::python::{Python, expect_success};
use torana_tests::repository;
use torana_tests::script::Script;

use crate::setup::SINK;

/// Twenty times what it takes.
const LIMIT: Duration = Duration::from_secs(240);

const TESTS: [&str; 6] = [
    "tests/api_resources/chat",
    "tests/api_resources/responses",
    "tests/api_resources/test_completions.py",
    "tests/api_resources/test_embeddings.py",
    "tests/api_resources/test_models.py",
    "tests/api_resources/test_responses.py",
];

/// These fail without a gateway, too: the mock server's answer, an example of the description,
/// has messages without the id and status that the package's types require.
const FAIL_AT_THE_MOCK_SERVER: &str = "not (test_responses and compact)";

#[test]
fn openai_packages_own_suite_passes_against_openais_description() {
    let description = repository().join("../shared/data/openapi/openai.yaml");
    if !description.exists() {
        eprintln!("skipped: no {}", description.display());
        return;
    }
    let name = "the openai package's suite";
    let Some((python, suite)) = Missing::or_skip(suite(), name) else { return };
    let Some(mock) = Missing::or_skip(MockServer::start(&description), name) else { return };
    run(&python, &suite, &mock.url(), &["-k", FAIL_AT_THE_MOCK_SERVER]);
}

#[test]
fn openai_packages_own_suite_passes_against_a_scripted_provider() {
    let Some((python, suite)) = Missing::or_skip(suite(), "the openai package's suite") else {
        return;
    };
    let provider = Provider::start(respond);
    run(&python, &suite, &format!("http://{}", provider.address()), &[]);
    let authorized = |asked: &Asked| asked.header("authorization") == Some("Bearer sk-provider");
    let asked = provider.asked();
    assert!(!asked.is_empty(), "the suite never reached the provider");
    assert!(asked.iter().all(authorized), "the provider's key goes to the provider");
}

/// Python and the unpacked sources of the package it has.
fn suite() -> Result<(Python, std::path::PathBuf), Missing> {
    let python = Python::install()?;
    let source = python.source("openai")?;
    Ok((python, source))
}

fn run(python: &Python, suite: &Path, provider: &str, more: &[&str]) {
    let config = Config::new(format!(
        "[providers.openai]\nbase_url = \"{provider}\"\ncredential = \"env:PROVIDER_KEY\"\n{SINK}"
    ))
    .top("default_provider = \"openai\"\nresource_provider = \"openai\"");
    let gateway = Gateway::start_in(Folder::new(&config), &[("PROVIDER_KEY", "sk-provider")]);
    let mut pytest = python.pytest(suite);
    // The suite's own options start a worker a processor and time every test.
    pytest.args(["-o", "addopts=", "--tb=short", "--maxfail=40"]).args(TESTS);
    pytest.args(more).env("TEST_API_BASE_URL", format!("http://{}/v1", gateway.address()));
    expect_success(pytest.env("DEFER_PYDANTIC_BUILD", "false"), LIMIT);
}

/// OpenAI, as far as the suite goes.
fn respond(asked: &Asked) -> Script {
    let path = asked.path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let answer = match (asked.method.as_str(), parts.as_slice()) {
        ("POST", ["chat", "completions"]) => return openai::respond(asked),
        ("POST", ["completions"]) if asked.streams() => {
            let event = text_completion().to_string();
            return Script::sse().bytes(openai::sse_done(&[event]));
        }
        ("POST", ["responses"]) if asked.streams() => {
            return Script::sse().bytes(response_stream());
        }
        ("GET", ["responses", _]) if asked.path.contains("stream=true") => {
            return Script::sse().bytes(response_stream());
        }
        ("POST", ["completions"]) => text_completion(),
        ("POST", ["embeddings"]) => embeddings(),
        ("POST", ["responses", "input_tokens"]) => {
            json!({ "object": "response.input_tokens", "input_tokens": 23 })
        }
        ("POST", ["responses", "compact"]) => compaction(),
        ("POST", ["responses"] | ["responses", _, "cancel"]) => response(),
        ("GET", ["responses", _]) => response(),
        ("DELETE", ["responses", _]) => return Script::json(200, &json!({})),
        ("GET", ["chat", "completions"] | [.., "messages" | "input_items"]) => empty_page(),
        ("GET" | "POST", ["chat", "completions", _]) => openai::answer(openai::TEXT),
        ("DELETE", ["chat", "completions", id]) => deleted(id, "chat.completion.deleted"),
        ("GET", ["models", id]) => model(id),
        ("GET", ["models"]) => json!({ "object": "list", "data": [model("scripted")] }),
        ("DELETE", ["models", id]) => deleted(id, "model"),
        _ => return Script::json(404, &openai::error(&asked.path, "not_found", "not_found")),
    };
    Script::json(200, &answer)
}

fn text_completion() -> Value {
    json!({
        "id": "cmpl-scripted", "object": "text_completion", "created": 1_700_000_000,
        "model": "scripted-2024",
        "choices": [{ "index": 0, "text": openai::TEXT, "finish_reason": "stop",
                      "logprobs": null }],
        "usage": { "prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18 },
    })
}

/// Numbers, although the package asks for base64: its strict tests accept nothing else.
fn embeddings() -> Value {
    json!({
        "object": "list", "model": "scripted-2024",
        "data": [{ "object": "embedding", "index": 0, "embedding": [1.0, 2.0, 3.0] }],
        "usage": { "prompt_tokens": 11, "total_tokens": 11 },
    })
}

fn response() -> Value {
    let message = json!({
        "type": "message", "id": "msg_scripted", "status": "completed", "role": "assistant",
        "content": [{ "type": "output_text", "text": openai::TEXT, "annotations": [] }],
    });
    json!({
        "id": "resp_scripted", "object": "response", "created_at": 1_700_000_000,
        "status": "completed", "error": null, "incomplete_details": null, "instructions": null,
        "model": "scripted-2024", "output": [message], "parallel_tool_calls": true,
        "temperature": 1.0, "tool_choice": "auto", "tools": [], "top_p": 1.0, "metadata": {},
        "usage": {
            "input_tokens": 11, "output_tokens": 7, "total_tokens": 18,
            "input_tokens_details": { "cached_tokens": 0, "cache_write_tokens": 0 },
            "output_tokens_details": { "reasoning_tokens": 0 },
        },
    })
}

fn response_stream() -> Vec<u8> {
    let mut begun = response();
    begun["status"] = json!("in_progress");
    begun["output"] = json!([]);
    let event = |number: usize, kind: &str, response: Value| {
        let event = json!({ "type": kind, "sequence_number": number, "response": response });
        format!("event: {kind}\ndata: {event}\n\n")
    };
    let created = event(0, "response.created", begun);
    (created + &event(1, "response.completed", response())).into_bytes()
}

fn compaction() -> Value {
    json!({
        "id": "resp_scripted", "object": "response.compaction", "created_at": 1_700_000_000,
        "output": response()["output"], "usage": response()["usage"],
    })
}

fn empty_page() -> Value {
    json!({ "object": "list", "data": [], "first_id": "a", "last_id": "z", "has_more": false })
}

fn model(id: &str) -> Value {
    json!({ "id": id, "object": "model", "created": 1_700_000_000, "owned_by": "scripted" })
}

fn deleted(id: &str, object: &str) -> Value {
    json!({ "id": id, "object": object, "deleted": true })
}
