//! The configuration from outside: what loads, and what every kind of mistake is answered
//! with, to the letter; the shipped files; and the reference, which has to name every key.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod mistakes;
mod offers;
mod reference;
mod shipped;
mod sinks;

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::bundled::CATALOG;

const BUNDLED: [&str; 19] = [
    "experiment-weighted",
    "provider-anthropic",
    "provider-bedrock",
    "provider-cohere",
    "provider-gemini",
    "provider-openai",
    "provider-sagemaker",
    "provider-sim",
    "router-adaptive",
    "router-balanced",
    "router-latency",
    "router-priority",
    "router-weighted",
    "sink-clickhouse",
    "sink-jsonl",
    "sink-otlp",
    "sink-postgres",
    "sink-sqlite",
    "sink-webhook",
];

fn environment(name: &str) -> Option<String> {
    match name {
        "KEY_A" => Some("secret-a".to_owned()),
        "KEY_B" => Some("secret-b".to_owned()),
        "EMPTY" => Some(String::new()),
        "DATABASE_URL" => Some("postgres://u:secret-a@127.0.0.1/x".to_owned()),
        "FAR_DATABASE_URL" => Some("postgres://u:secret-a@db.internal/x".to_owned()),
        _ => None,
    }
}

fn load_file(path: &Path) -> Result<Config, Problems> {
    load(path.to_str().unwrap(), &environment, &BUNDLED, CATALOG)
}

/// A directory with `torana.toml` in it.
fn written(text: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("torana.toml"), text).unwrap();
    directory
}

fn load_text(text: &str) -> Result<Config, Problems> {
    load_file(&written(text).path().join("torana.toml"))
}

fn config(text: &str) -> Config {
    match load_text(text) {
        Ok(config) => config,
        Err(problems) => panic!("{problems}"),
    }
}

/// `line: key: message` of each notice.
fn notices(config: &Config) -> Vec<String> {
    config.notices.iter().map(without_file).collect()
}

fn without_file(problem: &Problem) -> String {
    let line = problem.line.map_or("-".to_owned(), |line| line.to_string());
    match problem.key.as_str() {
        "" => format!("{line}: {}", problem.message),
        key => format!("{line}: {key}: {}", problem.message),
    }
}

#[test]
fn what_is_not_written_has_the_documented_default() {
    let config = config("[providers.sim]\n");
    let server = Server {
        listen: "127.0.0.1:3000".parse().unwrap(),
        auth: Auth::None,
        body_limit_bytes: 32 * 1024 * 1024,
        answer_limit_bytes: 64 * 1024 * 1024,
        header_timeout: Duration::from_secs(75),
        body_timeout: Duration::from_secs(30),
        drain_timeout: Duration::from_secs(30),
        keep_alive_comment: Some(Duration::from_secs(15)),
        max_connections: 10_000,
        on_disconnect: OnDisconnect::Cancel,
        json: Bounds { max_depth: 64, max_values: 1_000_000 },
        unsupported_params: UnsupportedParams::DropAndReport,
        trace_headers: TraceHeaders::Both,
    };
    assert_eq!(config.server, server);
    assert_eq!(config.journal.content, Content::Full);
    assert_eq!(config.journal.raw_bytes, 64 * 1024);
    assert!(config.journal.redaction.is_empty());
    assert_eq!(config.admin.listen, "127.0.0.1:3001".parse().unwrap());
    assert!(config.journal.path.ends_with("data/journal") && config.journal.path.is_absolute());
    assert_eq!(config.journal.segment_bytes, 64 * 1024 * 1024);
    assert_eq!(config.journal.max_bytes, 1024 * 1024 * 1024);
    assert_eq!(config.plugin_host.instances, 1000);
    assert_eq!(config.default_router, "adaptive");
    assert_eq!(config.routers["adaptive"].plugin, "router-adaptive");
    let limits = config.plugins["provider-sim"].limits;
    assert_eq!(limits.memory_bytes, 64 * 1024 * 1024);
    assert_eq!((limits.cpu.as_millis(), limits.io.as_secs()), (5, 10));
    let timeouts = config.providers["sim"].timeouts;
    assert_eq!(
        [timeouts.connect, timeouts.first_byte, timeouts.idle, timeouts.total]
            .map(|timeout| timeout.as_secs()),
        [5, 60, 60, 600]
    );
}

