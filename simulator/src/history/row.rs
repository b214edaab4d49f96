//! Rows as `docs/data-model.md` describes them, as far as they matter here.
//!
//! Keys that are not named are passed over, contents of requests and answers among them. A
//! row with a time or a duration that no gateway writes is not readable.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use torana_routing::policy;
use torana_wire::error::CallErrorKind;

/// The end of the year 9999: what calendars hold.
const LATEST_UNIX_MS: u64 = 253_402_300_799_999;
/// No attempt lasts longer than a day.
const LONGEST_MS: f64 = 86_400_000.0;

/// A line of `sink-jsonl`.
#[derive(Deserialize)]
pub(super) struct Line<'a> {
    #[serde(borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) row: &'a RawValue,
}

#[derive(Debug, Deserialize)]
pub(super) struct Inference {
    pub(super) id: Option<String>,
    pub(super) time_unix_ms: u64,
    pub(super) model: Option<String>,
    pub(super) endpoint: Option<String>,
    pub(super) outcome: Outcome,
    pub(super) stream: Option<bool>,
    pub(super) usage: Option<Usage>,
    pub(super) attempts: Option<u64>,
    pub(super) decision: Option<Decision>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Attempt {
    pub(super) id: Option<String>,
    pub(super) inference_id: Option<String>,
    pub(super) time_unix_ms: u64,
    pub(super) endpoint: String,
    pub(super) outcome: Outcome,
    pub(super) status: Option<u16>,
    pub(super) ttft_ms: Option<f64>,
    pub(super) total_ms: f64,
    pub(super) usage: Option<Usage>,
    pub(super) error: Option<Failure>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Ok,
    Error,
    Cancelled,
    Lost,
    /// Of a later version.
    #[serde(other)]
    Other,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(super) struct Usage {
    pub(super) input: u64,
    pub(super) output: u64,
    pub(super) cached_input: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Failure {
    pub(super) kind: Kind,
}

/// Kinds that are no call error, such as those of a later version, are none of ours.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Kind {
    Call(CallErrorKind),
    Other(serde::de::IgnoredAny),
}

#[derive(Debug, Deserialize)]
pub(super) struct Decision {
    #[serde(default)]
    pub(super) plan: Vec<String>,
    #[serde(default)]
    pub(super) models: Vec<Considered>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Considered {
    pub(super) model: String,
    pub(super) policy: Option<Asked>,
    #[serde(default)]
    pub(super) left_out: Vec<LeftOut>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    pub(super) endpoints: Vec<policy::Endpoint>,
    #[serde(default)]
    pub(super) facts: policy::Facts,
}

#[derive(Debug, Deserialize)]
pub(super) struct LeftOut {
    pub(super) endpoint: String,
}

pub(super) fn line(json: &[u8]) -> Option<Line<'_>> {
    serde_json::from_slice(json).ok()
}

pub(super) fn inference(json: &[u8]) -> Option<Inference> {
    let row: Inference = serde_json::from_slice(json).ok()?;
    (row.time_unix_ms <= LATEST_UNIX_MS).then_some(row)
}

pub(super) fn attempt(json: &[u8]) -> Option<Attempt> {
    let row: Attempt = serde_json::from_slice(json).ok()?;
    let bounded = |ms: f64| (0.0..=LONGEST_MS).contains(&ms);
    let times = bounded(row.total_ms) && row.ttft_ms.is_none_or(bounded);
    (row.time_unix_ms <= LATEST_UNIX_MS && times).then_some(row)
}
