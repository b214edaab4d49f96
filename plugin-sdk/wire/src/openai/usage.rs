//! Token counts on the OpenAI wire, both ways.
//!
//! Servers disagree on where the details stand. Read are OpenAI's own places, then
//! DeepSeek's `prompt_cache_hit_tokens`, Moonshot's `cached_tokens`, a bare
//! `reasoning_tokens`, OpenRouter's `cost` and `cache_write_tokens`, Perplexity's
//! `cost.total_cost` and xAI's `cost_in_usd_ticks`. Counts that are null or no counts are 0.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize as DeriveDeserialize, Serialize};

use crate::chat::Usage;

/// xAI's unit: ten thousand million to the dollar (checked against its price list).
const TICKS_PER_DOLLAR: f64 = 1e10;

/// `usage` as it comes.
#[derive(Debug, Default, DeriveDeserialize)]
#[serde(default)]
pub(crate) struct WireUsage {
    prompt_tokens: Count,
    completion_tokens: Count,
    total_tokens: Count,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
    prompt_cache_hit_tokens: Count,
    cached_tokens: Count,
    reasoning_tokens: Count,
    cost: Option<Cost>,
    cost_in_usd_ticks: Option<f64>,
    estimated: Option<bool>,
}

#[derive(Debug, Default, DeriveDeserialize)]
#[serde(default)]
struct PromptDetails {
    cached_tokens: Count,
    cache_write_tokens: Count,
    audio_tokens: Count,
}

#[derive(Debug, Default, DeriveDeserialize)]
#[serde(default)]
struct CompletionDetails {
    reasoning_tokens: Count,
    audio_tokens: Count,
}

impl From<WireUsage> for Usage {
    fn from(wire: WireUsage) -> Self {
        let prompt = wire.prompt_tokens_details.unwrap_or_default();
        let completion = wire.completion_tokens_details.unwrap_or_default();
        let input = wire.prompt_tokens.0;
        let reasoning = completion.reasoning_tokens.or(wire.reasoning_tokens).0;
        let visible = wire.completion_tokens.0;
        // xAI counts reasoning beside the completion, everybody else within it.
        let beside = reasoning > 0
            && wire.total_tokens.0 == input.saturating_add(visible).saturating_add(reasoning);
        Self {
            input,
            output: if beside { visible.saturating_add(reasoning) } else { visible },
            cached_input: prompt
                .cached_tokens
                .or(wire.prompt_cache_hit_tokens)
                .or(wire.cached_tokens)
                .0,
            cache_write: prompt.cache_write_tokens.0,
            reasoning,
            audio: prompt.audio_tokens.0.saturating_add(completion.audio_tokens.0),
            cost_usd: wire
                .cost
                .and_then(|cost| cost.0)
                .or(wire.cost_in_usd_ticks.map(|ticks| ticks / TICKS_PER_DOLLAR)),
            estimated: wire.estimated.unwrap_or_default(),
        }
    }
}

/// `usage` as it is written. `estimated` is our own: the gateway counted, not the provider. Audio is one number in the payload and two here: it counts as
/// input as far as the input goes, the rest as output.
#[derive(Debug, Serialize)]
pub(crate) struct UsageBody {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptBody,
    completion_tokens_details: CompletionBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<f64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    estimated: bool,
}

#[derive(Debug, Serialize)]
struct PromptBody {
    cached_tokens: u64,
    #[serde(skip_serializing_if = "is_zero")]
    cache_write_tokens: u64,
    audio_tokens: u64,
}

#[derive(Debug, Serialize)]
struct CompletionBody {
    reasoning_tokens: u64,
    audio_tokens: u64,
}

impl From<&Usage> for UsageBody {
    fn from(usage: &Usage) -> Self {
        let audio_input = usage.audio.min(usage.input);
        Self {
            prompt_tokens: usage.input,
            completion_tokens: usage.output,
            total_tokens: usage.input.saturating_add(usage.output),
            prompt_tokens_details: PromptBody {
                cached_tokens: usage.cached_input,
                cache_write_tokens: usage.cache_write,
                audio_tokens: audio_input,
            },
            completion_tokens_details: CompletionBody {
                reasoning_tokens: usage.reasoning,
                audio_tokens: usage.audio - audio_input,
            },
            cost: usage.cost_usd,
            estimated: usage.estimated,
        }
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A count; 0 for null and for whatever is not a count.
#[derive(Debug, Default, Clone, Copy)]
struct Count(u64);

impl Count {
    fn or(self, other: Self) -> Self {
        if self.0 == 0 { other } else { self }
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = deserializer.deserialize_any(Lenient)?.unwrap_or_default();
        // A float that is out of range becomes the nearest count; NaN cannot stand in JSON.
        Ok(Self(number.as_count()))
    }
}

/// A sum of money: a number, or an object with the `total_cost` in it.
#[derive(Debug)]
struct Cost(Option<f64>);

impl<'de> Deserialize<'de> for Cost {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(deserializer.deserialize_any(Lenient)?.map(Number::as_float)))
    }
}

#[derive(Clone, Copy)]
enum Number {
    Whole(u64),
    Float(f64),
}

impl Default for Number {
    fn default() -> Self {
        Self::Whole(0)
    }
}

impl Number {
    fn as_count(self) -> u64 {
        match self {
            Self::Whole(count) => count,
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "saturates"
            )]
            Self::Float(float) => float as u64,
        }
    }

    fn as_float(self) -> f64 {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "a sum of money is small")]
            Self::Whole(count) => count as f64,
            Self::Float(float) => float,
        }
    }
}

/// Takes any JSON value and finds the number in it.
struct Lenient;

impl<'de> Visitor<'de> for Lenient {
    type Value = Option<Number>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a number")
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(Number::Whole(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(Number::Whole(u64::try_from(value).unwrap_or_default())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Some(Number::Float(value)))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(value.parse().ok().map(Number::Float))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut total = None;
        while let Some(key) = entries.next_key::<String>()? {
            match key.as_str() {
                "total_cost" => total = entries.next_value::<Option<f64>>()?.map(Number::Float),
                _ => {
                    entries.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(total)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn decode(json: &str) -> Usage {
        serde_json::from_str::<WireUsage>(json).unwrap().into()
    }

    #[test]
    fn reasoning_that_xai_counts_beside_the_completion_becomes_part_of_the_output() {
        let usage = decode(
            r#"{"prompt_tokens":291,"completion_tokens":26,"total_tokens":513,
                "prompt_tokens_details":{"cached_tokens":290,"audio_tokens":0},
                "completion_tokens_details":{"reasoning_tokens":196},"cost_in_usd_ticks":1330500}"#,
        );
        assert_eq!((usage.input, usage.output, usage.reasoning), (291, 222, 196));
        assert_eq!(usage.cached_input, 290);
        assert!((usage.cost_usd.unwrap() - 0.000_133_05).abs() < 1e-12);
    }

    #[test]
    fn nulls_strings_and_negative_numbers_do_not_break_usage() {
        let usage = decode(
            r#"{"prompt_tokens":null,"completion_tokens":-4,"total_tokens":[1],
                "prompt_tokens_details":null,"prompt_cache_hit_tokens":7.0,"reasoning_tokens":"3",
                "cost":{"total_cost":0.5,"currency":{}}}"#,
        );
        let expected =
            Usage { cached_input: 7, reasoning: 3, cost_usd: Some(0.5), ..Usage::default() };
        assert_eq!(usage, expected);
    }

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
        let text = serde_json::to_string(&UsageBody::from(&usage)).unwrap();
        assert_eq!(decode(&text), usage);
    }
}
