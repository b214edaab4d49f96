//! The rows as far as spans need them (`docs/data-model.md`).
//!
//! Everything may be absent or `null`: rows grow, a journal may hold rows of an older version,
//! and a sink with `content = "metadata"` gets them with less.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// One call by a client.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Inference<'a> {
    #[serde(deserialize_with = "or_default")]
    pub(crate) dialect: String,
    pub(crate) key: Option<String>,
    pub(crate) function: Option<String>,
    pub(crate) variant: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) model: String,
    pub(crate) endpoint: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) outcome: String,
    pub(crate) episode_id: Option<String>,
    pub(crate) generation: Option<u64>,
    pub(crate) snapshot: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) stream: bool,
    pub(crate) status: Option<u64>,
    pub(crate) usage: Option<Usage>,
    pub(crate) finish_reason: Option<String>,
    pub(crate) ttft_ms: Option<f64>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) total_ms: f64,
    pub(crate) overhead_us: Option<u64>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) attempts: u64,
    pub(crate) cost_usd: Option<f64>,
    pub(crate) cost_source: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) response_id: Option<String>,
    pub(crate) error: Option<Failure>,
    pub(crate) trace_id: Option<String>,
    pub(crate) span_id: Option<String>,
    pub(crate) parent_span_id: Option<String>,
    #[serde(borrow)]
    pub(crate) request: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) response: Option<&'a RawValue>,
}

/// One attempt at an endpoint.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Attempt {
    pub(crate) key: Option<String>,
    pub(crate) function: Option<String>,
    pub(crate) variant: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) episode_id: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) endpoint: String,
    pub(crate) attempt: Option<u64>,
    pub(crate) reason: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) outcome: String,
    pub(crate) status: Option<u64>,
    pub(crate) ttft_ms: Option<f64>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) total_ms: f64,
    pub(crate) usage: Option<Usage>,
    pub(crate) cost_usd: Option<f64>,
    pub(crate) cost_source: Option<String>,
    pub(crate) error: Option<Failure>,
    pub(crate) trace_id: Option<String>,
    pub(crate) span_id: Option<String>,
}

/// What somebody thought of an inference or an episode.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Feedback {
    pub(crate) target: Option<String>,
    pub(crate) inference_id: Option<String>,
    pub(crate) episode_id: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) metric: String,
    pub(crate) value: Value,
    #[serde(deserialize_with = "or_default")]
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) key: Option<String>,
    pub(crate) function: Option<String>,
    pub(crate) variant: Option<String>,
    pub(crate) trace_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Usage {
    pub(crate) input: Option<u64>,
    pub(crate) output: Option<u64>,
    pub(crate) cached_input: Option<u64>,
    pub(crate) cache_write: Option<u64>,
    pub(crate) reasoning: Option<u64>,
    pub(crate) estimated: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Failure {
    #[serde(deserialize_with = "or_default")]
    pub(crate) kind: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) code: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) message: String,
}

/// `null` counts as absent.
fn or_default<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
