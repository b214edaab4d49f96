//! One row a policy sees for each endpoint, and what it may know of the request.

use std::time::{SystemTime, UNIX_EPOCH};

use super::breaker;
use crate::plugin::policy::{Breaker, Candidate, RequestFacts};
use crate::request::decode::Call;
use crate::request::estimate;
use crate::snapshot::Endpoint;

/// Answer length to expect where the client sets no limit: for comparing prices only.
const TYPICAL_OUTPUT_TOKENS: u64 = 256;

/// Why an endpoint is left out, whatever a policy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ineligible {
    /// The provider's credential is not there.
    NoCredential,
    /// The prompt and its answer do not fit.
    ContextWindow,
}

/// The host's own filter.
pub fn eligibility(endpoint: &Endpoint, facts: &RequestFacts) -> Result<(), Ineligible> {
    if endpoint.provider.is_unlit() {
        return Err(Ineligible::NoCredential);
    }
    // The estimate is rough: only what is far too long is kept away.
    match endpoint.context_window {
        Some(window) if facts.input_tokens / 2 > window => Err(Ineligible::ContextWindow),
        _ => Ok(()),
    }
}

/// Reads the endpoint's figures.
pub fn candidate(position: u32, endpoint: &Endpoint, facts: &RequestFacts) -> Candidate {
    let reading = endpoint.statistics.read();
    Candidate {
        endpoint: position,
        eligible: eligibility(endpoint, facts).is_ok(),
        breaker: match reading.breaker {
            breaker::State::Closed => Breaker::Closed,
            breaker::State::HalfOpen => Breaker::HalfOpen,
            breaker::State::Open => Breaker::Open,
        },
        samples: reading.samples,
        in_flight: reading.in_flight,
        learned_cap: 0,
        oldest_outstanding_ms: u32::try_from(reading.oldest_outstanding.as_millis())
            .unwrap_or(u32::MAX),
        cached_tokens: 0,
        cost_usd: endpoint.price.map_or(0.0, |price| cost(price, facts)),
        ttft_fast_ms: reading.ttft_fast_ms,
        ttft_slow_ms: reading.ttft_slow_ms,
        ttft_p50_ms: reading.ttft_p50_ms,
        ttft_p95_ms: reading.ttft_p95_ms,
        throughput: reading.throughput,
        error_rate: reading.error_rate,
        rate_limited_rate: reading.rate_limited_rate,
        timeout_rate: reading.timeout_rate,
    }
}

#[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
fn cost(price: crate::config::Price, facts: &RequestFacts) -> f64 {
    let output = facts.max_output_tokens.unwrap_or(TYPICAL_OUTPUT_TOKENS);
    (facts.input_tokens as f64 * price.input + output as f64 * price.output) / 1e6
}

/// What a policy may know of a request.
pub fn facts(call: &Call, seed: u64) -> RequestFacts {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    RequestFacts {
        now_unix_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        seed,
        stream: call.stream,
        input_tokens: estimate::prompt(&call.body),
        max_output_tokens: call.max_output_tokens,
        session: call.session,
        uses_tools: call.uses_tools,
        uses_images: call.uses_images,
        uses_json_schema: call.uses_json_schema,
    }
}
