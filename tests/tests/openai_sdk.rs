//! The openai Python package, installed from the registry, talks to the gateway: to a provider
//! of its own dialect, forwarded and translated, and to one of Anthropic's.

use std::time::Duration;

use torana_tests::gateway::{Config, Folder, Gateway};
use torana_tests::obliging;
use torana_tests::openai;
use torana_tests::process::Missing;
use torana_tests::provider::{Asked, Provider};
use torana_tests::python::Python;
use torana_tests::script::Script;

use crate::setup::{SINK, compatible};

/// Ten times what it takes.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn openai_package_chats_streams_calls_tools_and_understands_errors() {
    let Some(python) = Missing::or_skip(Python::install(), "the openai package") else { return };
    let provider = Provider::start(respond);
    let obliging = Provider::start(obliging::openai);
    let anthropic = Provider::start(obliging::anthropic);
    let tables = compatible("forwarded", &provider.url(), "")
        + &compatible("translated", &provider.url(), "forward = false")
        + "[models.forwarded]\nendpoints = [\"forwarded/scripted\"]\n\
           [models.translated]\nendpoints = [\"translated/scripted\"]\n\
           [models.broken]\nendpoints = [\"forwarded/broken\"]\n\
           [models.limited]\nendpoints = [\"forwarded/limited\"]\n\
           [models.obliging]\nendpoints = [\"obliging/scripted\"]\n\
           [models.crossed]\nendpoints = [\"anthropic/scripted\"]\n\
           [keys.team]\nsecret = \"env:CLIENT_KEY\"\n"
        + SINK;
    let tables = tables
        + &compatible("obliging", &obliging.url(), "")
        + &format!("[providers.anthropic]\nbase_url = \"{}\"\n", anthropic.url())
        + "credential = \"env:CLIENT_KEY\"\n";
    let folder = Folder::new(&Config::new(tables));
    let gateway = Gateway::start_in(folder, &[("CLIENT_KEY", "sk-team")]);
    let url = format!("http://{}/v1", gateway.address());
    python.script("openai_sdk.py", &[&url, "sk-team", openai::TEXT, obliging::THOUGHT], LIMIT);
}

fn respond(asked: &Asked) -> Script {
    let body = asked.json();
    match body["model"].as_str() {
        Some("broken") => {
            let events = openai::events(openai::TEXT);
            Script::sse().bytes(openai::sse(&events[..4])).close()
        }
        Some("limited") => {
            Script::json(429, &openai::error("slow down", "rate_limit_error", "rate_limited"))
        }
        _ if body["tools"].is_array() => openai::respond_with_tools(asked),
        _ => openai::respond(asked),
    }
}
