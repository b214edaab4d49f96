//! From a row of the journal to the statements that keep it.
//!
//! Reads leniently: a key that is missing, null or of another type becomes null. Only a row
//! that is no JSON object at all is refused. A row that is too large to be handed over is
//! kept without its content.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde_json::Value as Json;
use serde_json::value::RawValue;
use torana_plugin_sdk::host::sql::{Statement, Value};
use torana_plugin_sdk::log;
use torana_plugin_sdk::sink::words::Words;
use torana_plugin_sdk::sink::{Row, RowKind};

use crate::engine::{Columns, Engine};
use crate::members;

/// JSON of more bytes is kept without its content: the host takes 8 MiB in one call, and up to
/// 2 MiB of words go with the row.
const MAX_JSON: usize = 5 << 20;

/// The content of inferences and of attempts: what retention takes out.
pub(crate) const CONTENT: [&str; 4] = ["request", "response", "raw_request", "raw_response"];
/// What an inference says of itself without it.
pub(crate) const WITHOUT_CONTENT: (&str, &str) = ("content", "\"metadata\"");

/// Why a row can never be kept.
#[derive(Debug)]
pub enum Unkeepable {
    NotText(std::str::Utf8Error),
    NotAnObject(Option<serde_json::Error>),
    TooLarge(usize),
}

impl fmt::Display for Unkeepable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotText(error) => write!(formatter, "not text: {error}"),
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
            Self::NotText(error) => Some(error),
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

/// What keeps `row`, to be done in this order and in one transaction. Does nothing if its id
/// is already there.
///
/// # Errors
///
/// Why the row can never be kept.
pub fn statements(engine: &impl Engine, row: &Row) -> Result<Vec<Statement>, Unkeepable> {
    let json = fitting(row)?;
    let keys: Keys<'_> = serde_json::from_str(&json)?;
    let record = Record { engine, keys: &keys };
    let mut columns: Columns = vec![
        ("id", record.stored(Some(row.id.as_str()))),
        ("time_unix_ms", row.time_unix_ms.into()),
    ];
    let inference_id = (!row.inference_id.is_empty()).then_some(row.inference_id.as_str());
    let mut words = None;
    match row.kind {
        RowKind::Inference => {
            columns.extend(record.inference());
            words = record.words(&mut columns);
        }
        RowKind::ModelInference => columns.extend(record.attempt(inference_id)),
        RowKind::Feedback => columns.extend(record.feedback(inference_id)),
        RowKind::Decision => columns.push(("inference_id", record.stored(inference_id))),
        RowKind::PluginEvent => columns.extend([
            ("plugin", record.text(&keys.plugin)),
            ("event", record.text(&keys.event)),
            ("reason", record.text(&keys.reason)),
            ("generation", integer(&keys.generation)),
        ]),
        RowKind::Snapshot => columns.extend([
            ("generation", integer(&keys.generation)),
            ("hash", record.text(&keys.hash)),
            ("version", record.text(&keys.version)),
        ]),
    }
    columns.push(("json", json.as_ref().into()));
    Ok([insert(engine, row.kind.as_str(), columns)].into_iter().chain(words).collect())
}

/// The row's JSON, without its content where it is too large.
fn fitting(row: &Row) -> Result<Cow<'_, str>, Unkeepable> {
    if row.json.trim_ascii_start().first() != Some(&b'{') {
        return Err(Unkeepable::NotAnObject(None));
    }
    let json = str::from_utf8(&row.json).map_err(Unkeepable::NotText)?;
    if json.len() <= MAX_JSON {
        return Ok(Cow::Borrowed(json));
    }
    let metadata = members::changed(json, &CONTENT, &[WITHOUT_CONTENT])?;
    if metadata.len() > MAX_JSON {
        return Err(Unkeepable::TooLarge(metadata.len()));
    }
    log::warn!("row {} of {} bytes is kept without its content", row.id, json.len());
    Ok(Cow::Owned(metadata))
}

/// A row on its way into columns.
struct Record<'a, E> {
    engine: &'a E,
    keys: &'a Keys<'a>,
}

