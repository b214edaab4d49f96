//! From a row of the journal to the statement that keeps it.
//!
//! Reads leniently: a key that is missing, null or of another type becomes null. Only a row
//! that is no JSON object at all is refused.

use serde::Deserialize;
use serde_json::Value as Json;
use torana_plugin_sdk::host::sql::{Statement, Value};
use torana_plugin_sdk::sink::{Row, RowKind};

/// The keys that become columns. Everything else is skipped, not decoded.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Keys {
    function: Json,
    variant: Json,
    model: Json,
    endpoint: Json,
    outcome: Json,
    error: Json,
    status: Json,
    episode_id: Json,
    attempt: Json,
    attempts: Json,
    ttft_ms: Json,
    total_ms: Json,
    usage: Json,
    metric: Json,
    value: Json,
}

/// The statement that keeps `row`, and does nothing if its id is already there.
pub(crate) fn statement(row: &Row) -> Result<Statement, serde_json::Error> {
    let keys: Keys = serde_json::from_slice(&row.json)?;
    // Valid: the decoder has seen every byte of it.
    let json = String::from_utf8_lossy(&row.json).into_owned();
    let mut columns = vec![
        ("id", row.id.as_str().into()),
        ("time_unix_ms", row.time_unix_ms.into()),
        ("json", json.into()),
    ];
    let inference_id = (!row.inference_id.is_empty()).then(|| row.inference_id.clone());
    let table = match row.kind {
        RowKind::Inference => {
            columns.extend([
                ("function", text(&keys.function)),
                ("variant", text(&keys.variant)),
                ("model", text(&keys.model)),
                ("episode_id", text(&keys.episode_id)),
                ("attempts", integer(&keys.attempts)),
            ]);
            columns.extend(call_columns(&keys));
            "inference"
        }
        RowKind::ModelInference => {
            columns.push(("inference_id", inference_id.into()));
            columns.push(("attempt", integer(&keys.attempt)));
            columns.extend(call_columns(&keys));
            "model_inference"
        }
        RowKind::Feedback => {
            columns.extend([
                ("inference_id", inference_id.into()),
                ("episode_id", text(&keys.episode_id)),
                ("metric", text(&keys.metric)),
                ("value", number(&keys.value)),
                ("text", text(&keys.value)),
            ]);
            "feedback"
        }
        RowKind::Decision | RowKind::PluginEvent | RowKind::Snapshot => {
            columns.push(("kind", row.kind.as_str().into()));
            columns.push(("inference_id", inference_id.into()));
            "row"
        }
    };
    Ok(insert(table, columns))
}

/// What an inference and an attempt have in common.
fn call_columns(keys: &Keys) -> [(&'static str, Value); 10] {
    [
        ("endpoint", text(&keys.endpoint)),
        ("outcome", text(&keys.outcome)),
        ("error_kind", text(&keys.error["kind"])),
        ("status", integer(&keys.status)),
        ("ttft_ms", number(&keys.ttft_ms)),
        ("total_ms", number(&keys.total_ms)),
        ("input_tokens", integer(&keys.usage["input"])),
        ("cached_input_tokens", integer(&keys.usage["cached_input"])),
        ("output_tokens", integer(&keys.usage["output"])),
        ("cost_usd", number(&keys.usage["cost_usd"])),
    ]
}

/// The same text for every row of a table, so that it is prepared once.
fn insert(table: &str, columns: Vec<(&str, Value)>) -> Statement {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let places: Vec<String> = (1..=columns.len()).map(|place| format!("?{place}")).collect();
    let (names, places) = (names.join(", "), places.join(", "));
    Statement {
        sql: format!("INSERT INTO {table} ({names}) VALUES ({places}) ON CONFLICT (id) DO NOTHING"),
        parameters: columns.into_iter().map(|(_, value)| value).collect(),
    }
}

fn text(json: &Json) -> Value {
    json.as_str().into()
}

fn integer(json: &Json) -> Value {
    json.as_u64().into()
}

fn number(json: &Json) -> Value {
    let boolean = json.as_bool().map(|it| f64::from(u8::from(it)));
    json.as_f64().or(boolean).into()
}
