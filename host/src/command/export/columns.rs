//! The columns of each table, the same for CSV and Parquet.
//!
//! A column is a path into the row, and named like it, with `_` between the keys: there is
//! nothing to look up. Two are made: `time` of `time_unix_ms`, and `number` of a feedback's
//! `value`. Lists and objects are JSON in text. `docs/data-model.md` has the same list, and a
//! test sees to it.

use serde_json::Value;

use super::TableName;
use crate::request::inferences::moment;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Milliseconds since 1970; in text, RFC 3339.
    Timestamp,
    Integer,
    Double,
    Boolean,
    /// Text; anything else as JSON.
    Text,
    /// JSON, text included.
    Json,
    /// A number, or a boolean as 0 or 1.
    Number,
}

/// A value of a column.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Null,
    Timestamp(i64),
    Integer(i64),
    Double(f64),
    Boolean(bool),
    Text(String),
}

impl Cell {
    /// As CSV has it.
    pub(super) fn into_text(self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Timestamp(ms) => {
                u64::try_from(ms).ok().and_then(moment::rfc3339).unwrap_or_default()
            }
            Self::Integer(number) => number.to_string(),
            Self::Double(number) => number.to_string(),
            Self::Boolean(value) => value.to_string(),
            Self::Text(text) => text,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    path: String,
    /// In the documentation, and not only asked for.
    pub(super) is_listed: bool,
}

/// What cannot be a list of columns.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum ColumnError {
    #[error("--columns: there is an empty name; expected names separated by commas")]
    Empty,
    #[error("--columns: two columns would be called {0}; expected each once")]
    Twice(String),
}

/// What comes without asking, then what comes with `--content`.
type Listed = (&'static [(&'static str, Kind)], &'static [(&'static str, Kind)]);

const INFERENCES: Listed = (
    &[
        ("id", Kind::Text),
        ("time", Kind::Timestamp),
        ("dialect", Kind::Text),
        ("key", Kind::Text),
        ("function", Kind::Text),
        ("variant", Kind::Text),
        ("model", Kind::Text),
        ("endpoint", Kind::Text),
        ("outcome", Kind::Text),
        ("status", Kind::Integer),
        ("error.kind", Kind::Text),
        ("error.code", Kind::Text),
        ("error.message", Kind::Text),
        ("finish_reason", Kind::Text),
        ("stream", Kind::Boolean),
        ("attempts", Kind::Integer),
        ("ttft_ms", Kind::Double),
        ("total_ms", Kind::Double),
        ("overhead_us", Kind::Integer),
        ("usage.input", Kind::Integer),
        ("usage.cached_input", Kind::Integer),
        ("usage.cache_write", Kind::Integer),
        ("usage.output", Kind::Integer),
        ("usage.reasoning", Kind::Integer),
        ("usage.audio", Kind::Integer),
        ("usage.estimated", Kind::Boolean),
        ("cost_usd", Kind::Double),
        ("cost_source", Kind::Text),
        ("tags", Kind::Json),
        ("episode_id", Kind::Text),
        ("response_id", Kind::Text),
        ("trace_id", Kind::Text),
        ("span_id", Kind::Text),
        ("parent_span_id", Kind::Text),
        ("dropped_params", Kind::Json),
        ("invalid_tool_calls", Kind::Json),
        ("invalid_output", Kind::Json),
        ("resumed", Kind::Json),
        ("generation", Kind::Integer),
        ("snapshot", Kind::Text),
        ("content", Kind::Text),
    ],
    &[("request", Kind::Json), ("response", Kind::Json), ("decision", Kind::Json)],
);

const ATTEMPTS: Listed = (
    &[
        ("id", Kind::Text),
        ("inference_id", Kind::Text),
        ("time", Kind::Timestamp),
        ("key", Kind::Text),
        ("function", Kind::Text),
        ("variant", Kind::Text),
        ("model", Kind::Text),
        ("endpoint", Kind::Text),
        ("attempt", Kind::Integer),
        ("reason", Kind::Text),
        ("outcome", Kind::Text),
        ("status", Kind::Integer),
        ("error.kind", Kind::Text),
        ("error.code", Kind::Text),
        ("error.message", Kind::Text),
        ("stream", Kind::Boolean),
        ("ttft_ms", Kind::Double),
        ("total_ms", Kind::Double),
        ("usage.input", Kind::Integer),
        ("usage.cached_input", Kind::Integer),
        ("usage.cache_write", Kind::Integer),
        ("usage.output", Kind::Integer),
        ("usage.reasoning", Kind::Integer),
        ("usage.audio", Kind::Integer),
        ("usage.estimated", Kind::Boolean),
        ("cost_usd", Kind::Double),
        ("cost_source", Kind::Text),
        ("episode_id", Kind::Text),
        ("trace_id", Kind::Text),
        ("span_id", Kind::Text),
        ("raw_truncated", Kind::Boolean),
    ],
    &[("raw_request", Kind::Text), ("raw_response", Kind::Text)],
);

