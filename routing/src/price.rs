//! What tokens cost.

use serde::{Deserialize, Serialize};
use torana_wire::chat::Usage;

/// Tokens that a price is written for.
const TOKENS: f64 = 1e6;

/// US dollars for a million tokens, by class.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Price {
    pub input: f64,
    pub output: f64,
    /// Input read from the provider's cache; absent: as `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<f64>,
    /// Input written to the provider's cache; absent: as `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<f64>,
    /// For each request, whatever its tokens: US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<f64>,
}

impl Price {
    /// US dollars for what a call took.
    pub fn cost(&self, usage: &Usage) -> f64 {
        let cached = usage.cached_input.min(usage.input);
        let written = usage.cache_write.min(usage.input - cached);
        let plain = usage.input - cached - written;
        let tokens = count(plain) * self.input
            + count(cached) * self.cached_input.unwrap_or(self.input)
            + count(written) * self.cache_write.unwrap_or(self.input)
            + count(usage.output) * self.output;
        tokens / TOKENS + self.request.unwrap_or(0.0)
    }

    /// US dollars for a call that has yet to be made, without any cache.
    pub fn expected(&self, input_tokens: u64, output_tokens: u64) -> f64 {
        self.cost(&Usage { input: input_tokens, output: output_tokens, ..Usage::default() })
    }

    /// US dollars saved when so much of the input comes from the cache.
    pub fn saving(&self, cached_tokens: u64) -> f64 {
        let saved = self.input - self.cached_input.unwrap_or(self.input);
        count(cached_tokens) * saved.max(0.0) / TOKENS
    }
}

#[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
fn count(tokens: u64) -> f64 {
    tokens as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_of_tokens_has_its_price() {
        let price = Price {
            input: 2.0,
            output: 10.0,
            cached_input: Some(0.5),
            cache_write: Some(2.5),
            request: Some(0.01),
        };
        let usage = Usage {
            input: 1_000_000,
            cached_input: 400_000,
            cache_write: 100_000,
            output: 200_000,
            ..Usage::default()
        };
        let expected = 0.5 * 2.0 + 0.4 * 0.5 + 0.1 * 2.5 + 0.2 * 10.0 + 0.01;
        assert!((price.cost(&usage) - expected).abs() < 1e-12);
        assert!((price.saving(1_000_000) - 1.5).abs() < 1e-12);
    }

    #[test]
    fn a_provider_that_counts_more_cached_than_input_costs_no_less_than_nothing() {
        let price = Price { input: 2.0, output: 10.0, ..Price::default() };
        let usage = Usage { input: 10, cached_input: 50, cache_write: 50, ..Usage::default() };
        assert!((price.cost(&usage) - 2e-5).abs() < 1e-12);
    }
}
