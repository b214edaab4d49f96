//! LangChain's standard tests of chat models, with its OpenAI and Anthropic packages in front
//! of the gateway and a model that does what it is asked behind it. Every package meets both
//! dialects of providers.

use std::time::Duration;

use torana_tests::gateway::{Config, Folder, Gateway};
use torana_tests::obliging;
use torana_tests::process::Missing;
use torana_tests::provider::Provider;
use torana_tests::python::{Python, expect_success, sdk};

use crate::setup::{SINK, compatible};

/// Ten times what it takes.
const LIMIT: Duration = Duration::from_secs(240);

#[test]
fn langchains_standard_tests_pass_for_both_packages_and_both_dialects() {
    let Some(python) = Missing::or_skip(Python::install(), "LangChain's tests") else { return };
    let openai = Provider::start(obliging::openai);
    let anthropic = Provider::start(obliging::anthropic);
    let mut tables = compatible("openai-forwarded", &openai.url(), "")
        + &compatible("openai-translated", &openai.url(), "forward = false");
    for (name, keys) in [("anthropic-forwarded", ""), ("anthropic-translated", "forward = false")] {
        tables += &format!(
            "[providers.{name}]\npreset = \"anthropic\"\nbase_url = \"{}\"\n\
             credential = \"env:PROVIDER_KEY\"\n{keys}\n\n",
            anthropic.url()
        );
    }
    for dialect in ["openai", "anthropic"] {
        for way in ["forwarded", "translated"] {
            // A second model, to which the tests change over in a call.
            for model in [format!("{dialect}-{way}"), format!("{dialect}-{way}-other")] {
                tables += &format!("[models.{model}]\nendpoints = [\"{dialect}-{way}/{model}\"]\n");
            }
        }
    }
    tables += "[keys.team]\nsecret = \"env:CLIENT_KEY\"\n";
    let folder = Folder::new(&Config::new(tables + SINK));
    let secrets = [("CLIENT_KEY", "sk-team"), ("PROVIDER_KEY", "sk-provider")];
    let gateway = Gateway::start_in(folder, &secrets);
    let mut pytest = python.pytest(&sdk("langchain"));
    pytest.args(["--tb=short", "--maxfail=40", "-p", "no:warnings"]);
    // The packages keep connections between tests, which belong to one event loop.
    pytest.args(["-o", "asyncio_mode=auto", "-o", "asyncio_default_test_loop_scope=session"]);
    pytest.env("TORANA_URL", format!("http://{}", gateway.address()));
    expect_success(&mut pytest, LIMIT);
}
