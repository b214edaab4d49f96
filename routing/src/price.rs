//! What tokens cost.
//!
//! A price has a figure for each class of tokens that both a price list and a usage report can
//! tell apart: plain input, input from and into the provider's cache, input that is audio,
//! output, reasoning, and each of them beyond a length of the prompt. What usage does not tell
//! apart has no price of its own: images, audio that is answered, and a cache that is kept for
//! longer than the standard time.

use serde::{Deserialize, Serialize};
use torana_wire::chat::Usage;

#[cfg(test)]
mod tests;

/// Tokens that a price is written for.
const TOKENS: f64 = 1e6;

/// Parts of a dollar that costs are rounded to: a millionth of the price of a token at a dollar
/// a million. Below it there is only what binary fractions cannot hold.
const PARTS: f64 = 1e12;

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
    /// Input that is audio; absent: as `input`. For models that do not answer with audio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_input: Option<f64>,
    /// Output spent on reasoning; absent: as `output`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<f64>,
    /// For each request, whatever its tokens: US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<f64>,
    /// For calls with a long prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long: Option<LongPrice>,
}

/// What all tokens of a call cost whose prompt is longer than `above`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct LongPrice {
    /// Tokens of input.
    pub above: u64,
    pub input: f64,
    pub output: f64,
    /// Absent: as much more than the standard price as `input` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<f64>,
    /// Absent: as much more than the standard price as `input` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<f64>,
}

/// Who said what a call cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CostSource {
    /// The provider itself.
    Provider,
    /// The endpoint's price: written, or the catalog's.
    Catalog,
    /// One for some attempts, the other for the rest.
    Mixed,
}

impl Price {
    /// US dollars for what a call took: never negative, to a millionth of a millionth.
    pub fn cost(&self, usage: &Usage) -> f64 {
        let rates = self.rates(usage.input);
        let cached = usage.cached_input.min(usage.input);
        let written = usage.cache_write.min(usage.input - cached);
        let plain = usage.input - cached - written;
        // Which of the input was audio is only known where all audio was input.
        let audio = if self.audio_input.is_some() { usage.audio.min(plain) } else { 0 };
        let reasoning = usage.reasoning.min(usage.output);
        let tokens = count(plain - audio) * rates.input
            + count(audio) * self.audio_input.unwrap_or(rates.input)
            + count(cached) * rates.cached_input
            + count(written) * rates.cache_write
            + count(usage.output - reasoning) * rates.output
            + count(reasoning) * rates.reasoning;
        rounded(tokens / TOKENS + self.request.unwrap_or(0.0))
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

    fn rates(&self, input_tokens: u64) -> Rates {
        let standard = Rates {
            input: self.input,
            output: self.output,
            cached_input: self.cached_input.unwrap_or(self.input),
            cache_write: self.cache_write.unwrap_or(self.input),
            reasoning: self.reasoning.unwrap_or(self.output),
        };
        match self.long.filter(|long| input_tokens > long.above) {
            None => standard,
            Some(long) => {
                let input = times(long.input, self.input);
                let output = times(long.output, self.output);
                Rates {
                    input: long.input,
                    output: long.output,
                    cached_input: long.cached_input.unwrap_or(standard.cached_input * input),
                    cache_write: long.cache_write.unwrap_or(standard.cache_write * input),
                    reasoning: standard.reasoning * output,
                }
            }
        }
    }
}

/// What a call cost and who said so: the provider's own figure, else the price's.
pub fn cost(price: Option<&Price>, usage: &Usage) -> Option<(f64, CostSource)> {
    // A provider that pays its clients has made a mistake.
    let said = usage.cost_usd.filter(|said| said.is_finite() && *said >= 0.0);
    match (said, price) {
        (Some(said), _) => Some((rounded(said), CostSource::Provider)),
        (None, Some(price)) => Some((price.cost(usage), CostSource::Catalog)),
        (None, None) => None,
    }
}

/// What several attempts cost together, as far as it is known.
pub fn sum(costs: impl IntoIterator<Item = (f64, CostSource)>) -> Option<(f64, CostSource)> {
    let both = |(one, source): (f64, CostSource), (other, its): (f64, CostSource)| {
        (one + other, if source == its { source } else { CostSource::Mixed })
    };
    costs.into_iter().reduce(both).map(|(total, source)| (rounded(total), source))
}

/// What applies to one call, for a million tokens.
struct Rates {
    input: f64,
    output: f64,
    cached_input: f64,
    cache_write: f64,
    reasoning: f64,
}

fn times(long: f64, standard: f64) -> f64 {
    if standard > 0.0 { long / standard } else { 1.0 }
}

fn rounded(dollars: f64) -> f64 {
    let parts = (dollars * PARTS).round();
    // Beyond 2^53 parts, some 9,000 dollars, there is nothing to round.
    if parts.is_finite() { parts / PARTS } else { dollars }
}

#[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
fn count(tokens: u64) -> f64 {
    tokens as f64
}
