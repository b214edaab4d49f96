//! The routing crate's types to and from those generated from `wit/router`.

use torana_routing::policy;

use crate::plugin::bindings::router::exports::torana::router::policy as wit;

pub(super) fn endpoint(endpoint: &policy::Endpoint) -> wit::Endpoint {
    wit::Endpoint {
        name: endpoint.name.clone(),
        provider: endpoint.provider.clone(),
        model: endpoint.model.clone(),
        weight: endpoint.weight,
        price_input: endpoint.price_input,
        price_output: endpoint.price_output,
        price_cached_input: endpoint.price_cached_input,
        context_window: endpoint.context_window,
    }
}

pub(super) fn facts(facts: &policy::Facts) -> wit::RequestFacts {
    wit::RequestFacts {
        now_unix_ms: facts.now_unix_ms,
        seed: facts.seed,
        stream: facts.stream,
        input_tokens: facts.input_tokens,
        max_output_tokens: facts.max_output_tokens,
        expected_output_tokens: facts.expected_output_tokens,
        session: facts.session,
        uses_tools: facts.uses_tools,
        uses_images: facts.uses_images,
        uses_json_schema: facts.uses_json_schema,
    }
}

pub(super) fn candidate(row: &policy::Candidate) -> wit::Candidate {
    wit::Candidate {
        endpoint: row.endpoint,
        eligible: row.eligible,
        breaker: match row.breaker {
            policy::Breaker::Closed => wit::Breaker::Closed,
            policy::Breaker::HalfOpen => wit::Breaker::HalfOpen,
            policy::Breaker::Open => wit::Breaker::Open,
        },
        samples: row.samples,
        in_flight: row.in_flight,
        learned_cap: row.learned_cap,
        oldest_outstanding_ms: row.oldest_outstanding_ms,
        back_off_ms: row.back_off_ms,
        cached_tokens: row.cached_tokens,
        cost_usd: row.cost_usd,
        cache_saving_usd: row.cache_saving_usd,
        ttft_fast_ms: row.ttft_fast_ms,
        ttft_slow_ms: row.ttft_slow_ms,
        ttft_p50_ms: row.ttft_p50_ms,
        ttft_p90_ms: row.ttft_p90_ms,
        ttft_p95_ms: row.ttft_p95_ms,
        ttft_p99_ms: row.ttft_p99_ms,
        total_fast_ms: row.total_fast_ms,
        total_slow_ms: row.total_slow_ms,
        throughput: row.throughput,
        error_rate_fast: row.error_rate_fast,
        error_rate: row.error_rate,
        rate_limited_rate: row.rate_limited_rate,
        timeout_rate: row.timeout_rate,
        tool_call_error_rate: row.tool_call_error_rate,
    }
}

/// Within what can be executed and written down: a step and a score for each endpoint, and no
/// score that JSON has no number for.
pub(super) fn plan(plan: wit::Plan, endpoints: usize) -> policy::Plan {
    let step = |step: wit::Step| policy::Step {
        endpoint: step.endpoint,
        timeout_ms: step.timeout_ms,
        hedge_after_ms: step.hedge_after_ms,
    };
    let score = |score: wit::Score| policy::Score { endpoint: score.endpoint, score: score.score };
    let scores = plan.scores.into_iter().take(endpoints).map(score);
    policy::Plan {
        steps: plan.steps.into_iter().take(endpoints).map(step).collect(),
        scores: scores.filter(|score| score.score.is_finite()).collect(),
    }
}

pub(super) fn outcome(outcome: &policy::Outcome) -> wit::Outcome {
    wit::Outcome {
        endpoint: outcome.endpoint,
        now_unix_ms: outcome.now_unix_ms,
        error: outcome.error.map(Into::into),
        ttft_ms: outcome.ttft_ms,
        total_ms: outcome.total_ms,
        usage: outcome.usage.into(),
    }
}
