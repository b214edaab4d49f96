//! The catalog that comes with the gateway: providers by name, what they offer, and what
//! bundled plugins are granted.
//!
//! It is data (`config/catalog`), read with the same readers and the same strictness
//! as the configuration, and embedded in the binary. A provider, a price or a grant is added
//! there, not here. Models stand in a file for each preset, `models/PRESET.toml`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::document;
use super::file::offer::{read_data_policy, read_offer};
use super::file::plugin::{WrittenGrants, read_grants};
use super::file::provider::{base_url, secret_reference};
use super::name::NameRule;
use super::problem::{Place, Problem};
use super::reader::{Reading, Table};
use super::{BaseUrl, DataPolicy, Offer, SecretReference};

/// All of the catalog.
#[derive(Default)]
pub(super) struct Catalog {
    pub(super) presets: BTreeMap<String, Preset>,
    /// By preset and the provider's own name of the model.
    pub(super) models: BTreeMap<String, Arc<BTreeMap<String, Offer>>>,
    /// By the name of the bundled plugin.
    pub(super) grants: BTreeMap<String, WrittenGrants>,
}

/// What the name of a provider stands for.
pub(super) struct Preset {
    pub(super) plugin: Option<String>,
    pub(super) base_url: Option<BaseUrl>,
    /// With `{setting}` where the base URL depends on the settings.
    pub(super) base_url_template: Option<String>,
    /// There is no base URL that could be meant; the operator has to write one.
    pub(super) requires_base_url: bool,
    pub(super) credential: Option<SecretReference>,
    pub(super) settings: Map<String, Value>,
    pub(super) data_policy: DataPolicy,
}

/// Reads the catalog's files, given by name and text.
///
/// # Errors
/// Whatever is wrong with them: the build embedded something else than this catalog.
pub(super) fn read_catalog(files: &[(&str, &str)]) -> Result<Catalog, Vec<Problem>> {
    let reading = Reading::default();
    let mut catalog = Catalog::default();
    for (name, text) in files {
        let file: Arc<Path> = Arc::from(Path::new(name));
        let entries = match document::parse(&file, text) {
            Ok(entries) => entries,
            Err(problem) => {
                reading.report(problem);
                continue;
            }
        };
        let place = Place { file: Arc::clone(&file), line: None };
        reading.document(&entries, place, |table| match *name {
            "providers.toml" => catalog.presets = read_presets(table),
            "plugins.toml" => catalog.grants = read_plugins(table),
            _ => match preset_of(name) {
                Some(preset) => {
                    let models = read_models(table, preset);
                    catalog.models.insert(preset.to_owned(), Arc::new(models));
                }
                None => table.report(table.spot().error("not a file of the catalog")),
            },
        });
    }
    let (errors, _) = reading.into_problems();
    if errors.is_empty() { Ok(catalog) } else { Err(errors) }
}

fn read_presets(table: &Table<'_>) -> BTreeMap<String, Preset> {
    table.named("presets", NameRule::Plain, |_, table| Preset {
        plugin: table.required_string("plugin", "the name of a plugin").map(|plugin| plugin.value),
        base_url: base_url(table).map(|url| url.value),
        base_url_template: table
            .string("base_url_template", "a URL with {setting} in it")
            .map(|template| template.value),
        requires_base_url: table.boolean("requires_base_url", false),
        credential: secret_reference(table, "credential").map(|reference| reference.value),
        settings: table.settings("settings"),
        data_policy: read_data_policy(table),
    })
}

/// The preset whose models the file has.
fn preset_of(file: &str) -> Option<&str> {
    file.strip_prefix("models/")?.strip_suffix(".toml")
}

/// Each model is named `preset/model`, as clients and configurations do.
fn read_models(table: &Table<'_>, preset: &str) -> BTreeMap<String, Offer> {
    let named = table.named("models", NameRule::Model, |name, table| {
        let offer = read_offer(table);
        if name.split_once('/').is_none_or(|(prefix, _)| prefix != preset) {
            table.report(table.spot().error(format!("expected \"{preset}/…\" in this file")));
        }
        offer
    });
    let own_name = |(name, offer): (String, Offer)| {
        let (_, model) = name.split_once('/')?;
        Some((model.to_owned(), offer))
    };
    named.into_iter().filter_map(own_name).collect()
}

fn read_plugins(table: &Table<'_>) -> BTreeMap<String, WrittenGrants> {
    table.named("plugins", NameRule::Plain, |_, table| table.table("grants", read_grants))
}
