//! Pieces of configuration that several modules need.

use std::path::Path;

use torana_tests::gateway::Config;
use torana_tests::provider::Provider;

/// A sink that can be asked, in the test's own folder.
pub(crate) const SINK: &str = r#"
[sinks.store]
plugin = "sink-sqlite"
settings = { path = "torana.db" }
"#;

/// A provider that answers by itself, and the model `neighbour` that others must not disturb.
pub(crate) const NEIGHBOUR: &str = r#"
[providers.sim]
[models.neighbour]
endpoints = ["sim/demo"]
"#;

/// Both ways to an OpenAI-compatible provider, by the model that a client names.
pub(crate) const PATHS: [&str; 2] = ["forwarded", "translated"];

/// Short beside a test, long beside anything that works on a busy machine.
const PATIENCE_MS: u64 = 1_500;

/// A whole answer has no first byte before its last: this bounds it.
const TOTAL_MS: u64 = 5_000;

/// The models of [`PATHS`] at `provider`; it is asked for the model `scripted`.
pub(crate) fn both_paths(provider: &Provider) -> Config {
    Config::new(format!(
        "{}{}[models.forwarded]\nendpoints = [\"forwarded/scripted\"]\n\
         [models.translated]\nendpoints = [\"translated/scripted\"]\n{SINK}",
        compatible("forwarded", &provider.url(), ""),
        compatible("translated", &provider.url(), "forward = false"),
    ))
}

/// `[providers.NAME]`: speaks OpenAI's dialect at this address.
pub(crate) fn compatible(name: &str, url: &str, keys: &str) -> String {
    format!(
        "[providers.{name}]\npreset = \"openai-compatible\"\nbase_url = \"{url}\"\n{keys}\n\
         timeouts = {{ first_byte_ms = {PATIENCE_MS}, idle_ms = {PATIENCE_MS}, total_ms = {TOTAL_MS} }}\n\n"
    )
}

/// `[plugins.NAME]` from a file.
pub(crate) fn plugin(name: &str, file: &Path, keys: &str) -> String {
    format!("[plugins.{name}]\nsource = \"file:{}\"\n{keys}\n", file.display())
}
