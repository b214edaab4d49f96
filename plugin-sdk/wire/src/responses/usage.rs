//! Token counts on the Responses wire, both ways.
//!
//! `input_tokens` and `output_tokens` are totals. Read besides OpenAI's own counts are
//! OpenRouter's `cost` and xAI's `cost_in_usd_ticks`. The gateway adds `estimated`, and
//! `audio_tokens`, which this wire has no count for, where there were any.

use serde_json::{Map, Value, json};

use crate::chat::Usage;

/// xAI's unit: ten thousand million to the dollar, as in its chat completions.
const TICKS_PER_DOLLAR: f64 = 1e10;

/// The counts, if there is an object of them. What is no count is 0.
pub(super) fn decode(usage: &Value) -> Option<Usage> {
    let fields = usage.as_object()?;
    let input = fields.get("input_tokens_details");
    let output = fields.get("output_tokens_details");
    let top = Some(usage);
    let cost = fields.get("cost").and_then(Value::as_f64);
    let ticks = fields.get("cost_in_usd_ticks").and_then(Value::as_f64);
    Some(Usage {
        input: count(top, "input_tokens"),
        output: count(top, "output_tokens"),
        cached_input: count(input, "cached_tokens"),
        cache_write: count(input, "cache_write_tokens"),
        reasoning: count(output, "reasoning_tokens"),
        audio: count(input, "audio_tokens").saturating_add(count(output, "audio_tokens")),
        cost_usd: cost.or(ticks.map(|ticks| ticks / TICKS_PER_DOLLAR)),
        estimated: fields.get("estimated") == Some(&Value::Bool(true)),
    })
}

/// Audio is one number in the payload: it counts as input as far as the input goes.
pub(super) fn encode(usage: &Usage) -> Value {
    let mut input = json!({
        "cached_tokens": usage.cached_input,
        "cache_write_tokens": usage.cache_write,
    });
    let mut output = json!({"reasoning_tokens": usage.reasoning});
    let audio_input = usage.audio.min(usage.input);
    let audio_output = usage.audio.saturating_sub(audio_input);
    for (details, audio) in [(&mut input, audio_input), (&mut output, audio_output)] {
        if let Some(details) = details.as_object_mut().filter(|_| audio > 0) {
            details.insert("audio_tokens".into(), audio.into());
        }
    }
    let mut body = Map::new();
    body.insert("input_tokens".into(), usage.input.into());
    body.insert("input_tokens_details".into(), input);
    body.insert("output_tokens".into(), usage.output.into());
    body.insert("output_tokens_details".into(), output);
    body.insert("total_tokens".into(), usage.input.saturating_add(usage.output).into());
    if let Some(cost) = usage.cost_usd {
        body.insert("cost".into(), cost.into());
    }
    if usage.estimated {
        body.insert("estimated".into(), true.into());
    }
    Value::Object(body)
}

fn count(fields: Option<&Value>, key: &str) -> u64 {
    fields.and_then(|fields| fields.get(key)).and_then(Value::as_u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn usage_survives_the_way_out_and_in() {
        let usage = Usage {
            input: 10,
            output: 20,
            cached_input: 4,
            cache_write: 3,
            reasoning: 5,
            audio: 12,
            cost_usd: Some(0.25),
            estimated: true,
        };
        assert_eq!(decode(&encode(&usage)), Some(usage));
        let measured = encode(&Usage::default());
        assert!(measured.get("estimated").is_none() && measured.get("cost").is_none());
    }

    #[test]
    fn counts_that_are_none_are_0() {
        let usage = json!({"input_tokens": null, "output_tokens": -1, "input_tokens_details": [],
            "output_tokens_details": {"reasoning_tokens": "x"}, "cost_in_usd_ticks": 5e9});
        let expected = Usage { cost_usd: Some(0.5), ..Usage::default() };
        assert_eq!(decode(&usage).unwrap(), expected);
        assert_eq!(decode(&Value::Null), None);
    }
}
