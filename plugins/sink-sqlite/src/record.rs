//! From a row of the journal to the statements that keep it.
//!
//! Reads leniently: a key that is missing, null or of another type becomes null. Only a row
//! that is no JSON object at all is refused. A row that is too large to be handed over is
//! kept without its content.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::Value as Json;
use serde_json::value::RawValue;
use torana_plugin_sdk::host::sql::{Statement, Value};
use torana_plugin_sdk::log;
use torana_plugin_sdk::sink::words::Words;
use torana_plugin_sdk::sink::{Row, RowKind};

/// JSON of more bytes is kept without its content: the host takes 8 MiB in one call, and up to
/// 2 MiB of words go with the row.
const MAX_JSON: usize = 5 << 20;

/// The content of inferences and of attempts: what retention takes out.
const CONTENT: [&str; 4] = ["request", "response", "raw_request", "raw_response"];

/// Why a row can never be kept.
#[derive(Debug)]
pub(crate) enum Unkeepable {
    NotAnObject(Option<serde_json::Error>),
    TooLarge(usize),
}

impl fmt::Display for Unkeepable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnObject(None) => formatter.write_str("not a JSON object"),
            Self::NotAnObject(Some(error)) => write!(formatter, "not a JSON object: {error}"),
            Self::TooLarge(bytes) => write!(
                formatter,
                "{bytes} bytes without its content, but the store takes rows of at most {MAX_JSON}"
            ),
        }
    }
}

impl std::error::Error for Unkeepable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotAnObject(error) => {
                error.as_ref().map(|error| error as &(dyn std::error::Error + 'static))
            }
            Self::TooLarge(_) => None,
        }
    }
}

impl From<serde_json::Error> for Unkeepable {
    fn from(error: serde_json::Error) -> Self {
        Self::NotAnObject(Some(error))
    }
}

/// The keys that become columns. Everything else is skipped, not decoded.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Keys<'a> {
    dialect: Json,
    key: Json,
    function: Json,
    variant: Json,
    model: Json,
    endpoint: Json,
    outcome: Json,
    error: Json,
    status: Json,
    finish_reason: Json,
    stream: Json,
    inference_id: Json,
    episode_id: Json,
    response_id: Json,
    trace_id: Json,
    generation: Json,
    attempt: Json,
    attempts: Json,
    reason: Json,
    ttft_ms: Json,
    total_ms: Json,
    overhead_us: Json,
    usage: Json,
    cost_usd: Json,
    cost_source: Json,
    tags: Json,
    target: Json,
    metric: Json,
    value: Json,
    plugin: Json,
    event: Json,
    hash: Json,
    version: Json,
    #[serde(borrow)]
    request: Option<&'a RawValue>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    #[serde(borrow)]
    raw_request: Option<&'a RawValue>,
    #[serde(borrow)]
    raw_response: Option<&'a RawValue>,
}

type Columns = Vec<(&'static str, Value)>;

/// What keeps `row`, to be done in this order and in one transaction. Does nothing if its id
/// is already there.
pub(crate) fn statements(row: &Row) -> Result<Vec<Statement>, Unkeepable> {
    let bytes = fitting(row)?;
    let keys: Keys<'_> = serde_json::from_slice(&bytes)?;
    let mut columns: Columns =
        vec![("id", row.id.as_str().into()), ("time_unix_ms", row.time_unix_ms.into())];
    let inference_id = (!row.inference_id.is_empty()).then_some(row.inference_id.as_str());
    match row.kind {
        RowKind::Inference => columns.extend(inference_columns(&keys)),
        RowKind::ModelInference => columns.extend(attempt_columns(&keys, inference_id)),
        RowKind::Feedback => columns.extend(feedback_columns(&keys, inference_id)),
        RowKind::Decision => columns.push(("inference_id", inference_id.into())),
        RowKind::PluginEvent => columns.extend([
            ("plugin", text(&keys.plugin)),
            ("event", text(&keys.event)),
            ("reason", text(&keys.reason)),
            ("generation", integer(&keys.generation)),
        ]),
        RowKind::Snapshot => columns.extend([
            ("generation", integer(&keys.generation)),
            ("hash", text(&keys.hash)),
            ("version", text(&keys.version)),
        ]),
    }
    // Valid: the decoder has seen every byte of it.
    columns.push(("json", String::from_utf8_lossy(&bytes).into_owned().into()));
    let mut statements = vec![insert(row.kind.as_str(), columns)];
    if row.kind == RowKind::Inference {
        statements.extend(index(&keys));
    }
    Ok(statements)
}

/// The row's JSON, without its content where it is too large.
fn fitting(row: &Row) -> Result<Cow<'_, [u8]>, Unkeepable> {
    if row.json.trim_ascii_start().first() != Some(&b'{') {
        return Err(Unkeepable::NotAnObject(None));
    }
    let bytes = row.json.len();
    if bytes <= MAX_JSON {
        return Ok(Cow::Borrowed(&row.json));
    }
    let mut keys: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_slice(&row.json)?;
    for name in CONTENT {
        if let Some(content) = keys.get_mut(name) {
            *content = RawValue::NULL;
        }
    }
    let metadata = RawValue::from_string("\"metadata\"".to_owned())?;
    keys.insert("content".into(), &metadata);
    let json = serde_json::to_vec(&keys)?;
    if json.len() > MAX_JSON {
        return Err(Unkeepable::TooLarge(json.len()));
    }
    log::warn!("row {} of {bytes} bytes is kept without its content", row.id);
    Ok(Cow::Owned(json))
}

