//! `[sinks.NAME]`: where rows go, which rows, and what is in them.

use std::path::PathBuf;

use http::header::{self, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::super::problem::{Located, Spot};
use super::super::reader::Table;
use super::super::secret::SecretReference;
use super::super::{Content, Only};
use super::provider::secret_reference;
use crate::journal::RowKind;

/// Headers that an operator may not add: they belong to the connection, or say what the body
/// is, which the plugin makes.
const NOT_TO_ADD: [HeaderName; 15] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::EXPECT,
];

const HEADERS: &str = "a table of header names and values, each plain text, \"env:NAME\" or \
                       \"file:PATH\"";

const KINDS: [(&str, RowKind); 6] = [
    ("inference", RowKind::Inference),
    ("model_inference", RowKind::ModelInference),
    ("feedback", RowKind::Feedback),
    ("decision", RowKind::Decision),
    ("plugin_event", RowKind::PluginEvent),
    ("snapshot", RowKind::Snapshot),
];

const OUTCOMES: [(&str, &str); 3] = [("ok", "ok"), ("error", "error"), ("cancelled", "cancelled")];

/// `[sinks.NAME]`.
pub(in super::super) struct WrittenSink {
    pub(in super::super) plugin: Option<Located<String>>,
    pub(in super::super) settings: Located<Map<String, Value>>,
    pub(in super::super) headers: Vec<Located<(HeaderName, WrittenValue)>>,
    /// None within: what is written is no reference, which was said.
    pub(in super::super) database: Option<Option<Located<SecretReference>>>,
    pub(in super::super) content: Content,
    pub(in super::super) sample: f64,
    pub(in super::super) only: WrittenOnly,
}

/// The value of a header.
pub(in super::super) enum WrittenValue {
    Literal(HeaderValue),
    Reference(SecretReference),
}

/// `only`. Names of keys and functions are kept where they stand: they have to exist.
pub(in super::super) struct WrittenOnly {
    pub(in super::super) functions: Vec<Located<String>>,
    pub(in super::super) keys: Vec<Located<String>>,
    pub(in super::super) filters: Only,
}

pub(super) fn read_sink(table: &Table<'_>) -> WrittenSink {
    let plugin = table.required_string("plugin", "the name of a plugin");
    let mut settings = table.settings("settings");
    // Sinks write files beside the configuration, not wherever the process was started.
    if let Some(Value::String(path)) = settings.get_mut("path") {
        let resolved = table.spot().resolve_path(path);
        *path = resolved.to_string_lossy().into_owned();
    }
    let database = secret_reference(table, "database");
    WrittenSink {
        plugin,
        settings: Located { value: settings, spot: table.spot_of("settings") },
        headers: read_headers(table),
        database: table.has("database").then_some(database),
        content: table.choice_or(
            "content",
            ("full", Content::Full),
            &[("metadata", Content::Metadata)],
        ),
        sample: table.number_or("sample", 0.0..=1.0, 1.0),
        only: table.table("only", read_only),
    }
}

fn read_only(table: &Table<'_>) -> WrittenOnly {
    let functions = table.strings("functions", "a list of names of functions");
    let keys = table.strings("keys", "a list of names of keys");
    let models = table.strings("models", "a list of models, as clients name them");
    let endpoints = table.strings("endpoints", "a list of endpoints such as \"openai/gpt-5\"");
    let outcomes = table.choices("outcomes", &OUTCOMES);
    let given = |key: &str, names: &[Located<String>]| {
        let names = names.iter().map(|name| name.value.clone());
        table.has(key).then(|| names.collect::<Vec<String>>())
    };
    let filters = Only {
        kinds: table.choices("kinds", &KINDS),
        functions: given("functions", &functions),
        models: given("models", &models),
        endpoints: given("endpoints", &endpoints),
        keys: given("keys", &keys),
        outcomes: outcomes.map(|words| words.into_iter().map(str::to_owned).collect()),
    };
    for (key, is_empty) in [
        ("kinds", filters.kinds.as_ref().is_some_and(Vec::is_empty)),
        ("functions", filters.functions.as_ref().is_some_and(Vec::is_empty)),
        ("models", filters.models.as_ref().is_some_and(Vec::is_empty)),
        ("endpoints", filters.endpoints.as_ref().is_some_and(Vec::is_empty)),
        ("keys", filters.keys.as_ref().is_some_and(Vec::is_empty)),
        ("outcomes", filters.outcomes.as_ref().is_some_and(Vec::is_empty)),
    ] {
        // Of a list whose items were wrong, that was said already.
        if is_empty && table.is_empty_list(key) {
            let message = "found an empty list, which lets no row pass; leave it out to let all";
            table.report(table.spot_of(key).error(message));
        }
    }
    WrittenOnly { functions, keys, filters }
}

fn read_headers(table: &Table<'_>) -> Vec<Located<(HeaderName, WrittenValue)>> {
    let mut headers: Vec<Located<(HeaderName, WrittenValue)>> = Vec::new();
    for (name, value) in table.texts("headers", HEADERS) {
        let spot = value.spot;
        match read_header(&name, &value.value, &spot) {
            Err(message) => table.report(spot.error(message)),
            Ok((name, _)) if headers.iter().any(|other| other.value.0 == name) => {
                table.report(spot.error("the same header twice; their case does not count"));
            }
            Ok(value) => headers.push(Located { value, spot }),
        }
    }
    headers
}

/// No message has the value: it may be the secret itself.
fn read_header(
    name: &str,
    value: &str,
    spot: &Spot,
) -> Result<(HeaderName, WrittenValue), &'static str> {
    let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
        return Err("not the name of a header");
    };
    if NOT_TO_ADD.contains(&name) {
        return Err("not a header to add: it is set by the gateway or by the plugin");
    }
    if value.starts_with("env:") || value.starts_with("file:") {
        let resolve = |path: &str| -> PathBuf { spot.resolve_path(path) };
        return match SecretReference::parse(value, resolve) {
            Ok(reference) => Ok((name, WrittenValue::Reference(reference))),
            Err(_) => Err("expected \"env:NAME\" or \"file:PATH\""),
        };
    }
    if name == header::AUTHORIZATION {
        return Err("a credential does not stand in a configuration; expected \"env:NAME\" or \
                    \"file:PATH\", whose value is the whole header, such as \"Bearer …\"");
    }
    match HeaderValue::from_str(value) {
        Ok(value) => Ok((name, WrittenValue::Literal(value))),
        Err(_) => Err("not a value for a header; expected visible ASCII characters"),
    }
}
