//! A scenario file as it is written: shapes only. `check` makes a scenario of it.
//!
//! Numbers keep their place in the text, so that a value out of its range is reported with
//! its line. Unknown keys are refused.

use serde::Deserialize;
use toml::Spanned;

use crate::arrivals::trace::Format;

pub(super) type Number = Spanned<f64>;
pub(super) type Count = Spanned<i64>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) name: Option<Spanned<String>>,
    pub(super) slo_ttft_ms: Option<Number>,
    #[serde(default)]
    pub(super) values: Values,
    #[serde(default)]
    pub(super) limits: Limits,
    #[serde(default)]
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) arrivals: Option<Spanned<Arrivals>>,
    #[serde(default)]
    pub(super) faults: Faults,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Values {
    pub(super) ttft_usd_per_s: Option<Number>,
    pub(super) stream_usd_per_s: Option<Number>,
    pub(super) failure_penalty_s: Option<Number>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) max_attempts: Option<Count>,
    pub(super) first_token_timeout_ms: Option<Number>,
    pub(super) retry_share: Option<Number>,
    pub(super) retry_per_s: Option<Number>,
    pub(super) hedge_share: Option<Number>,
    pub(super) hedge_burst: Option<Number>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Endpoint {
    pub(super) name: Spanned<String>,
    pub(super) region: Option<String>,
    pub(super) price: Price,
    pub(super) ttft_ms: LogNormal,
    pub(super) tokens_per_s: Number,
    pub(super) error_rate: Option<Number>,
    pub(super) concurrency: Count,
    pub(super) congestion_above: Option<Number>,
    pub(super) weight: Option<Number>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Price {
    pub(super) input: Number,
    pub(super) output: Number,
    pub(super) cached_input: Option<Number>,
    pub(super) cache_write: Option<Number>,
    pub(super) request: Option<Number>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogNormal {
    pub(super) median: Number,
    pub(super) sigma: Number,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Arrivals {
    pub(super) trace: Option<Spanned<String>>,
    pub(super) format: Option<Spanned<Format>>,
    pub(super) speed: Option<Number>,
    pub(super) limit: Option<Count>,
    pub(super) if_missing: Option<Spanned<String>>,
    pub(super) generated: Option<Spanned<GeneratedArrivals>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GeneratedArrivals {
    pub(super) rate_per_s: Number,
    pub(super) duration_s: Number,
    pub(super) input_tokens: LogNormal,
    pub(super) output_tokens: LogNormal,
    pub(super) sessions: Option<Count>,
    pub(super) bursts: Option<Bursts>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bursts {
    pub(super) every_s: Number,
    pub(super) length_s: Number,
    pub(super) factor: Number,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Faults {
    #[serde(default)]
    pub(super) written: Vec<Spanned<WrittenFault>>,
    pub(super) generated: Option<Spanned<GeneratedFaults>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenFault {
    pub(super) start_s: Number,
    pub(super) end_s: Number,
    pub(super) endpoint: Option<Spanned<String>>,
    pub(super) region: Option<Spanned<String>>,
    pub(super) kind: Kind,
    pub(super) intensity: Option<Number>,
    pub(super) factor: Option<Number>,
    pub(super) share: Option<Number>,
    pub(super) seconds: Option<Number>,
    pub(super) period_s: Option<Number>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Error,
    Slow,
    RateLimit,
    Hang,
    Ramp,
    Flap,
    Grey,
    Cut,
    Price,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GeneratedFaults {
    pub(super) per_hour: PerHour,
    pub(super) duration_s: Option<Spanned<[f64; 2]>>,
    pub(super) intensity: Option<Spanned<[f64; 2]>>,
    pub(super) kinds: Option<Spanned<Vec<BrownOut>>>,
    pub(super) calm_s: Option<Number>,
    pub(super) healthy_concurrency: Option<Count>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PerHour {
    pub(super) single: Option<Number>,
    pub(super) region: Option<Number>,
    pub(super) grey: Option<Number>,
    pub(super) ramp: Option<Number>,
    pub(super) flap: Option<Number>,
    pub(super) rate_limit: Option<Number>,
    pub(super) cut: Option<Number>,
    pub(super) price: Option<Number>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum BrownOut {
    Error,
    Slow,
    RateLimit,
    Hang,
}
