//! The anthropic Python package, installed from the registry, talks to the gateway: to a
//! provider of its own dialect, forwarded and translated, and to one of OpenAI's.

use std::time::Duration;

use serde_json::Value;
use torana_tests::gateway::{Config, Folder, Gateway};
use torana_tests::openai::TEXT;
use torana_tests::process::Missing;
use torana_tests::provider::{Asked, Provider};
use torana_tests::python::Python;
use torana_tests::script::Script;
use torana_tests::{anthropic, obliging};

use crate::setup::{SINK, compatible};

/// Ten times what it takes.
const LIMIT: Duration = Duration::from_secs(90);

#[test]
fn anthropic_package_talks_to_both_dialects_and_understands_errors() {
    let Some(python) = Missing::or_skip(Python::install(), "the anthropic package") else { return };
    let own = Provider::start(respond);
    let foreign = Provider::start(obliging::openai);
    let tables = provider("forwarded", &own, "")
        + &provider("translated", &own, "forward = false")
        + &compatible("foreign", &foreign.url(), "")
        + "[models.forwarded]\nendpoints = [\"forwarded/scripted\"]\n\
           [models.translated]\nendpoints = [\"translated/scripted\"]\n\
           [models.crossed]\nendpoints = [\"foreign/scripted\"]\n\
           [keys.team]\nsecret = \"env:CLIENT_KEY\"\n"
        + SINK;
    let folder = Folder::new(&Config::new(tables));
    let secrets = [("CLIENT_KEY", "sk-team"), ("PROVIDER_KEY", "sk-provider")];
    let gateway = Gateway::start_in(folder, &secrets);
    let url = format!("http://{}", gateway.address());
    python.script("anthropic_sdk.py", &[&url, "sk-team", TEXT, obliging::THOUGHT], LIMIT);
    check_asked(&own.asked());
}

/// `[providers.NAME]`: speaks Anthropic's dialect.
fn provider(name: &str, provider: &Provider, keys: &str) -> String {
    let url = provider.url();
    format!(
        "[providers.{name}]\npreset = \"anthropic\"\nbase_url = \"{url}\"\n\
         credential = \"env:PROVIDER_KEY\"\n{keys}\n\n"
    )
}

/// Anthropic, with models that fail.
fn respond(asked: &Asked) -> Script {
    let half = || {
        let message = anthropic::message(asked, &[anthropic::text(TEXT)]);
        let events = anthropic::events(&message);
        Script::sse().bytes(anthropic::sse(&events[..5]))
    };
    match asked.json()["model"].as_str() {
        Some("limited") => Script::json(429, &anthropic::error("rate_limit_error", "slow down"))
            .header("retry-after", "1"),
        Some("busy") => Script::json(529, &anthropic::error("overloaded_error", "Overloaded")),
        Some("refusing") => {
            let message = "temperature: range: 0..1";
            Script::json(400, &anthropic::error("invalid_request_error", message))
        }
        Some("overloaded") => {
            half().bytes(anthropic::sse(&[anthropic::error("overloaded_error", "Overloaded")]))
        }
        Some("broken") => half().close(),
        _ => obliging::anthropic(asked),
    }
}

/// What the provider of the client's own dialect was sent.
fn check_asked(asked: &[Asked]) {
    for it in asked {
        assert_eq!(it.header("x-api-key"), Some("sk-provider"), "{it:?}");
        assert_eq!(it.header("authorization"), None, "the client's key stays here: {it:?}");
        assert!(it.header("anthropic-version").is_some(), "{it:?}");
        let thoughts = all_blocks(&it.json()).into_iter().filter(|it| it["type"] == "thinking");
        for thought in thoughts {
            assert_eq!(thought["signature"], anthropic::SIGNATURE, "{it:?}");
        }
    }
    let answered = |it: &&Asked| all_blocks(&it.json()).iter().any(|it| it["type"] == "thinking");
    // Whole and streamed, for each of the two ways.
    assert_eq!(asked.iter().filter(answered).count(), 4, "thoughts come back with the next turn");
    let beta = asked.iter().find(|it| it.header("anthropic-beta") == Some("scripted-2026-01-01"));
    let body = beta.map(Asked::text).unwrap_or_default();
    assert!(body.contains("\"scripted_field\":[1.5"), "{beta:?}");
}

fn all_blocks(body: &Value) -> Vec<Value> {
    let messages = body["messages"].as_array().into_iter().flatten();
    let contents = messages.filter_map(|message| message["content"].as_array());
    contents.flatten().cloned().collect()
}