#[test]
fn limits_are_the_same_whether_the_plugin_is_written_or_not() {
    let written = config("[providers.sim]\n[plugins.provider-sim]\nisolation = \"fresh\"\n");
    let bare = config("[providers.sim]\n");
    let [written, bare] = [written, bare].map(|config| config.plugins["provider-sim"].clone());
    assert_eq!(written.limits, bare.limits);
    assert_eq!(written.grants, bare.grants);
    assert_eq!(written.isolation, Isolation::Fresh);
}

#[test]
fn a_key_is_kept_as_its_hash_and_makes_clients_show_one() {
    let config = config("[server]\nlisten = \"0.0.0.0:80\"\n[keys.a]\nsecret = \"env:KEY_A\"\n");
    assert_eq!(config.server.auth, Auth::Keys);
    let expected: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(b"secret-a").into();
    assert_eq!(config.keys[0].sha256, expected);
    assert!(!format!("{config:?}").contains("secret-a"));
}

#[test]
fn a_preset_fills_in_what_is_not_written() {
    let config = config(
        "[providers.groq]\ncredential = \"env:KEY_A\"\nheaders = { X-Team = \"a\" }\n\
         [providers.mine]\npreset = \"openai-compatible\"\nbase_url = \"http://gpu:1/v1/\"\n\
         timeouts = { idle_ms = 5 }\n",
    );
    let groq = &config.providers["groq"];
    assert_eq!(groq.plugin, "provider-openai");
    let url = groq.base_url.as_ref().unwrap();
    assert_eq!(url.to_string(), "https://api.groq.com/openai/v1");
    assert!(matches!(&groq.credential, Credential::Present(key) if key.expose() == "secret-a"));
    assert_eq!(groq.headers[0].0, "x-team");
    let mine = &config.providers["mine"];
    assert_eq!(mine.base_url.as_ref().unwrap().path, "/v1");
    assert!(matches!(mine.credential, Credential::None));
    assert_eq!(mine.timeouts.idle, Duration::from_millis(5));
    assert_eq!(mine.timeouts.total, Duration::from_secs(600));
}

#[test]
fn a_presets_key_that_is_not_set_is_a_notice() {
    let config = config("[server]\n\n[providers.openai]\n");
    assert!(matches!(&config.providers["openai"].credential, Credential::Missing(reference)
        if reference.to_string() == "env:OPENAI_API_KEY"));
    assert_eq!(
        notices(&config),
        ["3: providers.openai: env:OPENAI_API_KEY is not set; calls to it fail until it is"]
    );
}

#[test]
fn a_presets_key_does_not_follow_the_provider_to_another_host() {
    let environment = |name: &str| (name == "OPENAI_API_KEY").then(|| "sk-real".to_owned());
    let load = |url: &str| {
        let text = format!("[providers.openai]\nbase_url = \"{url}\"\n");
        let path = written(&text);
        let path = path.path().join("torana.toml");
        load(path.to_str().unwrap(), &environment, &BUNDLED, CATALOG).unwrap()
    };
    let moved = load("http://127.0.0.1:9/v1");
    assert!(matches!(moved.providers["openai"].credential, Credential::None));
    assert_eq!(moved.notices.len(), 1);
    let same = load("https://API.openai.com:443/v2");
    assert!(matches!(same.providers["openai"].credential, Credential::Present(_)));
}