fn inference_columns(keys: &Keys<'_>) -> Columns {
    // An older gateway says the cost where the provider reported it, in the usage.
    let cost = keys.cost_usd.as_f64().or_else(|| keys.usage["cost_usd"].as_f64());
    let has_content = keys.request.is_some() || keys.response.is_some();
    let mut columns = call_columns(keys, cost);
    columns.extend([
        ("dialect", text(&keys.dialect)),
        ("finish_reason", text(&keys.finish_reason)),
        ("response_id", text(&keys.response_id)),
        ("generation", integer(&keys.generation)),
        ("attempts", integer(&keys.attempts)),
        ("overhead_us", integer(&keys.overhead_us)),
        ("tags", tags(&keys.tags).into()),
        ("content", content(has_content)),
    ]);
    columns
}

fn attempt_columns(keys: &Keys<'_>, inference_id: Option<&str>) -> Columns {
    let has_content = keys.raw_request.is_some() || keys.raw_response.is_some();
    let mut columns = call_columns(keys, keys.cost_usd.as_f64());
    columns.extend([
        ("inference_id", inference_id.into()),
        ("attempt", integer(&keys.attempt)),
        ("reason", text(&keys.reason)),
        ("content", content(has_content)),
    ]);
    columns
}

/// What an inference and an attempt have in common.
fn call_columns(keys: &Keys<'_>, cost: Option<f64>) -> Columns {
    let unpriced = i64::from(keys.usage.is_object() && cost.is_none());
    vec![
        ("key", text(&keys.key)),
        ("function", text(&keys.function)),
        ("variant", text(&keys.variant)),
        ("model", text(&keys.model)),
        ("endpoint", text(&keys.endpoint)),
        ("outcome", text(&keys.outcome)),
        ("error_kind", text(&keys.error["kind"])),
        ("error_code", text(&keys.error["code"])),
        ("status", integer(&keys.status)),
        ("stream", keys.stream.as_bool().map(i64::from).into()),
        ("episode_id", text(&keys.episode_id)),
        ("trace_id", text(&keys.trace_id)),
        ("ttft_ms", number(&keys.ttft_ms)),
        ("total_ms", number(&keys.total_ms)),
        ("input_tokens", integer(&keys.usage["input"])),
        ("cached_input_tokens", integer(&keys.usage["cached_input"])),
        ("cache_write_tokens", integer(&keys.usage["cache_write"])),
        ("output_tokens", integer(&keys.usage["output"])),
        ("reasoning_tokens", integer(&keys.usage["reasoning"])),
        ("audio_tokens", integer(&keys.usage["audio"])),
        ("cost_usd", cost.into()),
        ("cost_source", text(&keys.cost_source)),
        ("unpriced", unpriced.into()),
    ]
}

/// The typed id of feedback on an episode is the episode's, so `inference_id` is the JSON's.
fn feedback_columns(keys: &Keys<'_>, typed_id: Option<&str>) -> Columns {
    let is_episode = keys.target.as_str() == Some("episode");
    let (target, target_id) = if is_episode {
        ("episode", keys.episode_id.as_str().or(typed_id))
    } else {
        ("inference", keys.inference_id.as_str().or(typed_id))
    };
    let inference_id = if is_episode { keys.inference_id.as_str() } else { target_id };
    let episode_id = if is_episode { target_id } else { keys.episode_id.as_str() };
    let value_type = match &keys.value {
        Json::Bool(_) => Some("boolean"),
        Json::Number(_) => Some("number"),
        Json::String(_) => Some("string"),
        Json::Object(_) => Some("object"),
        Json::Null | Json::Array(_) => None,
    };
    vec![
        ("target", target.into()),
        ("target_id", target_id.into()),
        ("inference_id", inference_id.into()),
        ("episode_id", episode_id.into()),
        ("key", text(&keys.key)),
        ("function", text(&keys.function)),
        ("variant", text(&keys.variant)),
        ("metric", text(&keys.metric)),
        ("value_type", value_type.into()),
        ("value", number(&keys.value)),
        ("text", text(&keys.value)),
    ]
}

/// After the inference itself, whose number it takes; nothing if that was there before.
fn index(keys: &Keys<'_>) -> Option<Statement> {
    let mut words = Words::default();
    for part in [keys.request, keys.response].into_iter().flatten() {
        words.add_json(part.get());
    }
    let sql = "INSERT INTO inference_text (rowid, words) \
               SELECT last_insert_rowid(), ?1 WHERE changes() = 1";
    (!words.is_empty()).then(|| Statement::new(sql, vec![words.joined().into()]))
}

/// The same text for every row of a table, so that it is prepared once.
fn insert(table: &str, columns: Columns) -> Statement {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let places: Vec<String> = (1..=columns.len()).map(|place| format!("?{place}")).collect();
    let (names, places) = (names.join(", "), places.join(", "));
    Statement {
        sql: format!("INSERT INTO {table} ({names}) VALUES ({places}) ON CONFLICT (id) DO NOTHING"),
        parameters: columns.into_iter().map(|(_, value)| value).collect(),
    }
}

/// Those that are text, as an object; None where there are none.
fn tags(json: &Json) -> Option<String> {
    let tags: serde_json::Map<String, Json> = json
        .as_object()?
        .iter()
        .filter(|(_, value)| value.is_string())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    (!tags.is_empty()).then(|| Json::Object(tags).to_string())
}

fn content(has_content: bool) -> Value {
    if has_content { "full".into() } else { "metadata".into() }
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
