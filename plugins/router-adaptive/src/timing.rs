//! How long to wait for each step, and when to hedge it.
//!
//! A first token that is twice as late as nine in ten were is more likely not to come: then
//! the next endpoint is the better bet. The 90th percentile follows each endpoint's own
//! spread, and a bad minute within the five that it is of hardly moves it. Where an endpoint
//! is slow by its averages, time-outs grow with them: cutting it off would only add load.
//!
//! Hedges (off by default) follow Dean and Barroso, "The Tail at Scale", CACM 56 (2013): a
//! second request once the first is later than most. At the 97th percentile 3 % of the
//! requests of a healthy day are hedged, which leaves room in the host's budget of 5 % for
//! the brown-outs that hedges are for.
//!
//! Only streamed answers have first tokens to wait for: whole answers are left to the
//! operator's time-outs, and so is a step without a usable one behind it, the third of a plan,
//! and an endpoint that little is known of.

use torana_plugin_sdk::router::{Candidate, RequestFacts, Step};

use super::settings::Settings;
use super::utility::{Appraisal, Rank};

/// Below that percentiles are single calls.
const ENOUGH_SAMPLES: u64 = 10;
/// Times the 90th percentile. At 1.5 healthy calls are cut off; at 3 hangs cost a second more.
const LATE: f64 = 2.0;
/// Times the averages.
const SLOW: f64 = 3.0;
/// Times the median, for a trial: enough for nearly all if it is well, short if not.
const TRIAL: f64 = 2.0;
/// Attempts that are cut off. Whoever waited twice should not be sent on again.
const CUT_OFF: usize = 2;
/// A day: whatever the figures, milliseconds fit.
const LONGEST_MS: f64 = 86_400_000.0;

/// The step at that place of the order. `trial`: the first one is a trial.
pub(crate) fn step(
    settings: &Settings,
    facts: &RequestFacts,
    ranked: &[Appraisal<'_>],
    place: usize,
    trial: bool,
) -> Option<Step> {
    let it = ranked.get(place)?.candidate;
    let plain = Step::to(it.endpoint);
    let usable_next = ranked.get(place + 1).is_some_and(|next| next.rank == Rank::Usable);
    if !facts.stream || !usable_next || place >= CUT_OFF || it.samples < ENOUGH_SAMPLES {
        return Some(plain);
    }
    let timeout = timeout_ms(settings, it, trial && place == 0);
    let hedge = settings.hedge.then(|| percentile_ms(it, settings.hedge_percentile));
    Some(Step {
        timeout_ms: timeout.map_or(0, whole),
        hedge_after_ms: hedge.filter(|after| *after > 0.0).map(whole),
        ..plain
    })
}

fn timeout_ms(settings: &Settings, it: &Candidate, trial: bool) -> Option<f64> {
    let known = it.ttft_p50_ms > 0.0 && it.ttft_p90_ms > 0.0;
    let least = settings.least_timeout_s * 1e3;
    if trial {
        return known.then(|| (TRIAL * it.ttft_p50_ms).min(least));
    }
    let late = LATE * it.ttft_p90_ms;
    let slow = SLOW * it.ttft_fast_ms.min(it.ttft_slow_ms);
    known.then(|| late.max(slow).max(least))
}

/// Straight lines between the percentiles that are known; 0 where none is.
fn percentile_ms(it: &Candidate, percentile: f64) -> f64 {
    let (p50, p90, p95) = (it.ttft_p50_ms, it.ttft_p90_ms, it.ttft_p95_ms);
    let (from, to, low, high) = match percentile {
        ..90.0 => (50.0, 90.0, p50, p90),
        ..95.0 => (90.0, 95.0, p90, p95),
        _ => (95.0, 99.0, p95, it.ttft_p99_ms),
    };
    low + (high - low) * (percentile - from) / (to - from)
}

/// At least 1: 0 stands for the operator's time-out.
fn whole(milliseconds: f64) -> u32 {
    milliseconds.ceil().clamp(1.0, LONGEST_MS) as u32
}
