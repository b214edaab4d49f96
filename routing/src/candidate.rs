//! The row a policy sees of an endpoint.

use std::time::Duration;

use crate::policy::{Candidate, Facts};
use crate::price::Price;
use crate::statistics::Reading;

/// Answer length to expect before the first answer.
const TYPICAL_OUTPUT_TOKENS: u64 = 256;

/// Tokens to expect of an answer: the longest average among the endpoints, for averages of
/// endpoints that cut answers short say little; within the client's limit.
pub fn expected_output(readings: &[Reading], max_output_tokens: Option<u64>) -> u64 {
    let seen = readings.iter().map(|reading| reading.output_tokens).fold(0.0, f64::max);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "token counts")]
    let expected = if seen > 0.0 { seen.ceil() as u64 } else { TYPICAL_OUTPUT_TOKENS };
    max_output_tokens.map_or(expected, |limit| expected.min(limit))
}

/// Of the tokens that went through an endpoint's prompt cache, those it likely still holds:
/// all of them, until it is seen to hold less.
pub fn likely_cached(tokens: u64, reading: &Reading) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "token counts, times a share"
    )]
    reading.cache_hits.map_or(tokens, |share| (tokens as f64 * share) as u64)
}

/// `cached_tokens` is what the endpoint's prompt cache likely holds of this prompt.
pub fn row(
    endpoint: u32,
    eligible: bool,
    reading: &Reading,
    price: Option<&Price>,
    cached_tokens: u64,
    facts: &Facts,
) -> Candidate {
    let cached_tokens = cached_tokens.min(facts.input_tokens);
    let cost = |price: &Price| price.expected(facts.input_tokens, facts.expected_output_tokens);
    Candidate {
        endpoint,
        eligible,
        breaker: reading.breaker,
        samples: reading.samples,
        in_flight: reading.in_flight,
        learned_cap: reading.learned_cap,
        oldest_outstanding_ms: milliseconds(reading.oldest_outstanding),
        // Rounded up: what is left of a millisecond is still to be waited for.
        back_off_ms: milliseconds(reading.back_off + Duration::from_nanos(999_999)),
        cached_tokens: u32::try_from(cached_tokens).unwrap_or(u32::MAX),
        cost_usd: price.map_or(0.0, cost),
        cache_saving_usd: price.map_or(0.0, |price| price.saving(cached_tokens)),
        ttft_fast_ms: reading.ttft_fast_ms,
        ttft_slow_ms: reading.ttft_slow_ms,
        ttft_p50_ms: reading.ttft_p50_ms,
        ttft_p90_ms: reading.ttft_p90_ms,
        ttft_p95_ms: reading.ttft_p95_ms,
        ttft_p99_ms: reading.ttft_p99_ms,
        total_fast_ms: reading.total_fast_ms,
        total_slow_ms: reading.total_slow_ms,
        throughput: reading.throughput,
        error_rate_fast: reading.error_rate_fast,
        error_rate: reading.error_rate,
        rate_limited_rate: reading.rate_limited_rate,
        timeout_rate: reading.timeout_rate,
        tool_call_error_rate: reading.tool_call_error_rate,
    }
}

fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectation_follows_the_answers_within_the_clients_limit() {
        let of = |tokens| Reading { output_tokens: tokens, ..Reading::default() };
        assert_eq!(expected_output(&[of(0.0)], None), TYPICAL_OUTPUT_TOKENS);
        assert_eq!(expected_output(&[of(0.0), of(99.5)], None), 100);
        assert_eq!(expected_output(&[of(99.5)], Some(7)), 7);
    }

    #[test]
    fn an_endpoint_is_left_alone_to_the_last_bit_of_the_time_it_asked_for() {
        let back_off = |nanoseconds| {
            let back_off = Duration::from_nanos(nanoseconds);
            let reading = Reading { back_off, ..Reading::default() };
            row(0, true, &reading, None, 0, &Facts::default()).back_off_ms
        };
        assert_eq!([0, 1, 1_000_000, 1_000_001].map(back_off), [0, 1, 1, 2]);
    }

    #[test]
    fn a_cache_cannot_hold_more_than_the_prompt() {
        let price = Price { input: 2.0, output: 8.0, cached_input: Some(1.0), ..Price::default() };
        let facts = Facts { input_tokens: 1_000, expected_output_tokens: 10, ..Facts::default() };
        let row = row(0, true, &Reading::default(), Some(&price), 5_000, &facts);
        assert_eq!(row.cached_tokens, 1_000);
        assert!((row.cache_saving_usd - 1e-3).abs() < 1e-12);
        assert!((row.cost_usd - 2.08e-3).abs() < 1e-12);
    }
}
