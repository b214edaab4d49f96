//! `docs/configuration.md` against the code: every key, its kind and its default.

use std::collections::BTreeMap;

use super::*;

const REFERENCE: &str = include_str!("../../../../docs/configuration.md");

/// Rows of the tables of keys: key to kind and default.
fn documented() -> BTreeMap<String, (String, String)> {
    let mut rows = BTreeMap::new();
    for line in REFERENCE.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [key, kind, default, meaning] = cells[..] else {
            continue;
        };
        let Some(key) = key.strip_prefix('`').and_then(|key| key.strip_suffix('`')) else {
            continue;
        };
        assert!(!meaning.is_empty(), "{key} has no meaning");
        let row = (kind.to_owned(), default.trim_matches('`').to_owned());
        assert!(rows.insert(key.to_owned(), row).is_none(), "{key} is there twice");
    }
    rows
}

#[test]
fn the_reference_has_every_key_with_its_kind_and_default_and_no_other() {
    let known: BTreeMap<String, (String, String)> = known_keys()
        .into_iter()
        .map(|known| {
            let default = known.default.unwrap_or_else(|| "–".to_owned());
            (known.key, (known.kind, default))
        })
        .collect();
    let documented = documented();
    for (key, row) in &known {
        assert_eq!(documented.get(key), Some(row), "docs/configuration.md: {key}");
    }
    for key in documented.keys() {
        assert!(known.contains_key(key), "docs/configuration.md has a key too many: {key}");
    }
}

#[test]
fn the_reference_names_every_preset_and_its_variable() {
    let catalog = preset::read_catalog(CATALOG).ok().unwrap();
    for (name, preset) in &catalog.presets {
        let row = REFERENCE.lines().find(|line| line.starts_with(&format!("| {name} |")));
        let row = row.unwrap_or_else(|| panic!("no row for {name}"));
        let url = preset.base_url.as_ref().map(ToString::to_string);
        if let Some(url) = url.or_else(|| preset.base_url_template.clone()) {
            assert!(row.contains(&format!("`{url}`")), "{name}");
        }
        match &preset.credential {
            Some(SecretReference::Environment(variable)) => {
                assert!(row.contains(&format!("`{variable}`")), "{name}");
            }
            Some(SecretReference::Ambient) => assert!(row.ends_with("| `ambient` |"), "{name}"),
            _ => assert!(row.ends_with("| – |"), "{name}"),
        }
    }
}

#[test]
fn the_references_examples_load() {
    let environment = |name: &str| Some(format!("secret of {name}"));
    let blocks: Vec<&str> =
        REFERENCE.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let directory = written(block);
        let path = directory.path().join("torana.toml");
        if let Err(problems) = load(path.to_str().unwrap(), &environment, &BUNDLED, CATALOG) {
            panic!("{block}\n{problems}");
        }
    }
}
