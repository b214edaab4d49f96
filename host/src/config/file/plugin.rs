//! `[plugins.NAME]` and `[keys.NAME]`.

use std::time::Duration;

use super::super::address::origin;
use super::super::problem::{Located, Spot};
use super::super::reader::Table;
use super::super::secret::SecretReference;
use super::super::{Content, HttpGrant, Isolation, Limits, Reads, UnsupportedParams};
use super::provider::secret_reference;

/// Forty times what a provider adapter uses on a large request.
const MEMORY_MIB: u64 = 64;

/// A hundred times what a request needs; a tenth of what a client would notice.
const CPU_MS: u64 = 5;

/// A store that takes longer for a batch is down.
const IO_MS: u64 = 10_000;

/// A whole answer with its tool calls is below one.
const RESULT_MIB: u64 = 8;

/// An instance that leaks 100 bytes a call is replaced before it holds 10 MiB.
const CALLS: u64 = 100_000;

/// The largest linear memory there is.
const MOST_MEMORY_MIB: u64 = 4096;

const ORIGINS: &str = "a list of origins such as \"https://scores.internal\", or \"settings.url\"";

/// The grant for wherever the sink is told to deliver.
const SETTINGS_URL: &str = "settings.url";

const SOURCE: &str = "\"file:PATH\" or the name of a bundled plugin";

/// `[plugins.NAME]`.
pub(in super::super) struct WrittenPlugin {
    pub(in super::super) spot: Spot,
    /// Absent: the bundled plugin of the same name.
    pub(in super::super) source: Option<Located<String>>,
    pub(in super::super) grants: WrittenGrants,
    pub(in super::super) limits: Limits,
    pub(in super::super) isolation: Isolation,
    pub(in super::super) log_content: bool,
}

/// `grants`: what is written counts before what the catalog grants a bundled plugin.
#[derive(Default)]
pub(in super::super) struct WrittenGrants {
    pub(in super::super) clock: Option<bool>,
    pub(in super::super) random: Option<bool>,
    pub(in super::super) http: Option<Vec<HttpGrant>>,
    pub(in super::super) sql: Option<bool>,
    pub(in super::super) file: Option<bool>,
    pub(in super::super) kv_bytes: Option<u64>,
}

/// `[keys.NAME]`.
pub(in super::super) struct WrittenKey {
    pub(in super::super) secret: Option<Located<SecretReference>>,
    pub(in super::super) unsupported_params: Option<UnsupportedParams>,
    pub(in super::super) content: Option<Content>,
    pub(in super::super) reads: Reads,
}

pub(super) fn read_key(table: &Table<'_>) -> WrittenKey {
    let secret = secret_reference(table, "secret");
    if !table.has("secret") {
        let message = "no secret; expected secret = \"env:NAME\" or \"file:PATH\"";
        table.report(table.spot().error(message));
    }
    let unsupported = table.choice("unsupported_params", &UnsupportedParams::NAMES);
    let content = table.choice("content", &Content::NAMES);
    WrittenKey {
        secret,
        unsupported_params: unsupported.map(|policy| policy.value),
        content: content.map(|content| content.value),
        reads: table.choice_or("reads", ("own", Reads::Own), &[("all", Reads::All)]),
    }
}

pub(super) fn read_plugin(table: &Table<'_>) -> WrittenPlugin {
    WrittenPlugin {
        spot: table.spot().clone(),
        source: table.string("source", SOURCE),
        grants: table.table("grants", read_grants),
        limits: table.table("limits", read_limits),
        isolation: table.choice_or(
            "isolation",
            ("pooled", Isolation::Pooled),
            &[("fresh", Isolation::Fresh)],
        ),
        log_content: table.boolean("log_content", false),
    }
}

pub(in super::super) fn read_grants(table: &Table<'_>) -> WrittenGrants {
    let http = table.strings("http", ORIGINS);
    let origins = http.into_iter().filter_map(|text| match text.value.as_str() {
        SETTINGS_URL => Some(HttpGrant::SettingsUrl),
        _ => match origin(&text.value) {
            Ok(origin) => Some(HttpGrant::Origin(origin)),
            Err(error) => {
                table.report(text.spot.error(format!("found {:?}; {error}", text.value)));
                None
            }
        },
    });
    let origins: Vec<HttpGrant> = origins.collect();
    let kv_bytes =
        table.optional_table("kv", |table| table.required_integer("bytes", 1..=1024 * 1024 * 1024));
    WrittenGrants {
        clock: table.optional_boolean("clock"),
        random: table.optional_boolean("random"),
        http: table.has("http").then_some(origins),
        sql: table.optional_boolean("sql"),
        file: table.optional_boolean("file"),
        kv_bytes: kv_bytes.flatten(),
    }
}

/// What a plugin gets that no `[plugins]` entry mentions.
pub(in super::super) fn default_limits() -> Limits {
    const MEBIBYTE: usize = 1024 * 1024;
    Limits {
        memory_bytes: MEMORY_MIB as usize * MEBIBYTE,
        cpu: Duration::from_millis(CPU_MS),
        io: Duration::from_millis(IO_MS),
        result_bytes: RESULT_MIB as usize * MEBIBYTE,
        calls: CALLS,
    }
}

fn read_limits(table: &Table<'_>) -> Limits {
    let memory = table.mebibytes("memory_mib", 1..=MOST_MEMORY_MIB, MEMORY_MIB);
    let result = table.mebibytes("result_mib", 1..=256, RESULT_MIB);
    Limits {
        memory_bytes: usize::try_from(memory).unwrap_or(usize::MAX),
        cpu: table.milliseconds("cpu_ms", 1..=60_000, CPU_MS),
        io: table.milliseconds("io_ms", 1..=600_000, IO_MS),
        result_bytes: usize::try_from(result).unwrap_or(usize::MAX),
        calls: table.integer_or("calls", 1..=1_000_000_000, CALLS),
    }
}
