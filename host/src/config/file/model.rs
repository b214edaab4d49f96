//! `[models.NAME]`, `[routers.NAME]` and `[functions.NAME]`: what clients may call, and who
//! decides where it goes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::super::name::{NameRule, is_provider_model};
use super::super::problem::{Located, Spot};
use super::super::reader::{Element, Table};
use super::super::{Content, Offer, Router};
use super::offer::{MOST_TOKENS, read_offer};

/// Who allocates variants when nobody is named: by the weights that are written.
const EXPERIMENT_PLUGIN: &str = "experiment-weighted";

/// Endpoints that say nothing share evenly.
const WEIGHT: f64 = 1.0;

/// Shares of a million to one are finer than anybody can measure.
const LARGEST_WEIGHT: f64 = 1_000_000.0;

const ENDPOINT: &str = "\"provider/model\" or a table with provider and model";

/// `[models.NAME]`.
pub(in super::super) struct WrittenModel {
    pub(in super::super) spot: Spot,
    pub(in super::super) endpoints: Vec<WrittenEndpoint>,
    pub(in super::super) router: Option<Located<String>>,
    pub(in super::super) resume: bool,
}

/// One item of `endpoints`.
pub(in super::super) struct WrittenEndpoint {
    pub(in super::super) spot: Spot,
    pub(in super::super) provider: Located<String>,
    pub(in super::super) model: String,
    pub(in super::super) weight: f64,
    pub(in super::super) offer: Offer,
    pub(in super::super) settings: Map<String, Value>,
}

/// `[functions.NAME]`.
pub(in super::super) struct WrittenFunction {
    pub(in super::super) spot: Spot,
    pub(in super::super) content: Option<Content>,
    pub(in super::super) plugin: Located<String>,
    pub(in super::super) settings: Map<String, Value>,
    pub(in super::super) variants: BTreeMap<String, WrittenVariant>,
}

/// `[functions.NAME.variants.NAME]`.
pub(in super::super) struct WrittenVariant {
    pub(in super::super) model: Option<Located<String>>,
    pub(in super::super) weight: Option<f64>,
    pub(in super::super) system: Option<Located<PathBuf>>,
    pub(in super::super) temperature: Option<f64>,
    pub(in super::super) top_p: Option<f64>,
    pub(in super::super) max_output_tokens: Option<u64>,
}

pub(super) fn read_model(table: &Table<'_>) -> WrittenModel {
    WrittenModel {
        spot: table.spot().clone(),
        endpoints: table.required_list(
            "endpoints",
            &format!("a list of {ENDPOINT}"),
            read_endpoint,
        ),
        router: table.string("router", "the name of a router"),
        resume: table.boolean("resume", false),
    }
}

pub(super) fn read_router(name: &str, table: &Table<'_>) -> Located<Router> {
    // `[routers.adaptive]` means the bundled `router-adaptive` unless it says otherwise.
    let plugin = table.string_or("plugin", "the name of a plugin", &format!("router-{name}"));
    let value = Router { plugin: plugin.value, settings: table.settings("settings") };
    Located { value, spot: plugin.spot }
}

pub(super) fn read_function(table: &Table<'_>) -> WrittenFunction {
    let (plugin, settings) = table.table("experiment", |table| {
        let plugin = table.string_or("plugin", "the name of a plugin", EXPERIMENT_PLUGIN);
        (plugin, table.settings("settings"))
    });
    WrittenFunction {
        spot: table.spot().clone(),
        content: table.choice("content", &Content::NAMES).map(|content| content.value),
        plugin,
        settings,
        variants: table.named("variants", NameRule::Plain, |_, table| read_variant(table)),
    }
}

fn read_variant(table: &Table<'_>) -> WrittenVariant {
    WrittenVariant {
        model: table.required_string("model", "the name of a model, or \"provider/model\""),
        weight: table.number("weight", 0.0..=LARGEST_WEIGHT),
        system: table.path("system"),
        temperature: table.number("temperature", 0.0..=2.0),
        top_p: table.number("top_p", 0.0..=1.0),
        max_output_tokens: table.integer("max_output_tokens", 1..=MOST_TOKENS),
    }
}

fn read_endpoint(item: &Element<'_>) -> Option<WrittenEndpoint> {
    let Some(text) = item.string() else {
        return item.table(ENDPOINT, read_endpoint_table);
    };
    let Some((provider, model)) = text.split_once('/').filter(|(_, name)| is_provider_model(name))
    else {
        item.report(item.spot().error(format!("found {text:?}; expected {ENDPOINT}")));
        return None;
    };
    Some(WrittenEndpoint {
        spot: item.spot().clone(),
        provider: Located { value: provider.to_owned(), spot: item.spot().clone() },
        model: model.to_owned(),
        weight: WEIGHT,
        offer: Offer::default(),
        settings: Map::new(),
    })
}

fn read_endpoint_table(table: &Table<'_>) -> Option<WrittenEndpoint> {
    let provider = table.required_string("provider", "the name of a provider");
    let model = table.required_string("model", "the provider's name of a model");
    let endpoint = WrittenEndpoint {
        spot: table.spot().clone(),
        weight: table.number_or("weight", 0.0..=LARGEST_WEIGHT, WEIGHT),
        offer: read_offer(table),
        settings: table.settings("settings"),
        provider: provider?,
        model: match model? {
            model if is_provider_model(&model.value) => model.value,
            model => {
                let message = "expected 1 to 256 visible ASCII characters";
                table.report(model.spot.error(format!("found {:?}; {message}", model.value)));
                return None;
            }
        },
    };
    Some(endpoint)
}
