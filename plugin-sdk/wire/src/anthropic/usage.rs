//! Token counts on the Anthropic wire.
//!
//! `input_tokens` leaves out what came from or went to the cache; the payload's `input` is
//! the total. In a stream counts come twice, and a later one may leave some out.

use serde::Deserialize;

use crate::chat::Usage;

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default)]
pub(super) struct WireUsage {
    input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default)]
struct OutputDetails {
    thinking_tokens: Option<u64>,
}

impl WireUsage {
    /// Takes over whatever `later` says.
    pub(super) fn update(&mut self, later: Self) {
        self.input_tokens = later.input_tokens.or(self.input_tokens);
        self.cache_creation_input_tokens =
            later.cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.cache_read_input_tokens =
            later.cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.output_tokens = later.output_tokens.or(self.output_tokens);
        self.output_tokens_details = later.output_tokens_details.or(self.output_tokens_details);
    }
}

impl From<WireUsage> for Usage {
    fn from(wire: WireUsage) -> Self {
        let cached_input = wire.cache_read_input_tokens.unwrap_or_default();
        let cache_write = wire.cache_creation_input_tokens.unwrap_or_default();
        let fresh = wire.input_tokens.unwrap_or_default();
        let details = wire.output_tokens_details.unwrap_or_default();
        Self {
            input: fresh.saturating_add(cached_input).saturating_add(cache_write),
            output: wire.output_tokens.unwrap_or_default(),
            cached_input,
            cache_write,
            reasoning: details.thinking_tokens.unwrap_or_default(),
            audio: 0,
            cost_usd: None,
        }
    }
}