const FEEDBACK: Listed = (
    &[
        ("id", Kind::Text),
        ("time", Kind::Timestamp),
        ("target", Kind::Text),
        ("inference_id", Kind::Text),
        ("episode_id", Kind::Text),
        ("metric", Kind::Text),
        ("number", Kind::Number),
        ("value", Kind::Json),
        ("tags", Kind::Json),
        ("key", Kind::Text),
        ("function", Kind::Text),
        ("variant", Kind::Text),
    ],
    &[],
);

const SNAPSHOTS: Listed = (
    &[
        ("id", Kind::Text),
        ("time", Kind::Timestamp),
        ("generation", Kind::Integer),
        ("hash", Kind::Text),
        ("version", Kind::Text),
        ("files", Kind::Json),
        ("plugins", Kind::Json),
        ("models", Kind::Json),
        ("functions", Kind::Json),
    ],
    &[],
);

const PLUGIN_EVENTS: Listed = (
    &[
        ("id", Kind::Text),
        ("time", Kind::Timestamp),
        ("plugin", Kind::Text),
        ("event", Kind::Text),
        ("reason", Kind::Text),
        ("generation", Kind::Integer),
    ],
    &[],
);

/// Everything that is listed for a table.
pub(super) fn listed(table: TableName) -> Listed {
    match table {
        TableName::Inferences => INFERENCES,
        TableName::Attempts => ATTEMPTS,
        TableName::Feedback => FEEDBACK,
        TableName::Snapshots => SNAPSHOTS,
        TableName::PluginEvents => PLUGIN_EVENTS,
    }
}

/// The columns of an export: those asked for, or else those listed.
pub(super) fn of(
    table: TableName,
    asked: &[String],
    content: bool,
) -> Result<Vec<Column>, ColumnError> {
    let (usual, large) = listed(table);
    let all = || usual.iter().chain(large).map(|(path, kind)| Column::listed(path, *kind));
    if asked.is_empty() {
        let large = large.iter().filter(|_| content);
        return Ok(usual.iter().chain(large).map(|(it, kind)| Column::listed(it, *kind)).collect());
    }
    let mut columns: Vec<Column> = Vec::new();
    for wanted in asked.iter().map(|wanted| wanted.trim()) {
        if wanted.is_empty() {
            return Err(ColumnError::Empty);
        }
        let known = all().find(|column| column.path == wanted || column.name == wanted);
        let column = known.unwrap_or_else(|| Column::asked(wanted));
        if columns.iter().any(|other| other.name == column.name) {
            return Err(ColumnError::Twice(column.name));
        }
        columns.push(column);
    }
    Ok(columns)
}

impl Column {
    fn listed(path: &str, kind: Kind) -> Self {
        Self { is_listed: true, kind, ..Self::asked(path) }
    }

    /// Text, as nothing is known about it.
    fn asked(path: &str) -> Self {
        let (name, path) = (path.replace('.', "_"), path.to_owned());
        Self { name, kind: Kind::Text, path, is_listed: false }
    }

    /// Where the value is found.
    pub(super) fn of<'a>(&self, row: &'a Value) -> &'a Value {
        let path = match self.kind {
            Kind::Timestamp => "time_unix_ms",
            Kind::Number => "value",
            _ => &self.path,
        };
        at(row, path)
    }

    /// The value of a row; null where it has none, or none of the column's type.
    pub(super) fn cell(&self, row: &Value) -> Cell {
        let value = self.of(row);
        let cell = match self.kind {
            Kind::Timestamp => value.as_i64().map(Cell::Timestamp),
            Kind::Integer => value.as_i64().map(Cell::Integer),
            Kind::Double => value.as_f64().map(Cell::Double),
            Kind::Boolean => value.as_bool().map(Cell::Boolean),
            Kind::Number => {
                let boolean = value.as_bool().map(|it| f64::from(u8::from(it)));
                boolean.or_else(|| value.as_f64()).map(Cell::Double)
            }
            Kind::Text | Kind::Json if value.is_null() => None,
            Kind::Json => Some(Cell::Text(value.to_string())),
            Kind::Text => {
                let text = value.as_str().map(str::to_owned);
                Some(Cell::Text(text.unwrap_or_else(|| value.to_string())))
            }
        };
        cell.unwrap_or(Cell::Null)
    }
}

/// Keys may have points in them: the whole path is tried before its first part.
fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    if let Some(found) = value.get(path) {
        return found;
    }
    match path.split_once('.') {
        Some((first, rest)) => value.get(first).map_or(&Value::Null, |inner| at(inner, rest)),
        None => &Value::Null,
    }
}
