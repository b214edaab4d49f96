//! Token counts (`TokenUsage`).
//!
//! `inputTokens` leaves out what came from or went to the cache; the payload's `input` is the
//! total.

use serde::Deserialize;
use torana_plugin_sdk::Usage;

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct WireUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_write_input_tokens: Option<u64>,
}

impl From<WireUsage> for Usage {
    fn from(wire: WireUsage) -> Self {
        let cached_input = wire.cache_read_input_tokens.unwrap_or_default();
        let cache_write = wire.cache_write_input_tokens.unwrap_or_default();
        let fresh = wire.input_tokens.unwrap_or_default();
        Self {
            input: fresh.saturating_add(cached_input).saturating_add(cache_write),
            output: wire.output_tokens.unwrap_or_default(),
            cached_input,
            cache_write,
            ..Self::default()
        }
    }
}
