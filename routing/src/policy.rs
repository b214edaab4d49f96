//! What a routing policy is told, and what it says: the Rust face of `wit/router`.
//!
//! The same types stand in decision records, so they serialize; figures that are 0 are left
//! out there, for most are. Numbers survive the way through JSON exactly.

use serde::{Deserialize, Serialize};
use torana_wire::chat::Usage;
use torana_wire::error::CallErrorKind;

/// What does not change from request to request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// `provider/model`, unique.
    pub name: String,
    pub provider: String,
    pub model: String,
    /// The operator's weight; 1 where none is written.
    pub weight: f64,
    /// US dollars for a million tokens; absent when unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_input: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_output: Option<f64>,
    /// For input read from the provider's cache; absent: as `price_input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_cached_input: Option<f64>,
    /// Tokens that fit; absent when unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_window: Option<u64>,
}

/// The request, as far as a policy may know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    pub now_unix_ms: u64,
    pub seed: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub stream: bool,
    /// Estimated from the size of the prompt.
    pub input_tokens: u64,
    /// The client's limit, where it set one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    /// What answers of the model had of late, within the client's limit.
    pub expected_output_tokens: u64,
    /// Same number, same conversation; 0 where nothing tells.
    #[serde(skip_serializing_if = "is_default")]
    pub session: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub uses_tools: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub uses_images: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub uses_json_schema: bool,
}

/// What a breaker lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Breaker {
    #[default]
    Closed,
    /// The next request is a probe.
    HalfOpen,
    Open,
}

/// Live figures of one endpoint: `candidate` in `wit/router`, which says what each is.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Candidate {
    pub endpoint: u32,
    pub eligible: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub breaker: Breaker,
    #[serde(skip_serializing_if = "is_default")]
    pub samples: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub in_flight: u32,
    #[serde(skip_serializing_if = "is_default")]
    pub learned_cap: u32,
    #[serde(skip_serializing_if = "is_default")]
    pub oldest_outstanding_ms: u32,
    #[serde(skip_serializing_if = "is_default")]
    pub back_off_ms: u32,
    #[serde(skip_serializing_if = "is_default")]
    pub cached_tokens: u32,
    #[serde(skip_serializing_if = "is_default")]
    pub cost_usd: f64,
    #[serde(skip_serializing_if = "is_default")]
    pub cache_saving_usd: f64,
    #[serde(skip_serializing_if = "is_default")]
    pub ttft_fast_ms: f64,
    #[serde(skip_serializing_if = "is_default")]
    pub ttft_slow_ms: f64,
    #[serde(skip_serializing_if = "is_default")]
    pub ttft_p50_ms: f64,
    #[serde(skip_serializing_if = "is_default")]
    pub ttft_p90_ms: f64,
    #[serde(skip_serializing_if = "is_default")]
    pub ttft_p95_ms: f64,
    #[serde(skip_serializing_if = "is_default")]
    pub ttft_p99_ms: f64,
    #[serde(skip_serializing_if = "is_default")]
    pub total_fast_ms: f64,
    #[serde(skip_serializing_if = "is_default")]
    pub total_slow_ms: f64,
    #[serde(skip_serializing_if = "is_default")]
    pub throughput: f64,
    #[serde(skip_serializing_if = "is_default")]
    pub error_rate_fast: f64,
    #[serde(skip_serializing_if = "is_default")]
    pub error_rate: f64,
    #[serde(skip_serializing_if = "is_default")]
    pub rate_limited_rate: f64,
    #[serde(skip_serializing_if = "is_default")]
    pub timeout_rate: f64,
    #[serde(skip_serializing_if = "is_default")]
    pub tool_call_error_rate: f64,
}

/// One endpoint to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Step {
    pub endpoint: u32,
    /// For the first token; 0: the operator's setting.
    #[serde(skip_serializing_if = "is_default")]
    pub timeout_ms: u32,
    /// Start the next step beside this one if nothing came by then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hedge_after_ms: Option<u32>,
}

/// Why an endpoint stands where it stands, in the policy's own measure.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Score {
    pub endpoint: u32,
    pub score: f64,
}

/// What a policy says.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Plan {
    /// Tried in order until one answers. Empty: the order in which endpoints are written.
    pub steps: Vec<Step>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<Score>,
}

/// What became of one attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    pub endpoint: u32,
    pub now_unix_ms: u64,
    /// Absent: it worked.
    pub error: Option<CallErrorKind>,
    /// 0 if there was none.
    pub ttft_ms: f64,
    pub total_ms: f64,
    pub usage: Usage,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_row_survives_its_way_through_json(cost in any::<f64>(), ttft in any::<f64>()) {
            prop_assume!(cost.is_finite() && ttft.is_finite());
            let row = Candidate { cost_usd: cost, ttft_fast_ms: ttft, ..Candidate::default() };
            let read: Candidate = serde_json::from_slice(&serde_json::to_vec(&row).unwrap()).unwrap();
            prop_assert_eq!(row, read);
        }
    }
}
