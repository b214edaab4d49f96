//! Token counts.
//!
//! `tokens` counts what the model read and wrote, with Cohere's own prompt around it, thirty
//! times as much in a recording; `billed_units` leaves that out. The payload's counts are what
//! is paid for; `tokens` is kept beside them under its own name. `cached_tokens` counts that
//! prompt too, so it is part of the payload's counts only where nothing is billed.

use serde::Deserialize;
use serde_json::{Map, Value};
use torana_plugin_sdk::Usage;

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(crate) struct WireUsage {
    billed_units: Option<Map<String, Value>>,
    tokens: Option<Map<String, Value>>,
    cached_tokens: Option<f64>,
}

impl WireUsage {
    /// `tokens` as a field of the response.
    pub(crate) fn extra(&self) -> Map<String, Value> {
        let tokens = self.tokens.clone().map(Value::Object);
        tokens.map(|tokens| ("tokens".to_owned(), tokens)).into_iter().collect()
    }
}

impl From<&WireUsage> for Usage {
    fn from(wire: &WireUsage) -> Self {
        // Cohere writes counts as numbers of any form, `10.0` among them. The cast saturates.
        let count = |key: &str| {
            [&wire.billed_units, &wire.tokens]
                .into_iter()
                .flatten()
                .find_map(|counts| counts.get(key)?.as_f64())
                .unwrap_or_default() as u64
        };
        let input = count("input_tokens");
        let cached = wire.cached_tokens.filter(|_| wire.billed_units.is_none());
        let cached = cached.unwrap_or_default() as u64;
        Self {
            input,
            output: count("output_tokens"),
            cached_input: cached.min(input),
            ..Self::default()
        }
    }
}
