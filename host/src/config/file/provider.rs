//! `[providers.NAME]`: where to call, as whom, and how long to wait.

use std::path::PathBuf;

use http::header::{self, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::super::problem::{Located, Spot};
use super::super::reader::Table;
use super::super::secret::SecretReference;
use super::super::{BaseUrl, DataPolicy, Timeouts};
use super::offer::read_data_policy;

/// A handshake over half the world takes half a second.
const CONNECT_MS: u64 = 5_000;

/// Reasoning models think about this long before the first token of a stream. A whole answer is
/// bounded by the total alone: it begins when it is complete.
const FIRST_BYTE_MS: u64 = 60_000;

/// Providers send comments or pings every 10 to 30 s while they think.
const IDLE_MS: u64 = 60_000;

/// The longest answers there are.
const TOTAL_MS: u64 = 600_000;

/// One day: batch-like answers of local models.
const LONGEST_MS: u64 = 86_400_000;

/// Headers that an operator may not add: the credential has a key of its own, and the rest
/// belongs to the connection or to the body.
const OWN_HEADERS: [HeaderName; 14] = [
    header::AUTHORIZATION,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
];

/// `[providers.NAME]`, before its preset is filled in.
pub(in super::super) struct WrittenProvider {
    pub(in super::super) spot: Spot,
    pub(in super::super) preset: Option<Located<String>>,
    pub(in super::super) plugin: Option<Located<String>>,
    pub(in super::super) base_url: Option<Located<BaseUrl>>,
    pub(in super::super) credential: Option<Located<SecretReference>>,
    pub(in super::super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(in super::super) settings: Map<String, Value>,
    pub(in super::super) forward: bool,
    pub(in super::super) any_model: bool,
    pub(in super::super) timeouts: Timeouts,
    pub(in super::super) data_policy: DataPolicy,
    /// A key was written but could not be read; what it would have meant is unknown.
    pub(in super::super) is_incomplete: bool,
}

pub(super) fn read_provider(table: &Table<'_>) -> WrittenProvider {
    let base_url = base_url(table);
    let credential = secret_reference(table, "credential");
    let is_incomplete = table.has("base_url") && base_url.is_none()
        || table.has("credential") && credential.is_none();
    WrittenProvider {
        spot: table.spot().clone(),
        preset: table.string("preset", "the name of a preset"),
        plugin: table.string("plugin", "the name of a plugin"),
        base_url,
        credential,
        headers: read_headers(table),
        settings: table.settings("settings"),
        forward: table.boolean("forward", true),
        any_model: table.boolean("any_model", true),
        timeouts: table.table("timeouts", |table| Timeouts {
            connect: table.milliseconds("connect_ms", 1..=LONGEST_MS, CONNECT_MS),
            first_byte: table.milliseconds("first_byte_ms", 1..=LONGEST_MS, FIRST_BYTE_MS),
            idle: table.milliseconds("idle_ms", 1..=LONGEST_MS, IDLE_MS),
            total: table.milliseconds("total_ms", 1..=LONGEST_MS, TOTAL_MS),
        }),
        data_policy: read_data_policy(table),
        is_incomplete,
    }
}

/// The provider's address.
pub(in super::super) fn base_url(table: &Table<'_>) -> Option<Located<BaseUrl>> {
    let text = table.string("base_url", "a URL such as \"https://api.openai.com/v1\"")?;
    match text.value.parse() {
        Ok(value) => Some(Located { value, spot: text.spot }),
        Err(error) => {
            // A password in the URL stays out of the message.
            let shown = match text.value.contains('@') {
                true => "a URL with a user".to_owned(),
                false => format!("{:?}", text.value),
            };
            table.report(text.spot.error(format!("found {shown}; {error}")));
            None
        }
    }
}

/// `env:NAME` or `file:PATH`. Of anything else, which may be the secret itself, a message
/// shows three characters.
pub(in super::super) fn secret_reference(
    table: &Table<'_>,
    key: &'static str,
) -> Option<Located<SecretReference>> {
    let text = table.string(key, "\"env:NAME\" or \"file:PATH\"")?;
    let resolve = |path: &str| -> PathBuf { text.spot.resolve_path(path) };
    match SecretReference::parse(&text.value, resolve) {
        Ok(value) => Some(Located { value, spot: text.spot }),
        Err(error) => {
            let shown: String = text.value.chars().take(3).collect();
            let cut = if shown == text.value { "" } else { "…" };
            table.report(text.spot.error(format!("found {shown:?}{cut}; {error}")));
            None
        }
    }
}

fn read_headers(table: &Table<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::new();
    for (name, value) in table.texts("headers", "a table of header names and values") {
        let parsed = HeaderName::from_bytes(name.as_bytes());
        match (parsed, HeaderValue::from_str(&value.value)) {
            (Ok(name), _) if OWN_HEADERS.contains(&name) => {
                let message = "not a header to add; a credential goes into credential, and the \
                               rest is set by the gateway";
                table.report(value.spot.error(message));
            }
            (Ok(name), Ok(value)) => headers.push((name, value)),
            (Err(_), _) => table.report(value.spot.error("not the name of a header")),
            (_, Err(_)) => {
                let message = "not a value for a header; expected visible ASCII characters";
                table.report(value.spot.error(message));
            }
        }
    }
    headers
}
