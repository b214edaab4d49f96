//! `[sinks.NAME]` as the gateway uses it: where rows go, which rows, and what is in them.

use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::{Content, DatabaseUrl, Secret};
use crate::journal::RowKind;

/// `[sinks.NAME]`.
#[derive(Debug, Clone)]
pub struct Sink {
    pub plugin: String,
    pub settings: Map<String, Value>,
    /// Added by the host to whatever the sink sends.
    pub headers: Vec<SinkHeader>,
    /// That the host opens for it.
    pub database: Option<DatabaseUrl>,
    pub rows: SinkRows,
}

/// One header of every request of a sink.
#[derive(Debug, Clone)]
pub struct SinkHeader {
    pub name: HeaderName,
    pub value: SinkHeaderValue,
}

/// Whether a header's value may be seen.
#[derive(Debug, Clone)]
pub enum SinkHeaderValue {
    Literal(HeaderValue),
    /// Fits into a header: that was checked.
    Secret(Secret),
}

impl SinkHeaderValue {
    /// For the one place that puts it on the wire, and for telling one value from another.
    pub fn expose(&self) -> &[u8] {
        match self {
            Self::Literal(value) => value.as_bytes(),
            Self::Secret(secret) => secret.expose().as_bytes(),
        }
    }
}

/// Which rows a sink gets, and what is in them.
#[derive(Debug, Clone, PartialEq)]
pub struct SinkRows {
    pub content: Content,
    /// Share of the inferences, 0 to 1.
    pub sample: f64,
    pub only: Only,
}

/// Filters; absent: everything passes. All that are there must let a row pass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Only {
    pub kinds: Option<Vec<RowKind>>,
    pub functions: Option<Vec<String>>,
    pub models: Option<Vec<String>>,
    pub endpoints: Option<Vec<String>>,
    pub keys: Option<Vec<String>>,
    pub outcomes: Option<Vec<String>>,
}
