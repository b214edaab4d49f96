//! Token counts on the Anthropic wire, both ways.
//!
//! `input_tokens` leaves out what came from or went to the cache; the payload's `input` is
//! the total. In a stream counts come twice, and a later one may leave some out. What the
//! payload has no field for (server tools, service tier …) is kept by its name. `cost`,
//! `audio_tokens` and `estimated` are not Anthropic's: gateways, this one too, add them.

use serde_json::{Map, Value, json};

use crate::chat::Usage;
use crate::fields::accumulate;

/// Keys that [`Usage`] holds.
const KNOWN: [&str; 7] = [
    "input_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "output_tokens",
    "cost",
    "audio_tokens",
    "estimated",
];

/// `usage` as far as it came.
#[derive(Debug, Default, Clone)]
pub(super) struct WireUsage {
    fields: Map<String, Value>,
}

impl WireUsage {
    /// Takes over whatever `later` says. Nulls say nothing.
    pub(super) fn update(&mut self, later: Map<String, Value>) {
        for (key, value) in later {
            if !value.is_null() {
                self.fields.insert(key, value);
            }
        }
    }

    pub(super) fn counts(&self) -> Usage {
        let count = |key: &str| self.fields.get(key).and_then(Value::as_u64).unwrap_or_default();
        let cached_input = count("cache_read_input_tokens");
        let cache_write = count("cache_creation_input_tokens");
        let details = self.fields.get("output_tokens_details");
        let thinking = details.and_then(|details| details.get("thinking_tokens")?.as_u64());
        Usage {
            input: count("input_tokens").saturating_add(cached_input).saturating_add(cache_write),
            output: count("output_tokens"),
            cached_input,
            cache_write,
            reasoning: thinking.unwrap_or_default(),
            audio: count("audio_tokens"),
            cost_usd: self.fields.get("cost").and_then(Value::as_f64),
            estimated: self.fields.get("estimated") == Some(&Value::Bool(true)),
        }
    }

    /// What [`Usage`] has no field for.
    pub(super) fn rest(mut self) -> Map<String, Value> {
        self.fields.retain(|key, _| !KNOWN.contains(&key.as_str()));
        if let Some(Value::Object(details)) = self.fields.get_mut("output_tokens_details") {
            details.shift_remove("thinking_tokens");
            if details.is_empty() {
                self.fields.shift_remove("output_tokens_details");
            }
        }
        self.fields
    }
}

/// `usage` as it is written. The two cache counts are always there, as clients add them up.
pub(super) fn encode(usage: &Usage, rest: Option<&Map<String, Value>>) -> Map<String, Value> {
    let beside = usage.cached_input.saturating_add(usage.cache_write);
    let mut fields = Map::new();
    let mut set = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    set("input_tokens", usage.input.saturating_sub(beside).into());
    set("cache_creation_input_tokens", usage.cache_write.into());
    set("cache_read_input_tokens", usage.cached_input.into());
    set("output_tokens", usage.output.into());
    if usage.audio > 0 {
        set("audio_tokens", usage.audio.into());
    }
    if let Some(cost) = usage.cost_usd {
        set("cost", cost.into());
    }
    if usage.estimated {
        set("estimated", true.into());
    }
    if usage.reasoning > 0 {
        set("output_tokens_details", json!({"thinking_tokens": usage.reasoning}));
    }
    let rest = rest.into_iter().flatten().filter(|(key, _)| !KNOWN.contains(&key.as_str()));
    accumulate(&mut fields, rest.map(|(key, value)| (key.clone(), value.clone())).collect());
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_usage_reads_back_with_all_its_parts() {
        let usage = Usage {
            input: 30,
            output: 20,
            cached_input: 7,
            cache_write: 11,
            reasoning: 5,
            audio: 2,
            cost_usd: Some(0.25),
            estimated: true,
        };
        let rest = json!({"service_tier": "standard", "output_tokens_details": {"new": 1}});
        let written = encode(&usage, rest.as_object());
        assert_eq!(written.get("input_tokens"), Some(&json!(12)));
        let mut wire = WireUsage::default();
        wire.update(written);
        assert_eq!(wire.counts(), usage);
        assert_eq!(Value::Object(wire.rest()), rest);
    }

    #[test]
    fn later_counts_replace_earlier_ones_and_nulls_do_not() {
        let mut wire = WireUsage::default();
        for fields in [
            json!({"input_tokens": 5, "output_tokens": 1}),
            json!({"input_tokens": null, "output_tokens": 9}),
        ] {
            wire.update(fields.as_object().cloned().unwrap_or_default());
        }
        assert_eq!((wire.counts().input, wire.counts().output), (5, 9));
    }
}