impl<E: Engine> Record<'_, E> {
    fn inference(&self) -> Columns {
        let keys = self.keys;
        // An older gateway says the cost where the provider reported it, in the usage.
        let cost = keys.cost_usd.as_f64().or_else(|| keys.usage["cost_usd"].as_f64());
        let has_content = keys.request.is_some() || keys.response.is_some();
        let mut columns = self.call(cost);
        columns.extend([
            ("dialect", self.text(&keys.dialect)),
            ("finish_reason", self.text(&keys.finish_reason)),
            ("response_id", self.text(&keys.response_id)),
            ("generation", integer(&keys.generation)),
            ("attempts", integer(&keys.attempts)),
            ("overhead_us", integer(&keys.overhead_us)),
            ("tags", self.tags().into()),
            ("content", content(has_content)),
        ]);
        columns
    }

    fn attempt(&self, inference_id: Option<&str>) -> Columns {
        let keys = self.keys;
        let has_content = keys.raw_request.is_some() || keys.raw_response.is_some();
        let mut columns = self.call(keys.cost_usd.as_f64());
        columns.extend([
            ("inference_id", self.stored(inference_id)),
            ("attempt", integer(&keys.attempt)),
            ("reason", self.text(&keys.reason)),
            ("content", content(has_content)),
        ]);
        columns
    }

    /// What an inference and an attempt have in common.
    fn call(&self, cost: Option<f64>) -> Columns {
        let keys = self.keys;
        let unpriced = i64::from(keys.usage.is_object() && cost.is_none());
        vec![
            ("key", self.text(&keys.key)),
            ("function", self.text(&keys.function)),
            ("variant", self.text(&keys.variant)),
            ("model", self.text(&keys.model)),
            ("endpoint", self.text(&keys.endpoint)),
            ("outcome", self.text(&keys.outcome)),
            ("error_kind", self.text(&keys.error["kind"])),
            ("error_code", self.text(&keys.error["code"])),
            ("status", integer(&keys.status)),
            ("stream", keys.stream.as_bool().map(i64::from).into()),
            ("episode_id", self.text(&keys.episode_id)),
            ("trace_id", self.text(&keys.trace_id)),
            ("ttft_ms", number(&keys.ttft_ms)),
            ("total_ms", number(&keys.total_ms)),
            ("input_tokens", integer(&keys.usage["input"])),
            ("cached_input_tokens", integer(&keys.usage["cached_input"])),
            ("cache_write_tokens", integer(&keys.usage["cache_write"])),
            ("output_tokens", integer(&keys.usage["output"])),
            ("reasoning_tokens", integer(&keys.usage["reasoning"])),
            ("audio_tokens", integer(&keys.usage["audio"])),
            ("cost_usd", cost.into()),
            ("cost_source", self.text(&keys.cost_source)),
            ("unpriced", unpriced.into()),
        ]
    }

    /// The typed id of feedback on an episode is the episode's, so `inference_id` is the JSON's.
    fn feedback(&self, typed_id: Option<&str>) -> Columns {
        let keys = self.keys;
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
            ("target_id", self.stored(target_id)),
            ("inference_id", self.stored(inference_id)),
            ("episode_id", self.stored(episode_id)),
            ("key", self.text(&keys.key)),
            ("function", self.text(&keys.function)),
            ("variant", self.text(&keys.variant)),
            ("metric", self.text(&keys.metric)),
            ("value_type", value_type.into()),
            ("value", number(&keys.value)),
            ("text", self.text(&keys.value)),
        ]
    }

    fn words(&self, columns: &mut Columns) -> Option<Statement> {
        let mut words = Words::default();
        if self.engine.has_text_index() {
            let parts = [self.keys.request, self.keys.response].into_iter().flatten();
            parts.for_each(|part| words.add_json(part.get()));
        }
        self.engine.keep_words(&words, columns)
    }

    /// Those that are text, as an object; None where there are none.
    fn tags(&self) -> Option<String> {
        let stored = |text: &str| self.engine.stored(text).into_owned();
        let tags = self.keys.tags.as_object()?.iter();
        let tags: serde_json::Map<String, Json> = tags
            .filter_map(|(name, value)| Some((stored(name), stored(value.as_str()?).into())))
            .collect();
        (!tags.is_empty()).then(|| Json::Object(tags).to_string())
    }

    fn text(&self, json: &Json) -> Value {
        self.stored(json.as_str())
    }

    fn stored(&self, text: Option<&str>) -> Value {
        text.map(|text| Value::from(&*self.engine.stored(text))).into()
    }
}

/// The same text for every row of a table, so that it is prepared once.
fn insert(engine: &impl Engine, table: &str, columns: Columns) -> Statement {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let places: Vec<String> = (1..=columns.len()).map(|place| engine.place(place)).collect();
    let (table, names, places) = (engine.table(table), names.join(", "), places.join(", "));
    Statement {
        sql: format!("INSERT INTO {table} ({names}) VALUES ({places}) ON CONFLICT (id) DO NOTHING"),
        parameters: columns.into_iter().map(|(_, value)| value).collect(),
    }
}

fn content(has_content: bool) -> Value {
    if has_content { "full".into() } else { "metadata".into() }
}

fn integer(json: &Json) -> Value {
    json.as_u64().into()
}

fn number(json: &Json) -> Value {
    let boolean = json.as_bool().map(|it| f64::from(u8::from(it)));
    json.as_f64().or(boolean).into()
}
