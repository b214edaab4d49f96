//! The files that come with the gateway.

use std::collections::BTreeSet;

use super::*;

const SHIPPED: &str = include_str!("../../../../config/torana.toml");

/// Uncomments the examples: lines of the form `# key = …` and `# [table]`.
fn with_examples() -> String {
    let is_example = |text: &str| {
        let key = text.split(" = ").next().unwrap_or_default();
        text.starts_with('[')
            || text.contains(" = ") && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    };
    let lines = SHIPPED.lines().map(|line| match line.strip_prefix("# ") {
        Some(example) if is_example(example) => example,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_shipped_configuration_loads_with_no_key_at_all() {
    let config = config(SHIPPED);
    assert_eq!(config.models["demo"].endpoints[0].name(), "sim/demo");
    assert_eq!(config.query_sink.as_deref(), Some("store"));
    assert!(config.models["small"].endpoints.iter().all(|endpoint| endpoint.offer.price.is_some()));
    let notices = notices(&config);
    assert_eq!(notices.len(), 2, "{notices:?}");
    assert!(notices.iter().all(|notice| notice.contains("_API_KEY is not set")));
}

#[test]
fn the_examples_in_the_shipped_configuration_are_right() {
    let directory = written(&with_examples());
    let at = |name: &str| directory.path().join(name);
    std::fs::create_dir(at("prompts")).unwrap();
    std::fs::write(at("prompts/summarize.txt"), "Summarize.").unwrap();
    std::fs::write(at("my_policy.wasm"), "").unwrap();
    let environment = |name: &str| match name {
        "DATABASE_URL" => Some("postgres://u:secret@db/torana?sslmode=require".to_owned()),
        _ => Some(format!("secret of {name}")),
    };
    let path = at("torana.toml");
    let config = match load(path.to_str().unwrap(), &environment, &BUNDLED, CATALOG) {
        Ok(config) => config,
        Err(problems) => panic!("{problems}"),
    };
    assert_eq!(config.notices, []);
    assert_eq!(config.functions["summarize"].variants.len(), 2);
    assert_eq!((config.keys.len(), config.sinks.len(), config.providers.len()), (1, 5, 4));
    assert!(config.plugins.contains_key("my-policy") && config.routers.contains_key("mine"));
}

#[test]
fn every_preset_is_a_provider_without_further_words() {
    for (name, preset) in &preset::read_catalog(CATALOG).ok().unwrap().presets {
        let url = match preset.requires_base_url {
            true => "base_url = \"http://127.0.0.1:1/v1\"",
            false => "",
        };
        // What a base URL leaves room for is all that has to be said.
        let room = preset.base_url_template.iter().flat_map(|url| url.split('{').skip(1));
        let keys: BTreeSet<&str> =
            room.filter_map(|key| key.split_once('}').map(|(key, _)| key)).collect();
        let settings: Vec<String> = keys.iter().map(|key| format!("{key} = \"x\"")).collect();
        let settings = settings.join(", ");
        let written = format!("[providers.{name}]\n{url}\nsettings = {{ {settings} }}\n");
        let config = config(&written);
        let provider = &config.providers[name];
        assert!(config.plugins.contains_key(&provider.plugin), "{name}");
        assert_eq!(provider.base_url.is_none(), provider.plugin == "provider-sim", "{name}");
    }
}

#[test]
fn what_the_catalog_grants_is_for_bundled_plugins() {
    let catalog = preset::read_catalog(CATALOG).ok().unwrap();
    assert!(catalog.grants.keys().all(|name| BUNDLED.contains(&name.as_str())));
}

#[test]
fn a_broken_catalog_is_reported_like_a_broken_configuration() {
    let directory = written("[providers.sim]\n");
    let path = directory.path().join("torana.toml");
    let catalog = [
        ("providers.toml", "[presets.a]\nbaseurl = 1\n"),
        ("models/a.toml", "[models.\"b/c\"]\n[models.d]\n"),
        ("x.toml", ""),
    ];
    let problems = load(path.to_str().unwrap(), &environment, &BUNDLED, &catalog).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "5 problems in the configuration\n\
         models/a.toml:1: models.\"b/c\": expected \"a/…\" in this file\n\
         models/a.toml:2: models.d: expected \"a/…\" in this file\n\
         providers.toml:1: presets.a.plugin: missing; expected the name of a plugin\n\
         providers.toml:2: presets.a.baseurl: unknown key; did you mean \"base_url\"?\n\
         x.toml: not a file of the catalog"
    );
}

/// Without the prices, which would be parsed a thousand times.
fn load_quickly(path: &Path) {
    let is_quick = |(name, _): &(&str, &str)| !name.starts_with("models/");
    let quick: Vec<(&str, &str)> = CATALOG.iter().copied().filter(is_quick).collect();
    let _ = load(path.to_str().unwrap(), &environment, &BUNDLED, &quick);
}

#[test]
fn a_configuration_cut_off_anywhere_never_panics() {
    let directory = written(SHIPPED);
    let path = directory.path().join("torana.toml");
    let full = with_examples();
    for (text, step) in [(SHIPPED, 7), (&full, 31)] {
        for end in (0..text.len()).step_by(step) {
            std::fs::write(&path, &text.as_bytes()[..end]).unwrap();
            load_quickly(&path);
        }
    }
}

#[test]
fn a_configuration_with_any_byte_changed_never_panics() {
    let directory = written(SHIPPED);
    let path = directory.path().join("torana.toml");
    let text = with_examples();
    for at in (0..text.len()).step_by(17) {
        let mut bytes = text.clone().into_bytes();
        bytes[at] = b"\"[]{}=.#\n0-/\xff"[at % 13];
        std::fs::write(&path, bytes).unwrap();
        load_quickly(&path);
    }
}