#[test]
fn endpoints_know_the_catalogs_prices_unless_they_have_their_own() {
    let config = config(
        "[providers.mine]\npreset = \"openai\"\ncredential = \"env:KEY_A\"\n[models.small]\n\
         endpoints = [\"mine/gpt-5-mini\", \"mine/own/model\", { provider = \"mine\", model = \
         \"gpt-5\", weight = 2, price = { input = 1, output = 2.5 }, context_window = 7, settings \
         = { a = [1, { b = true }] } }]\nrouter = \"weighted\"\n",
    );
    let model = &config.models["small"];
    assert_eq!(model.router, "weighted");
    assert_eq!(config.routers["weighted"].plugin, "router-weighted");
    let [known, own, full] = &model.endpoints[..] else { panic!("{model:?}") };
    assert_eq!(known.offer.price.unwrap().output, 2.0);
    assert_eq!(known.offer.context_window, Some(272_000));
    assert_eq!((own.model.as_str(), own.offer.price), ("own/model", None));
    assert_eq!(full.name(), "mine/gpt-5");
    assert_eq!((full.weight, full.offer.context_window), (2.0, Some(7)));
    let price = Price { input: 1.0, output: 2.5, ..Price::default() };
    assert_eq!(full.offer.price, Some(price));
    assert_eq!(serde_json::to_string(&full.settings).unwrap(), r#"{"a":[1,{"b":true}]}"#);
}

#[test]
fn a_functions_template_is_read_and_watched() {
    let directory = written(
        "[providers.sim]\n[functions.f.variants.v]\nmodel = \"sim/x\"\nsystem = \"p/t.txt\"\n\
         temperature = 1\n",
    );
    let template = directory.path().join("p/t.txt");
    std::fs::create_dir(directory.path().join("p")).unwrap();
    std::fs::write(&template, "be {{ mood }}").unwrap();
    let config = load_file(&directory.path().join("torana.toml")).unwrap();
    let function = &config.functions["f"];
    assert_eq!(function.experiment.plugin, "experiment-weighted");
    let variant = &function.variants["v"];
    assert_eq!(variant.system.as_ref().unwrap().text, "be {{ mood }}");
    assert_eq!(variant.temperature, Some(1.0));
    assert_eq!(config.sources[1].path, template);
    assert!(config.watched.contains(&template));
}

#[test]
fn grants_of_bundled_sinks_come_from_the_catalog_and_can_be_taken_away() {
    let text = "[sinks.store]\nplugin = \"sink-sqlite\"\nsettings = { path = \"a.db\" }\n";
    let given = config(text);
    assert!(given.plugins["sink-sqlite"].grants.sql);
    let path = given.sinks["store"].settings["path"].as_str().unwrap();
    assert!(Path::new(path).is_absolute() && path.ends_with("a.db"), "{path}");
    let taken = config(&format!("{text}[plugins.sink-sqlite]\ngrants = {{ sql = false }}\n"));
    assert!(!taken.plugins["sink-sqlite"].grants.sql);
}

#[test]
fn a_component_of_ones_own_has_what_is_granted_and_nothing_else() {
    let directory = written(
        "[routers.mine]\nplugin = \"p\"\n[plugins.p]\nsource = \"file:p.wasm\"\ngrants = { http = \
         [\"HTTPS://Scores:443\"], kv = { bytes = 9 } }\nlimits = { cpu_ms = 7 }\n",
    );
    let component = directory.path().join("p.wasm");
    std::fs::write(&component, "").unwrap();
    let config = load_file(&directory.path().join("torana.toml")).unwrap();
    let plugin = &config.plugins["p"];
    assert_eq!(plugin.source, PluginSource::File(component.clone()));
    let origin = HttpGrant::Origin("https://scores".to_owned());
    let grants = Grants { http: vec![origin], kv_bytes: Some(9), ..Grants::default() };
    assert_eq!(plugin.grants, grants);
    assert_eq!(plugin.limits.cpu, Duration::from_millis(7));
    assert!(config.watched.contains(&component));
}

#[test]
fn files_of_a_pattern_are_one_configuration() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("1.toml"), "[providers.sim]\n").unwrap();
    std::fs::write(directory.path().join("2.toml"), "[models.m]\nendpoints = [\"sim/x\"]\n")
        .unwrap();
    let pattern = directory.path().join("*.toml");
    let config = load_file(&pattern).unwrap();
    assert_eq!(config.models["m"].endpoints[0].name(), "sim/x");
    assert_eq!(config.sources.len(), 2);
    assert_eq!(config.watched, [pattern]);
}
